//! How pages are asked for: one trait, so that the reader is tested without a network.

use std::sync::Arc;
use std::time::Duration;

use arrow::buffer::Buffer;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use waterbear_protocol::Failure;
use waterbear_protocol::task::Producer;

use crate::buffer::Chunk;
use crate::page::LENGTH_BYTES;

/// One output partition of one producer, as one of its readers.
#[derive(Debug, Clone)]
pub struct Source {
    /// Who produces it, and where.
    pub producer: Arc<Producer>,
    /// The producer's output partition.
    pub partition: u32,
    /// Which of the partition's readers this is.
    pub reader: u32,
}

/// One question for pages.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    /// The first page wanted; what is before it is acknowledged.
    pub token: u64,
    /// How many bytes of pages are welcome; one page comes in any case.
    pub max_bytes: usize,
    /// How long the producer may wait for a page.
    pub max_wait: Duration,
}

/// Rows that came.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// A page to decode.
    Page(Buffer),
    /// Rows of a producer in this process, and the bytes that they reference.
    Batch(RecordBatch, usize),
}

impl Fetched {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Page(page) => page.len(),
            Self::Batch(_, bytes) => *bytes,
        }
    }
}

impl From<Chunk> for Fetched {
    /// What a reader in the producer's process takes out of its buffer.
    fn from(chunk: Chunk) -> Self {
        match chunk {
            // Decoding asks for alignment, which behind the length there is none.
            Chunk::Page(page) => Self::Page(Buffer::from(&page.bytes[LENGTH_BYTES..])),
            Chunk::Batch { batch, bytes } => Self::Batch(batch, bytes),
        }
    }
}

/// The answer: pages, or none yet.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The pages, in order.
    pub pages: Vec<Fetched>,
    /// The token to ask for next.
    pub next_token: u64,
    /// True when no page follows.
    pub complete: bool,
    /// Bytes that came over the wire.
    pub wire_bytes: usize,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The node's process is not there any more: nothing listens, or another process does.
    #[error("{0}")]
    Gone(String),
    /// The task failed.
    #[error("the task failed: {0}")]
    Failed(Box<Failure>),
    /// The task was aborted, or is over.
    #[error("its output was dropped: {0}")]
    Dropped(String),
    /// The connection broke: asking again may help.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The spool's storage fails: asking again may help, and nobody else has the output.
    #[error("{0}")]
    Storage(String),
    /// The node serves too many requests: asking again later helps.
    #[error("it serves too many requests")]
    Overloaded,
    /// No answer, or no progress, in time.
    #[error("{0}")]
    TimedOut(String),
    /// The node does not accept the request.
    #[error("{0}")]
    Refused(String),
    /// The answer is not what it should be.
    #[error("{0}")]
    Malformed(String),
    /// What was committed is gone from the spool, or damaged: only its producer can make it again.
    #[error("its output is lost: {0}")]
    Lost(String),
}

/// Asks producers for pages.
pub trait Fetch: Send + Sync + 'static {
    /// Asks once.
    fn pages<'a>(
        &'a self,
        source: &'a Source,
        request: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>>;

    /// True when everything is there already. Producers that still run need all their readers at
    /// the same time; what is complete can be read source by source.
    fn is_complete(&self) -> bool {
        false
    }

    /// Says once that no more is wanted from a source, or that everything has come.
    fn close<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<(), FetchError>>;
}
