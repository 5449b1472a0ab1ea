use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::buffer::Buffer;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use waterbear_exchange::{
    Answer, ExchangeMetrics, ExchangeReader, Fetch, FetchError, Fetched, HeldBytes, OutputBuffer,
    PageRequest, ReaderOptions, Source,
};
use waterbear_protocol::{ErrorCode, Failure};

use crate::support::{MemoryFetch, numbers, numbers_schema, source, values};

pub fn options(buffer_bytes: usize) -> ReaderOptions {
    ReaderOptions {
        runtime: tokio::runtime::Handle::current(),
        buffer_bytes,
        held: HeldBytes::default(),
        max_wait: Duration::from_millis(200),
        input_bytes: Arc::new(AtomicU64::new(0)),
        metrics: ExchangeMetrics::new(&[]),
    }
}

/// Producers that each give `batches` full batches of numbers of their own.
fn producers(count: usize, batches: usize) -> Vec<Arc<OutputBuffer>> {
    let buffers: Vec<_> = (0..count)
        .map(|_| Arc::new(OutputBuffer::new(1, 1, numbers_schema(), 300_000, HeldBytes::default())))
        .collect();
    for (producer, buffer) in buffers.iter().enumerate() {
        let writer = buffer.writer(0).unwrap();
        let start = (producer * batches * 8192) as i64;
        let batches = futures::stream::iter(0..batches as i64)
            .map(move |n| Ok::<_, std::io::Error>(numbers(start + n * 8192, 8192)));
        tokio::spawn(writer.write_all(batches));
    }
    buffers
}

fn sources(count: usize) -> Vec<Source> {
    (0..count as u32).map(|task| source(task, 0, 0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_rows_of_all_sources_come_once_over_a_bad_network() {
    let buffers = producers(5, 30);
    let fetch = MemoryFetch::new(buffers.clone(), 4);
    let options = options(500_000);
    let reader = ExchangeReader::over(fetch.clone(), sources(5), numbers_schema(), &options);
    let batches: Vec<_> = reader.map(Result::unwrap).collect().await;
    let mut rows = values(&batches);
    rows.sort_unstable();
    assert_eq!(rows, (0..5 * 30 * 8192).collect::<Vec<_>>());
    let sent: u64 = buffers.iter().map(|buffer| buffer.bytes()).sum();
    assert_eq!(options.input_bytes.load(Ordering::Relaxed), sent);
    for buffer in buffers {
        tokio::time::timeout(Duration::from_secs(5), buffer.drained()).await.unwrap();
    }
}

#[tokio::test]
async fn no_sources_are_an_empty_stream() {
    let fetch = MemoryFetch::new(Vec::new(), 0);
    let mut reader = ExchangeReader::over(fetch, Vec::new(), numbers_schema(), &options(1));
    assert!(reader.next().await.is_none());
    assert!(reader.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_stops_stops_its_requests() {
    let buffers = producers(3, 1000);
    let fetch = MemoryFetch::new(buffers.clone(), 0);
    let mut reader =
        ExchangeReader::over(fetch.clone(), sources(3), numbers_schema(), &options(400_000));
    reader.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let requests = fetch.requests.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(fetch.requests.load(Ordering::Relaxed), requests);
    let produced: u64 = buffers.iter().map(|buffer| buffer.bytes()).sum();
    assert!(produced < 3_000_000, "{produced}");

    drop(reader);
    for buffer in buffers {
        tokio::time::timeout(Duration::from_secs(5), buffer.drained()).await.unwrap();
    }
    assert_eq!(fetch.closed.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_closes_what_still_waits() {
    let buffer = Arc::new(OutputBuffer::new(1, 1, numbers_schema(), 1000, HeldBytes::default()));
    let fetch = MemoryFetch::new(vec![Arc::clone(&buffer)], 0);
    let reader = ExchangeReader::over(fetch, sources(1), numbers_schema(), &options(1000));
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(reader);
    tokio::time::timeout(Duration::from_secs(1), buffer.drained()).await.unwrap();
}

/// Answers every request in one way.
struct Canned {
    answer: Result<Answer, FetchError>,
    requests: AtomicUsize,
}

impl Canned {
    fn new(answer: Result<Answer, FetchError>) -> Arc<Self> {
        Arc::new(Self { answer, requests: AtomicUsize::new(0) })
    }
}

impl Fetch for Canned {
    fn pages<'a>(
        &'a self,
        _: &'a Source,
        _: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        async { self.answer.clone() }.boxed()
    }

    fn close<'a>(&'a self, _: &'a Source) -> BoxFuture<'a, Result<(), FetchError>> {
        async { Ok(()) }.boxed()
    }
}

async fn failure(fetch: Arc<Canned>) -> Failure {
    let mut reader = ExchangeReader::over(fetch, sources(1), numbers_schema(), &options(1000));
    let failure = reader.next().await.unwrap().unwrap_err().into();
    assert!(reader.next().await.is_none());
    failure
}

#[tokio::test(start_paused = true)]
async fn each_cause_becomes_its_failure_with_the_producers_name() {
    let reason = || "because".to_owned();
    let cases = [
        (FetchError::Gone(reason()), ErrorCode::REMOTE_HOST_GONE),
        (FetchError::Dropped(reason()), ErrorCode::PAGE_TRANSPORT_ERROR),
        (FetchError::Broken(reason()), ErrorCode::PAGE_TRANSPORT_ERROR),
        (FetchError::TimedOut(reason()), ErrorCode::PAGE_TRANSPORT_TIMEOUT),
        (FetchError::Refused(reason()), ErrorCode::PAGE_TRANSPORT_ERROR),
        (FetchError::Malformed(reason()), ErrorCode::CORRUPT_PAGE),
    ];
    for (cause, code) in cases {
        let failure = failure(Canned::new(Err(cause))).await;
        assert_eq!(failure.code, code);
        assert_eq!(failure.node.as_ref().unwrap().as_str(), "worker-0");
        for part in ["worker-0", "192.0.2.1:8443", ".1.0.0", "because"] {
            assert!(failure.message.contains(part), "{failure}");
        }
    }
    let own = Failure::new(ErrorCode::DIVISION_BY_ZERO, "Division by zero");
    let failure = failure(Canned::new(Err(FetchError::Failed(Box::new(own.clone()))))).await;
    assert_eq!((failure.code, failure.message), (own.code, own.message));
}

#[tokio::test(start_paused = true)]
async fn only_broken_connections_are_tried_again_and_not_for_long() {
    let gone = Canned::new(Err(FetchError::Gone("refused".into())));
    failure(Arc::clone(&gone)).await;
    assert_eq!(gone.requests.load(Ordering::Relaxed), 1);

    let broken = Canned::new(Err(FetchError::Broken("reset".into())));
    let start = Instant::now();
    failure(Arc::clone(&broken)).await;
    assert!(broken.requests.load(Ordering::Relaxed) > 3);
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn malformed_pages_name_their_producer() {
    let answer = |pages, next_token| {
        Canned::new(Ok(Answer { pages, next_token, complete: false, wire_bytes: 3 }))
    };
    let garbage = vec![Fetched::Page(Buffer::from(b"not a page".as_slice()))];
    let failed = failure(answer(garbage.clone(), 1)).await;
    assert_eq!(failed.code, ErrorCode::CORRUPT_PAGE);
    assert!(failed.message.contains("worker-0"), "{failed}");
    let failed = failure(answer(garbage, 7)).await;
    assert_eq!(failed.code, ErrorCode::CORRUPT_PAGE);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_never_waits_is_not_asked_in_a_circle() {
    let empty = Answer { pages: Vec::new(), next_token: 0, complete: false, wire_bytes: 0 };
    let fetch = Canned::new(Ok(empty));
    let mut reader =
        ExchangeReader::over(fetch.clone(), sources(1), numbers_schema(), &options(1000));
    let waited = tokio::time::timeout(Duration::from_secs(1), reader.next()).await;
    assert!(waited.is_err());
    assert!(fetch.requests.load(Ordering::Relaxed) <= 51);
}

#[test]
fn requests_that_die_with_their_runtime_are_not_the_end_of_the_rows() {
    let other = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let buffer = Arc::new(OutputBuffer::new(1, 1, numbers_schema(), 1000, HeldBytes::default()));
    let fetch = MemoryFetch::new(vec![buffer], 0);
    let mut reader = {
        let _entered = other.enter();
        ExchangeReader::over(fetch, sources(1), numbers_schema(), &options(1000))
    };
    other.shutdown_background();
    assert!(futures::executor::block_on(reader.next()).unwrap().is_err());
}
