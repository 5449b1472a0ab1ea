//! Batches, seeds and a fetch that reads a buffer of this process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::AsArray;
use arrow::array::{Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use waterbear_exchange::page::{PageAssembler, PageDecoder};
use waterbear_exchange::{
    Answer, Fetch, FetchError, Fetched, OutputBuffer, PageRequest, ReadError, Source,
};
use waterbear_ids::{Incarnation, QueryId};
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};
use waterbear_protocol::task::Producer;

/// A generator whose seed is printed, so that a failure can be run again.
pub fn seeded(name: &str) -> StdRng {
    let seed = std::env::var("WATERBEAR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("{name}: WATERBEAR_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

pub fn numbers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

/// The numbers from `start` on.
pub fn numbers(start: i64, count: usize) -> RecordBatch {
    let values: Int64Array = (start..start + count as i64).collect::<Vec<_>>().into();
    RecordBatch::try_new(numbers_schema(), vec![Arc::new(values)]).unwrap()
}

/// A buffer's bytes as they arrive: copied into aligned memory, without the lengths.
pub fn received(bytes: &[Bytes]) -> Vec<Buffer> {
    let mut pages = PageAssembler::new(usize::MAX);
    for bytes in bytes {
        pages.feed(bytes).unwrap();
    }
    pages.finish().unwrap()
}

pub fn decoded(schema: &SchemaRef, bytes: &[Bytes]) -> Vec<RecordBatch> {
    let decoder = PageDecoder::new(Arc::clone(schema));
    let mut batches = VecDeque::new();
    for page in received(bytes) {
        decoder.decode(&page, &mut batches).unwrap();
    }
    batches.into()
}

pub fn values(batches: &[RecordBatch]) -> Vec<i64> {
    let columns = batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>());
    columns.flat_map(|column| column.values().to_vec()).collect()
}

pub fn source(task: u32, partition: u32, reader: u32) -> Source {
    let query: QueryId = "20261122_020500_00000_ab2cd".parse().unwrap();
    let node = NodeInfo {
        node_id: format!("worker-{task}").parse().unwrap(),
        incarnation: Incarnation::random(),
        build: waterbear_protocol::BUILD_ID.into(),
        environment: "test".into(),
        role: Role::Worker,
        host: "192.0.2.1".into(),
        internal_port: 8443,
        http_port: 8080,
        started_ms: 0,
        state: NodeState::Active,
        memory_bytes: 0,
        task_slots: 0,
    };
    let attempt = query.stage(1).task(task).attempt(0);
    Source { producer: Arc::new(Producer { attempt, node }), partition, reader }
}

/// Reads buffers of this process by the number of the source's task. Breaks some requests: some
/// before, some after the producer has seen them.
pub struct MemoryFetch {
    pub buffers: Vec<Arc<OutputBuffer>>,
    /// One of so many requests breaks; zero for none.
    pub breaks: usize,
    pub requests: AtomicUsize,
    pub closed: AtomicUsize,
    /// How often in a row a request to each buffer broke: more would exhaust the reader's patience.
    in_a_row: Vec<AtomicUsize>,
}

impl MemoryFetch {
    pub fn new(buffers: Vec<Arc<OutputBuffer>>, breaks: usize) -> Arc<Self> {
        let (requests, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let in_a_row = buffers.iter().map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self { buffers, breaks, requests, closed, in_a_row })
    }

    fn breaks(&self, source: &Source) -> bool {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let in_a_row = &self.in_a_row[source.producer.attempt.task.number as usize];
        let breaks = self.breaks > 0
            && in_a_row.load(Ordering::Relaxed) < 3
            && rand::rng().random_range(0..self.breaks) == 0;
        if breaks {
            in_a_row.fetch_add(1, Ordering::Relaxed);
        }
        breaks
    }

    fn buffer(&self, source: &Source) -> &OutputBuffer {
        &self.buffers[source.producer.attempt.task.number as usize]
    }
}

impl Fetch for MemoryFetch {
    fn pages<'a>(
        &'a self,
        source: &'a Source,
        request: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        async move {
            if self.breaks(source) {
                return Err(FetchError::Broken("cut before".into()));
            }
            let PageRequest { token, max_bytes, max_wait } = request;
            let buffer = self.buffer(source);
            let pages =
                buffer.read(source.partition, source.reader, token, max_bytes, max_wait).await;
            let pages = pages.map_err(|error| match error {
                ReadError::Aborted => FetchError::Dropped(error.to_string()),
                other => FetchError::Refused(other.to_string()),
            })?;
            if self.breaks(source) {
                return Err(FetchError::Broken("cut after".into()));
            }
            self.in_a_row[source.producer.attempt.task.number as usize].store(0, Ordering::Relaxed);
            Ok(Answer {
                wire_bytes: pages.bytes.iter().map(Bytes::len).sum(),
                pages: received(&pages.bytes).into_iter().map(Fetched::Page).collect(),
                next_token: pages.next_token,
                complete: pages.complete,
            })
        }
        .boxed()
    }

    fn close<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<(), FetchError>> {
        self.closed.fetch_add(1, Ordering::Relaxed);
        let closed = self.buffer(source).close_reader(source.partition, source.reader);
        async move { closed.map_err(|error| FetchError::Refused(error.to_string())) }.boxed()
    }
}
