//! What a task has produced and others have yet to read.
//!
//! Each partition is a bounded queue of pages with a cursor per reader. A page stays until every
//! reader has acknowledged it or is closed. Partitions share nothing: one whose readers have
//! stopped fills up and its producing stream waits, and no other notices.
//!
//! Where all readers of a partition are in the producer's own process, they get its batches as
//! they are: no encoding, no copy, no network.

mod partition;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::held::HeldBytes;
use crate::page::{EncodeError, Page};
use partition::Partition;
pub use writer::{PartitionWriter, WriteError, Written};

/// Pages for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// The pages as they go on the wire, each with its length in front. Empty when none came in
    /// time.
    pub bytes: Vec<Bytes>,
    /// Bytes that their rows reference in memory.
    pub referenced: usize,
    /// The token to ask for next; asking for it acknowledges these pages.
    pub next_token: u64,
    /// True when no page follows the next token.
    pub complete: bool,
}

/// What a task has produced, as it lies in its buffer.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// Rows as they go on the wire.
    Page(Page),
    /// Rows for readers in the same process, which need no encoding.
    Batch {
        /// The rows.
        batch: RecordBatch,
        /// Bytes that they reference.
        bytes: usize,
    },
}

impl Chunk {
    fn bytes(&self) -> usize {
        match self {
            Self::Page(page) => page.bytes.len(),
            Self::Batch { bytes, .. } => *bytes,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Page(page) => page.rows,
            Self::Batch { batch, .. } => batch.num_rows(),
        }
    }
}

/// Chunks for a reader in the same process.
#[derive(Debug, Clone)]
pub struct Chunks {
    /// The chunks in order. Empty when none came in time.
    pub chunks: Vec<Chunk>,
    /// The token to ask for next; asking for it acknowledges these chunks.
    pub next_token: u64,
    /// True when no chunk follows the next token.
    pub complete: bool,
}

/// Why a reader gets no pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such partition or reader.
    #[error("there is no such partition or reader")]
    UnknownReader,
    /// The reader has acknowledged what it asks for.
    #[error("the pages from token {token} on were acknowledged up to token {acknowledged}")]
    Acknowledged {
        /// The token asked for.
        token: u64,
        /// The lowest token that can be asked for.
        acknowledged: u64,
    },
    /// The reader was never given this token.
    #[error("token {token} was never given out; the next one is {next}")]
    UnknownToken {
        /// The token asked for.
        token: u64,
        /// The token that follows what was given out.
        next: u64,
    },
    /// The reader said that it wants no more.
    #[error("the reader was closed")]
    Closed,
    /// The task was aborted or failed.
    #[error("the output was dropped")]
    Aborted,
    /// The reader reads in this process; its rows have no encoding.
    #[error("the reader is in the process of the producer")]
    InProcess,
}

/// The output of one task attempt.
#[derive(Debug)]
pub struct OutputBuffer {
    schema: SchemaRef,
    partitions: Vec<Arc<Partition>>,
    totals: Arc<Totals>,
}

/// What all partitions count together.
#[derive(Debug, Default)]
struct Totals {
    rows: AtomicU64,
    bytes: AtomicU64,
    buffered: AtomicUsize,
    held: HeldBytes,
    /// Partitions that still have something to give.
    open: AtomicUsize,
    drained: CancellationToken,
}

impl Totals {
    fn hold(&self, bytes: usize) {
        self.buffered.fetch_add(bytes, Ordering::Relaxed);
        self.held.add(bytes);
    }

    fn release(&self, bytes: usize) {
        self.buffered.fetch_sub(bytes, Ordering::Relaxed);
        self.held.remove(bytes);
    }
}

impl OutputBuffer {
    /// A buffer of `partitions` partitions, each read by `readers` readers, each of which gets
    /// every row. A partition holds about `limit` bytes of pages before its producer waits; `held`
    /// is told of them.
    pub fn new(
        partitions: u32,
        readers: u32,
        schema: SchemaRef,
        limit: usize,
        held: HeldBytes,
    ) -> Self {
        let totals = Arc::new(Totals { held, ..Totals::default() });
        totals.open.store(partitions as usize, Ordering::Relaxed);
        if partitions == 0 {
            totals.drained.cancel();
        }
        let partition = |_| Arc::new(Partition::new(readers, limit, Arc::clone(&totals)));
        Self { schema, partitions: (0..partitions).map(partition).collect(), totals }
    }

    /// The handle that fills `partition`. There must be one at a time, and a partition's stream
    /// comes to its end only with [`PartitionWriter::finish`].
    ///
    /// # Errors
    /// When the schema has a type that cannot be sent.
    ///
    /// # Panics
    /// When there is no such partition.
    pub fn writer(&self, partition: u32) -> Result<PartitionWriter, EncodeError> {
        PartitionWriter::new(&self.schema, Arc::clone(&self.partitions[partition as usize]))
    }

    /// Pages of `partition` for `reader` from `token` on: at least one page, then as many as fit
    /// in `max_bytes`. Waits up to `max_wait` when there is none yet. Acknowledges what is before
    /// `token`. The same token again gets the same pages again, unless there were none.
    ///
    /// # Errors
    /// When the token was neither just given out nor just asked for, or nothing can be read.
    pub async fn read(
        &self,
        partition: u32,
        reader: u32,
        token: u64,
        max_bytes: usize,
        max_wait: Duration,
    ) -> Result<Pages, ReadError> {
        let partition = self.partition(partition)?;
        let read = partition.read(reader as usize, token, max_bytes, max_wait).await?;
        let Chunks { chunks, next_token, complete } = read;
        let mut referenced = 0;
        let bytes = chunks.into_iter().map(|chunk| match chunk {
            Chunk::Page(page) => {
                referenced += page.referenced;
                Ok(page.bytes)
            }
            Chunk::Batch { .. } => Err(ReadError::InProcess),
        });
        let bytes = bytes.collect::<Result<_, _>>()?;
        Ok(Pages { bytes, referenced, next_token, complete })
    }

    /// Like [`Self::read`], for a reader in this process: once all readers of a partition read so,
    /// its rows are no longer encoded.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_in_process(
        &self,
        partition: u32,
        reader: u32,
        token: u64,
        max_bytes: usize,
        max_wait: Duration,
    ) -> Result<Chunks, ReadError> {
        let partition = self.partition(partition)?;
        partition.in_process(reader as usize);
        partition.read(reader as usize, token, max_bytes, max_wait).await
    }

    /// The reader wants no more of the partition, or has all of it.
    ///
    /// # Errors
    /// When there is no such partition or reader.
    pub fn close_reader(&self, partition: u32, reader: u32) -> Result<(), ReadError> {
        self.partition(partition)?.close_reader(reader as usize)
    }

    fn partition(&self, partition: u32) -> Result<&Arc<Partition>, ReadError> {
        self.partitions.get(partition as usize).ok_or(ReadError::UnknownReader)
    }

    /// Drops all pages, wakes and refuses all readers, and stops all writers.
    pub fn abort(&self) {
        for partition in &self.partitions {
            partition.abort();
        }
    }

    /// Waits until each reader of each partition is closed, or has asked for what follows an answer
    /// that said `complete`.
    pub async fn drained(&self) {
        self.totals.drained.cancelled().await;
    }

    /// Rows given to the output so far.
    pub fn rows(&self) -> u64 {
        self.totals.rows.load(Ordering::Relaxed)
    }

    /// Bytes of the output so far, encoded; each page counts once, however many read it.
    pub fn bytes(&self) -> u64 {
        self.totals.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the pages held now.
    pub fn buffered_bytes(&self) -> usize {
        self.totals.buffered.load(Ordering::Relaxed)
    }
}

impl Drop for OutputBuffer {
    fn drop(&mut self) {
        // Writers and waiting readers hold partitions of their own.
        self.abort();
    }
}
