//! Output through the spool: what goes in comes out, once, and damage is told with its name.

use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use rand::Rng;
use tokio::time::Instant;
use waterbear_exchange::{
    Answer, ExchangeReader, Fetch, FetchError, HeldBytes, PageRequest, ReaderOptions, Source,
    SpoolFetch, SpoolReads, SpoolSink,
};
use waterbear_protocol::Failure;
use waterbear_protocol::spool::{CommittedRecord, QueryKey};
use waterbear_protocol::task::TaskSpool;
use waterbear_spool::spool::Location;
use waterbear_spool::store::{MemoryStore, ObjectSink, Store};
use waterbear_spool::{
    AttemptWriter, CacheMemory, FinishedAttempt, ObjectKind, OutputCache, Spool, StoreError,
    StoreErrorKind,
};

use crate::readers::options;
use crate::support::{numbers, numbers_schema, seeded, source, values};

const KEY: QueryKey = QueryKey::from_bytes([3; 32]);

fn memory() -> (MemoryStore, Spool) {
    let memory = MemoryStore::new();
    let location = Location { name: "here".into(), store: Arc::new(memory.clone()) };
    (memory, Spool::new(vec![location], "0a1b2c3d", "test"))
}

fn sink(
    spool: &Spool,
    source: &Source,
    partitions: u32,
    limit: usize,
    held: HeldBytes,
) -> SpoolSink {
    let attempt = source.producer.attempt.clone();
    let writer = AttemptWriter::new(spool.clone(), KEY, attempt, "here", partitions).unwrap();
    SpoolSink::new(writer, partitions, numbers_schema(), limit, held)
}

/// Writes each partition's batches, all partitions at once.
async fn write(sink: SpoolSink, partitions: Vec<Vec<RecordBatch>>) -> FinishedAttempt {
    let sink = Arc::new(sink);
    let writing = partitions.into_iter().enumerate().map(|(partition, batches)| {
        let sink = Arc::clone(&sink);
        let stream = stream::iter(batches.into_iter().map(Ok::<_, ArrowError>));
        tokio::spawn(async move { sink.write_all(partition as u32, stream).await.unwrap() })
    });
    for written in writing.collect::<Vec<_>>() {
        written.await.unwrap();
    }
    sink.commit().await.unwrap().unwrap()
}

async fn read(
    spool: &Spool,
    record: &CommittedRecord,
    source: Source,
) -> Result<Vec<i64>, Failure> {
    let fetch = SpoolFetch::new(spool.clone(), KEY, vec![record.clone()], Arc::default());
    let fetch: Arc<dyn Fetch> = Arc::new(fetch);
    let mut reader = ExchangeReader::over(fetch, vec![source], numbers_schema(), &options(500_000));
    let mut found = Vec::new();
    while let Some(batch) = reader.next().await {
        found.extend(values(&[batch?]));
    }
    Ok(found)
}

#[tokio::test]
async fn every_row_comes_back_once_in_its_partition_whatever_the_buffer_holds() {
    let mut random = seeded("spooled rows");
    for limit in [0, 1000, 100_000, usize::MAX] {
        let (memory, spool) = memory();
        let partitions: Vec<Vec<_>> = (0..5)
            .map(|partition| {
                let mut start = partition * 10_000_000;
                let batches = (0..random.random_range(0..12)).map(|_| {
                    let rows = random.random_range(0..20_000);
                    start += 100_000;
                    numbers(start, rows)
                });
                batches.collect()
            })
            .collect();
        let own = source(0, 0, 0);
        let finished =
            write(sink(&spool, &own, 5, limit, HeldBytes::default()), partitions.clone()).await;
        let rows: usize = partitions.iter().flatten().map(RecordBatch::num_rows).sum();
        assert_eq!(finished.record.rows, rows as u64);
        for (partition, batches) in partitions.iter().enumerate() {
            let wanted = source(0, partition as u32, 0);
            let part = finished.record.only(|other| other == partition as u32);
            assert_eq!(read(&spool, &part, wanted).await.unwrap(), values(batches));
        }
        assert!(memory.keys().len() <= 2, "one object and one record an attempt");
    }
}

/// Keeps the bytes that are held now, and the most that were.
fn held(count: &Arc<AtomicIsize>, most: &Arc<AtomicU64>) -> HeldBytes {
    let (count, most) = (Arc::clone(count), Arc::clone(most));
    HeldBytes::counted_by(Arc::new(move |change| {
        let now = count.fetch_add(change, Ordering::Relaxed) + change;
        most.fetch_max(now.max(0) as u64, Ordering::Relaxed);
    }))
}

#[tokio::test]
async fn held_bytes_are_given_back_by_a_commit_and_by_a_drop() {
    let (memory, spool) = memory();
    let (count, most) = Default::default();
    let batches = vec![numbers(0, 50_000), numbers(50_000, 50_000)];
    let first = sink(&spool, &source(0, 0, 0), 1, 100_000, held(&count, &most));
    write(first, vec![batches.clone()]).await;
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert!(most.load(Ordering::Relaxed) > 100_000);
    let dropped = sink(&spool, &source(1, 0, 0), 1, usize::MAX, held(&count, &most));
    let stream = stream::iter(batches.into_iter().map(Ok::<_, ArrowError>));
    dropped.write_all(0, stream).await.unwrap();
    assert!(count.load(Ordering::Relaxed) > 0);
    drop(dropped);
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert_eq!(memory.keys().len(), 2, "what was not committed is not there");
}

#[tokio::test]
async fn a_lost_output_is_named() {
    for damage in [true, false] {
        let (memory, spool) = memory();
        let own = source(4, 0, 0);
        let finished = write(
            sink(&spool, &own, 1, 1000, HeldBytes::default()),
            vec![vec![numbers(0, 30_000)]],
        )
        .await;
        let attempt = own.producer.attempt.clone();
        match damage {
            true => {
                let key = spool.key(&attempt, ObjectKind::Data);
                assert!(memory.damage(&key, |bytes| bytes[100] ^= 1));
            }
            false => spool.delete_query(attempt.query()).await.unwrap(),
        }
        let failure = read(&spool, &finished.record, own).await.unwrap_err();
        assert_eq!(failure.lost, [attempt], "{failure}");
        assert!(failure.message.contains("worker-4"), "{failure}");
    }
}

/// Storage that takes its time.
struct Slow(SpoolFetch);

impl Fetch for Slow {
    fn pages<'a>(
        &'a self,
        source: &'a Source,
        request: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.0.pages(source, request).await
        }
        .boxed()
    }

    fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    fn close<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<(), FetchError>> {
        self.0.close(source)
    }
}

#[tokio::test]
async fn a_reader_of_very_many_outputs_holds_about_its_buffer() {
    const OUTPUTS: i64 = 200;
    const ROWS: i64 = 20_000;
    let (_, spool) = memory();
    let (mut records, mut sources) = (Vec::new(), Vec::new());
    for number in 0..OUTPUTS {
        let own = source(number as u32, 0, 0);
        let sink = sink(&spool, &own, 1, 1000, HeldBytes::default());
        records.push(write(sink, vec![vec![numbers(number * ROWS, ROWS as usize)]]).await.record);
        sources.push(own);
    }
    for stops_after in [1, usize::MAX] {
        let (count, most) = Default::default();
        let fetch = SpoolFetch::new(spool.clone(), KEY, records.clone(), Arc::default());
        let options = ReaderOptions { held: held(&count, &most), ..options(500_000) };
        let fetch: Arc<dyn Fetch> = Arc::new(Slow(fetch));
        let reader = ExchangeReader::over(fetch, sources.clone(), numbers_schema(), &options);
        // What can come without being asked for, comes.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let batches: Vec<_> = reader.take(stops_after).map(Result::unwrap).collect().await;
        if stops_after == usize::MAX {
            let mut rows = values(&batches);
            rows.sort_unstable();
            assert_eq!(rows, (0..OUTPUTS * ROWS).collect::<Vec<_>>());
        }
        // All outputs together have 32 MB.
        let most = most.load(Ordering::Relaxed);
        assert!((500_000..3_000_000).contains(&most), "{most}");
        let given_back = async {
            while count.load(Ordering::Relaxed) != 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), given_back).await.unwrap();
    }
}

/// Storage that cannot be read for a while, from its second read on.
#[derive(Debug)]
struct Away {
    store: MemoryStore,
    duration: Duration,
    since: OnceLock<Instant>,
    reads: AtomicU64,
    read_bytes: AtomicU64,
}

#[async_trait]
impl Store for Away {
    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put(key, bytes).await
    }

    async fn create(&self, key: &str) -> Result<Box<dyn ObjectSink>, StoreError> {
        self.store.create(key).await
    }

    async fn get(&self, key: &str) -> Result<BytesMut, StoreError> {
        self.store.get(key).await
    }

    async fn get_range(
        &self,
        key: &str,
        offset: u64,
        length: usize,
    ) -> Result<BytesMut, StoreError> {
        let earlier = self.reads.fetch_add(1, Ordering::Relaxed);
        if earlier > 0 && self.since.get_or_init(Instant::now).elapsed() < self.duration {
            return Err(StoreError {
                kind: StoreErrorKind::Other,
                location: "here".into(),
                what: format!("read {key}"),
                reason: "stale file handle".into(),
            });
        }
        let bytes = self.store.get_range(key, offset, length).await?;
        self.read_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    async fn delete_folder(&self, folder: &str) -> Result<(), StoreError> {
        self.store.delete_folder(folder).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.store.folders(folder).await
    }
}

#[tokio::test(start_paused = true)]
async fn storage_may_be_away_for_a_while_and_nothing_is_read_twice() {
    for (seconds, comes_back) in [(20, true), (40, false)] {
        let away = Arc::new(Away {
            store: MemoryStore::new(),
            duration: Duration::from_secs(seconds),
            since: OnceLock::new(),
            reads: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        });
        let location = Location { name: "here".into(), store: Arc::clone(&away) as _ };
        let spool = Spool::new(vec![location], "0a1b2c3d", "test");
        let own = source(0, 0, 0);
        // More than is read at once.
        let batches: Vec<_> = (0..20).map(|part| numbers(part * 100_000, 100_000)).collect();
        let sink = sink(&spool, &own, 1, usize::MAX, HeldBytes::default());
        let finished = write(sink, vec![batches.clone()]).await;
        let rows = read(&spool, &finished.record, own).await;
        match comes_back {
            true => {
                assert_eq!(rows.unwrap(), values(&batches));
                let ranges = finished.record.ranges.iter().map(|range| range.length);
                assert_eq!(away.read_bytes.load(Ordering::Relaxed), ranges.sum::<u64>());
                assert!(away.reads.load(Ordering::Relaxed) > 20, "it was never away");
            }
            false => {
                let failure = rows.unwrap_err();
                assert!(failure.message.contains("stale file handle"), "{failure}");
                assert_eq!(failure.lost, [], "the output is there");
            }
        }
    }
}

#[tokio::test]
async fn rows_that_a_request_leaves_out_are_read_once_in_their_record() {
    const OUTPUTS: i64 = 40;
    // Two partitions of 3000 rows are below the limit of what lies in a record.
    const ROWS: i64 = 3000;
    let (memory, spool) = memory();
    let (mut inputs, mut sources) = (Vec::new(), Vec::new());
    for number in 0..OUTPUTS {
        let own = source(number as u32, 0, 0);
        let sink = sink(&spool, &own, 2, usize::MAX, HeldBytes::default());
        let part = |part| vec![numbers((2 * number + part) * ROWS, ROWS as usize)];
        inputs.push(write(sink, vec![part(0), part(1)]).await.record);
        sources.extend([own.clone(), Source { partition: 1, ..own }]);
    }
    let task = TaskSpool::new(KEY, "here".into(), inputs);
    let left_out = task.in_records.len() as u64;
    assert!((1..OUTPUTS as u64).contains(&left_out), "{left_out}");
    let reads = SpoolReads::default();
    let fetch = SpoolFetch::for_task(spool.clone(), task.clone(), reads.clone());
    let reader =
        ExchangeReader::over(Arc::new(fetch), sources.clone(), numbers_schema(), &options(1000));
    let batches: Vec<_> = reader.map(Result::unwrap).collect().await;
    let mut rows = values(&batches);
    rows.sort_unstable();
    assert_eq!(rows, (0..OUTPUTS * 2 * ROWS).collect::<Vec<_>>());
    assert_eq!(reads.requests.load(Ordering::Relaxed), left_out);

    // A record that is damaged meanwhile is an output that is lost.
    let lost = sources.last().unwrap().producer.attempt.clone();
    assert!(memory.damage(&spool.key(&lost, ObjectKind::Record), |bytes| bytes[90] ^= 1));
    let fetch = Arc::new(SpoolFetch::for_task(spool, task, SpoolReads::default()));
    let mut reader = ExchangeReader::over(fetch, sources, numbers_schema(), &options(1000));
    let failure = loop {
        match reader.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break Failure::from(error),
        }
    };
    assert_eq!(failure.lost, [lost], "{failure}");
}

/// As much as is asked for.
#[derive(Debug)]
struct Plenty;

impl CacheMemory for Plenty {
    fn try_take(&self, _: usize) -> bool {
        true
    }

    fn give_back(&self, _: usize) {}
}

#[tokio::test]
async fn an_output_of_this_process_needs_no_storage_until_memory_is_wanted() {
    let (memory, spool) = memory();
    let cache = OutputCache::new(usize::MAX, Arc::new(Plenty));
    let spool = spool.with_cache(cache.clone());
    let own = source(0, 0, 0);
    let sink = sink(&spool, &own, 1, 100_000, HeldBytes::default());
    let record = write(sink, vec![vec![numbers(0, 90_000)]]).await.record;
    let task = TaskSpool::new(KEY, "here".into(), vec![record]);
    let rows = async |reads: &SpoolReads| {
        let fetch = SpoolFetch::for_task(spool.clone(), task.clone(), reads.clone());
        let sources = vec![own.clone()];
        let reader =
            ExchangeReader::over(Arc::new(fetch), sources, numbers_schema(), &options(500_000));
        let batches: Vec<_> = reader.collect().await;
        batches.into_iter().collect::<Result<Vec<_>, _>>().map(|batches| values(&batches))
    };
    let figures = |reads: &SpoolReads| {
        (reads.requests.load(Ordering::Relaxed), reads.memory.load(Ordering::Relaxed))
    };
    let reads = SpoolReads::default();
    assert_eq!(rows(&reads).await.unwrap(), (0..90_000).collect::<Vec<_>>());
    assert!(matches!(figures(&reads), (0, 1..)), "{reads:?}");
    cache.clear();
    let reads = SpoolReads::default();
    assert_eq!(rows(&reads).await.unwrap(), (0..90_000).collect::<Vec<_>>());
    assert!(matches!(figures(&reads), (1.., 0)), "{reads:?}");
    assert!(memory.damage(&spool.key(&own.producer.attempt, ObjectKind::Data), |b| b.clear()));
    assert!(rows(&SpoolReads::default()).await.is_err());
}

#[tokio::test]
async fn what_is_wrong_in_memory_is_read_in_storage() {
    // Another output under the same name, as no process should ever have it.
    let cache = OutputCache::new(usize::MAX, Arc::new(Plenty));
    let own = source(0, 0, 0);
    let (_, other) = memory();
    let wrong = sink(&other.with_cache(cache.clone()), &own, 1, 1000, HeldBytes::default());
    write(wrong, vec![vec![numbers(500, 90_000)]]).await;
    assert!(cache.bytes() > 0);
    for length in [90_000, 20_000, 300_000] {
        let (_, spool) = memory();
        let sink = sink(&spool, &own, 1, 100_000, HeldBytes::default());
        let record = write(sink, vec![vec![numbers(0, length)]]).await.record;
        let found = read(&spool.with_cache(cache.clone()), &record, own.clone()).await.unwrap();
        assert_eq!(found, (0..length as i64).collect::<Vec<_>>());
    }
}
