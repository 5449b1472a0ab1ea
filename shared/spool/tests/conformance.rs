//! What every kind of storage must do, and what a spool on it must do.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use waterbear_ids::AttemptId;
use waterbear_protocol::spool::{CommittedRecord, QueryKey};
use waterbear_spool::spool::Location;
use waterbear_spool::store::{FilesystemStore, MemoryStore};
use waterbear_spool::writer::{Run, SpoolPage};
use waterbear_spool::{
    AttemptWriter, CacheMemory, FinishedAttempt, ObjectKind, OutputCache, RangeReader, Spool,
    SpoolError, Store, StoreErrorKind,
};

const KEY: QueryKey = QueryKey::from_bytes([42; 32]);

/// What readers read at once.
const READ_BYTES: usize = 1 << 20;

/// Every kind, each empty.
fn stores() -> Vec<(Arc<dyn Store>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let files = FilesystemStore::new("files", folder.path().join("a/b"));
    vec![(Arc::new(MemoryStore::new()), None), (Arc::new(files), Some(folder))]
}

fn spool(store: Arc<dyn Store>) -> Spool {
    Spool::new(vec![Location { name: "here".to_owned(), store }], "0a1b2c3d", "test")
}

/// A spool on every kind of storage, each with what it wrote in memory and without; and without
/// room for most of it.
fn spools() -> Vec<(Spool, Option<tempfile::TempDir>)> {
    let cached = |limit| {
        stores().into_iter().map(move |(store, folder)| {
            let cache = OutputCache::new(limit, Arc::new(Plenty));
            (spool(store).with_cache(cache), folder)
        })
    };
    let plain = stores().into_iter().map(|(store, folder)| (spool(store), folder));
    plain.chain(cached(usize::MAX)).chain(cached(400_000)).collect()
}

/// As much memory as is asked for.
#[derive(Debug)]
struct Plenty;

impl CacheMemory for Plenty {
    fn try_take(&self, _: usize) -> bool {
        true
    }

    fn give_back(&self, _: usize) {}
}

fn attempt(number: u32) -> AttemptId {
    format!("20261122_020500_00000_ab2cd.1.2.{number}").parse().unwrap()
}

#[tokio::test]
async fn what_was_written_is_read_in_whole_and_in_parts() {
    for (store, _folder) in stores() {
        store.check().await.unwrap();
        store.put("q/small", Bytes::from_static(b"abc")).await.unwrap();
        let mut sink = store.create("q/large").await.unwrap();
        for piece in 0..10_u8 {
            sink.write(vec![piece; 1000].into()).await.unwrap();
        }
        sink.finish("q/with", Bytes::from_static(b"de")).await.unwrap();
        assert_eq!(store.get("q/small").await.unwrap(), "abc");
        assert_eq!(store.get("q/with").await.unwrap(), "de");
        let part = store.get_range("q/large", 1999, 1002).await.unwrap();
        assert_eq!((part.len(), part[0], part[1], part[1001]), (1002, 1, 2, 3), "{store:?}");
        assert_eq!(store.get_range("q/large", 9_999, 50).await.unwrap(), [9][..]);
        assert!(store.get_range("q/large", 10_000, 50).await.unwrap().is_empty());
        assert!(store.get_range("q/large", u64::MAX, 50).await.map_or(true, |b| b.is_empty()));
    }
}

#[tokio::test]
async fn an_object_is_written_once() {
    for (store, _folder) in stores() {
        store.put("q/x", Bytes::from_static(b"1")).await.unwrap();
        let again = store.put("q/x", Bytes::from_static(b"2")).await.unwrap_err();
        assert_eq!(again.kind, StoreErrorKind::Exists, "{again}");
        let again = store.create("q/x").await.unwrap_err();
        assert_eq!(again.kind, StoreErrorKind::Exists, "{again}");
        let sink = store.create("q/y").await.unwrap();
        let again = sink.finish("q/x", Bytes::from_static(b"2")).await.unwrap_err();
        assert_eq!(again.kind, StoreErrorKind::Exists, "{again}");
        assert_eq!(store.get("q/x").await.unwrap(), "1");
    }
}

#[tokio::test]
async fn what_is_dropped_unfinished_is_not_there() {
    for (store, _folder) in stores() {
        let mut sink = store.create("q/x").await.unwrap();
        sink.write(vec![1; 10].into()).await.unwrap();
        drop(sink);
        // It is removed elsewhere.
        let gone = async {
            loop {
                match store.get("q/x").await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                    Err(error) => break error,
                }
            }
        };
        let missing = tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
        assert_eq!(missing.kind, StoreErrorKind::NotFound, "{missing}");
        store.put("q/x", Bytes::from_static(b"2")).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_there_with_its_record_stays_although_its_writer_is_dropped() {
    let mut both = 0;
    for (store, _folder) in stores() {
        for number in 0..200_u64 {
            let (data, record) = (format!("q/{number}/data"), format!("q/{number}/committed"));
            let mut sink = store.create(&data).await.unwrap();
            sink.write(vec![1; 10_000].into()).await.unwrap();
            let finish = sink.finish(&record, Bytes::from_static(b"r"));
            let _ = tokio::time::timeout(Duration::from_micros(number * 10), finish).await;
            // What was under way ends.
            tokio::time::sleep(Duration::from_millis(5)).await;
            if store.get(&record).await.is_ok() {
                both += 1;
                assert_eq!(store.get(&data).await.unwrap().len(), 10_000, "{store:?} {number}");
            }
        }
    }
    assert!(both > 0);
}

#[tokio::test]
async fn a_folder_goes_with_all_that_is_in_it_and_nothing_else() {
    for (store, _folder) in stores() {
        for key in ["p/q1/a/x", "p/q1/b/x", "p/q10/a/x", "p/q1x"] {
            store.put(key, Bytes::from_static(b"1")).await.unwrap();
        }
        let mut folders = store.folders("p").await.unwrap();
        folders.sort();
        assert_eq!(folders, ["q1", "q10"]);
        store.delete_folder("p/q1").await.unwrap();
        store.delete_folder("p/q1").await.unwrap();
        assert!(store.get("p/q1/a/x").await.is_err());
        for key in ["p/q10/a/x", "p/q1x"] {
            store.get(key).await.unwrap();
        }
        assert_eq!(store.folders("nothing").await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for base in [file.clone(), file.join("below")] {
        let store = FilesystemStore::new(base.display().to_string(), &base);
        let error = store.check().await.unwrap_err();
        assert!(error.to_string().contains(&base.display().to_string()), "{error}");
    }
    let good = folder.path().join("good");
    FilesystemStore::new("good", &good).check().await.unwrap();
    assert_eq!(std::fs::read_dir(&good).unwrap().count(), 0, "a probe stayed");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&good).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

/// Pages with rows for some of the partitions, different in each run.
fn random_run(random: &mut StdRng, partitions: u32, largest: usize) -> Run {
    let mut run: Run = Vec::new();
    for partition in 0..partitions {
        let pages = (0..random.random_range(0..4)).map(|_| {
            let mut bytes = vec![0; random.random_range(0..largest)];
            random.fill(&mut bytes[..]);
            SpoolPage { bytes: bytes.into(), rows: random.random_range(1..9) }
        });
        let pages: Vec<_> = pages.collect();
        if !pages.is_empty() {
            run.push((partition, pages));
        }
    }
    run
}

async fn write(spool: &Spool, number: u32, runs: &[Run]) -> FinishedAttempt {
    let (last, first) = runs.split_last().unwrap();
    let partitions = 64;
    let writer = AttemptWriter::new(spool.clone(), KEY, attempt(number), "here", partitions);
    let mut writer = writer.unwrap();
    for run in first {
        writer.write_run(run.clone()).await.unwrap();
    }
    writer.commit(last.clone()).await.unwrap()
}

async fn read(
    spool: &Spool,
    record: &CommittedRecord,
    partition: u32,
) -> Result<Vec<Bytes>, SpoolError> {
    let mut reader = RangeReader::new(spool.clone(), &KEY, record, partition, READ_BYTES)?;
    let mut pages = Vec::new();
    while let Some(page) = reader.next_page().await? {
        pages.push(page);
    }
    Ok(pages)
}

#[tokio::test]
async fn every_page_comes_back_once_to_the_reader_of_its_partition() {
    let mut random = StdRng::seed_from_u64(1);
    for number in 0..21 {
        let (partitions, runs) = (random.random_range(1..12), random.random_range(1..5));
        // Outputs that lie in the record, and outputs of several pieces.
        let largest = *[100, 30_000, 1 << 20].get(number as usize % 3).unwrap();
        let runs: Vec<_> =
            (0..runs).map(|_| random_run(&mut random, partitions, largest)).collect();
        for (spool, _folder) in spools() {
            let written = write(&spool, number, &runs).await;
            let found = spool.committed(&KEY, &attempt(number), "here").await.unwrap().unwrap();
            assert_eq!(found, written.record);
            let mut rows = 0;
            for partition in 0..partitions {
                let own = |run: &Run| {
                    let pages = run.iter().filter(|(other, _)| *other == partition);
                    pages.flat_map(|(_, pages)| pages.clone()).collect::<Vec<_>>()
                };
                let expected: Vec<_> = runs.iter().flat_map(own).collect();
                rows += expected.iter().map(|page| page.rows).sum::<u64>();
                let expected: Vec<_> = expected.into_iter().map(|page| page.bytes).collect();
                let part = found.only(|other| other == partition);
                assert_eq!(read(&spool, &part, partition).await.unwrap(), expected);
            }
            assert_eq!(found.rows, rows);
            covers_each_byte_once(&found);
        }
    }
}

/// Header and ranges, one behind the other, are all of the data object.
fn covers_each_byte_once(record: &CommittedRecord) {
    let (mut offset, mut frame) = (record.header.len() as u64, 0);
    for range in &record.ranges {
        assert_eq!((range.offset, range.first_frame), (offset, frame));
        offset += range.length;
        frame += range.frames;
    }
    assert_eq!(record.data_bytes, offset);
}

#[tokio::test]
async fn a_small_output_is_one_write_and_a_large_one_says_how_many() {
    let (store, _) = stores().remove(0);
    let spool = spool(store);
    let page = |size: usize| SpoolPage { bytes: vec![1; size].into(), rows: 1 };
    let small = write(&spool, 0, &[vec![(0, vec![page(64 << 10)])]]).await;
    assert_eq!((small.write_requests, small.record.data_bytes), (1, 0));
    let none = write(&spool, 1, &[vec![]]).await;
    assert_eq!((none.write_requests, none.record.rows), (1, 0));
    let large = write(&spool, 2, &[vec![(0, vec![page(9 << 20)])]]).await;
    assert_eq!(large.write_requests, 2);
}

#[tokio::test]
async fn no_damage_goes_unseen() {
    let mut random = StdRng::seed_from_u64(2);
    let memory = MemoryStore::new();
    let spool = spool(Arc::new(memory.clone()));
    let pages = |count: usize| -> Vec<_> {
        (0..count).map(|n| SpoolPage { bytes: vec![n as u8; 700].into(), rows: 1 }).collect()
    };
    let runs = [vec![(0, pages(60)), (1, pages(50))], vec![(1, pages(3))]];
    for number in 0..300 {
        let record = write(&spool, number, &runs).await.record;
        let key = spool.key(&attempt(number), ObjectKind::Data);
        let expected = [read(&spool, &record, 0).await, read(&spool, &record, 1).await];
        let mut harmless = false;
        assert!(memory.damage(&key, |bytes| match number % 4 {
            // A bit, anywhere; the header is known from the record.
            0 => {
                let bit = random.random_range(0..bytes.len() * 8);
                harmless = bit / 8 < record.header.len();
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            1 => bytes.truncate(random.random_range(0..bytes.len())),
            // Two frames in each other's place.
            2 => {
                let frame = |n: usize| 40 + n * 720..40 + (n + 1) * 720;
                let (a, b) = (bytes[frame(3)].to_vec(), bytes[frame(4)].to_vec());
                bytes[frame(3)].copy_from_slice(&b);
                bytes[frame(4)].copy_from_slice(&a);
            }
            _ => bytes[40..].shuffle(&mut random),
        }));
        let whole = spool.verify(&KEY, &record).await;
        let found = [read(&spool, &record, 0).await, read(&spool, &record, 1).await];
        let errors: Vec<_> = found.iter().filter_map(|read| read.as_ref().err()).collect();
        assert!(harmless || !errors.is_empty(), "attempt {number}");
        assert!(errors.iter().all(|error| error.is_loss()), "{errors:?}");
        assert_eq!(whole.is_err(), !errors.is_empty(), "{whole:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.is_err() || found == expected, "attempt {number}: other pages");
        }
    }
}

#[tokio::test]
async fn a_missing_object_is_a_loss_and_a_damaged_record_no_commit() {
    let memory = MemoryStore::new();
    let spool = spool(Arc::new(memory.clone()));
    let page = SpoolPage { bytes: vec![1; 100_000].into(), rows: 1 };
    let record = write(&spool, 0, &[vec![(0, vec![page])]]).await.record;
    assert!(spool.committed(&KEY, &attempt(1), "here").await.unwrap().is_none());
    spool.verify(&KEY, &record).await.unwrap();
    memory.damage(&spool.key(&attempt(0), ObjectKind::Record), |bytes| bytes[50] ^= 1);
    assert!(spool.committed(&KEY, &attempt(0), "here").await.unwrap().is_none());
    assert!(spool.verify(&KEY, &record).await.unwrap_err().is_loss());
    spool.delete_query(attempt(0).query()).await.unwrap();
    assert_eq!(memory.keys(), Vec::<String>::new());
    let error = read(&spool, &record, 0).await.unwrap_err();
    assert!(error.is_loss(), "{error}");
}

#[tokio::test]
async fn what_is_dropped_before_its_commit_leaves_nothing() {
    let memory = MemoryStore::new();
    let spool = spool(Arc::new(memory.clone()));
    let page = SpoolPage { bytes: vec![1; 5 << 20].into(), rows: 1 };
    let writer = AttemptWriter::new(spool.clone(), KEY, attempt(0), "here", 1);
    let mut writer = writer.unwrap();
    writer.write_run(vec![(0, vec![page])]).await.unwrap();
    drop(writer);
    assert_eq!(memory.keys(), Vec::<String>::new());
}

#[test]
fn attempts_spread_over_locations_and_avoid_bad_ones() {
    let location = |name: &str| Location {
        name: name.to_owned(),
        store: Arc::new(MemoryStore::new()) as Arc<dyn Store>,
    };
    let spool = Spool::new(vec![location("a"), location("b"), location("c")], "0a1b2c3d", "test");
    let count = |avoid: &[String], name: &str| {
        let chosen = (0..300).filter_map(|n| spool.location_for(&attempt(n), avoid));
        chosen.filter(|chosen| *chosen == name).count()
    };
    assert!(["a", "b", "c"].iter().all(|name| count(&[], name) > 60));
    let avoid = ["b".to_owned()];
    assert_eq!((count(&avoid, "b"), count(&avoid, "a") + count(&avoid, "c")), (0, 300));
    let all = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    assert!(count(&all, "b") > 60, "an attempt must be somewhere");
    let error = spool.store("/elsewhere").unwrap_err().to_string();
    assert!(error.contains("/elsewhere") && error.contains("a, b, c"), "{error}");
}
