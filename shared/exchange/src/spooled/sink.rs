//! A task's output on its way to the spool.
//!
//! All partitions fill one buffer. When it is full, the partition that filled it writes all of it
//! as one run, while the others go on until it is full again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt};
use waterbear_spool::writer::{Run, SpoolPage};
use waterbear_spool::{AttemptWriter, FinishedAttempt, SpoolError};

use crate::buffer::WriteError;
use crate::held::HeldBytes;
use crate::page::{EncodeError, LENGTH_BYTES, Page, PageEncoder};

/// The output of one task attempt, while it is made.
#[derive(Debug)]
pub struct SpoolSink {
    schema: SchemaRef,
    /// Bytes of pages that make a run.
    limit: usize,
    held: HeldBytes,
    pending: Mutex<Pending>,
    /// `None` once it is committed, or a write has failed.
    writer: tokio::sync::Mutex<Option<AttemptWriter>>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// Pages that no run has yet.
#[derive(Debug, Default)]
struct Pending {
    /// By partition.
    pages: Vec<Vec<SpoolPage>>,
    bytes: usize,
}

impl SpoolSink {
    /// A sink for `partitions` partitions of batches of `schema`. About `limit` bytes of pages
    /// come together before they are written (`exchange.sink-buffer-size`); `held` is told of
    /// them.
    pub fn new(
        writer: AttemptWriter,
        partitions: u32,
        schema: SchemaRef,
        limit: usize,
        held: HeldBytes,
    ) -> Self {
        let pages = (0..partitions).map(|_| Vec::new()).collect();
        Self {
            schema,
            limit,
            held,
            pending: Mutex::new(Pending { pages, bytes: 0 }),
            writer: tokio::sync::Mutex::new(Some(writer)),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Rows given to the sink so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes of their pages.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of pages that wait for a run.
    pub fn buffered_bytes(&self) -> usize {
        self.pending().bytes
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the stream of one partition to its end. Each partition must be written by one stream
    /// at most.
    ///
    /// # Errors
    /// When the stream fails, its rows cannot be encoded, or the spool does not take them.
    pub async fn write_all<S, E>(&self, partition: u32, stream: S) -> Result<(), WriteError<E>>
    where
        S: Stream<Item = Result<arrow::record_batch::RecordBatch, E>>,
    {
        let mut encoder = PageEncoder::new(&self.schema).map_err(WriteError::Encode)?;
        let mut stream = std::pin::pin!(stream);
        let mut pages = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(WriteError::Stream)?;
            encoder.push(batch, &mut pages).map_err(WriteError::Encode)?;
            self.take(partition, &mut pages).await?;
        }
        encoder.flush(&mut pages).map_err(WriteError::Encode)?;
        self.take(partition, &mut pages).await
    }

    async fn take<E>(&self, partition: u32, pages: &mut Vec<Page>) -> Result<(), WriteError<E>> {
        if pages.is_empty() {
            return Ok(());
        }
        let full = {
            let mut pending = self.pending();
            let Some(own) = pending.pages.get_mut(partition as usize) else {
                let text = format!("the output has no partition {partition}");
                return Err(WriteError::Encode(EncodeError::Arrow(
                    arrow::error::ArrowError::InvalidArgumentError(text),
                )));
            };
            let mut bytes = 0;
            for page in pages.drain(..) {
                self.rows.fetch_add(page.rows as u64, Ordering::Relaxed);
                let page =
                    SpoolPage { bytes: page.bytes.slice(LENGTH_BYTES..), rows: page.rows as u64 };
                bytes += page.bytes.len();
                own.push(page);
            }
            pending.bytes += bytes;
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            self.held.add(bytes);
            pending.bytes >= self.limit
        };
        if full { self.write_run().await.map_err(WriteError::Spool) } else { Ok(()) }
    }

    async fn write_run(&self) -> Result<(), SpoolError> {
        let mut writer = self.writer.lock().await;
        // Another partition may have written it while this one waited.
        if self.pending().bytes < self.limit {
            return Ok(());
        }
        let Some(mut open) = writer.take() else { return Ok(()) };
        let (run, bytes) = self.run();
        let written = open.write_run(run).await;
        self.held.remove(bytes);
        written?;
        *writer = Some(open);
        Ok(())
    }

    /// Takes what waits, in the order of partitions.
    fn run(&self) -> (Run, usize) {
        let mut pending = self.pending();
        let bytes = std::mem::take(&mut pending.bytes);
        let pages = pending.pages.iter_mut().map(std::mem::take).enumerate();
        let run = pages.filter(|(_, pages)| !pages.is_empty());
        (run.map(|(partition, pages)| (partition as u32, pages)).collect(), bytes)
    }

    /// Writes what waits, makes the output durable, and commits it. The partitions' streams must
    /// have come to their ends. `None` when it was committed before, or a write had failed.
    ///
    /// # Errors
    /// When the spool does not take it; whether the attempt is committed is then not known.
    pub async fn commit(&self) -> Result<Option<FinishedAttempt>, SpoolError> {
        let Some(writer) = self.writer.lock().await.take() else { return Ok(None) };
        let (run, bytes) = self.run();
        let finished = writer.commit(run).await;
        self.held.remove(bytes);
        finished.map(Some)
    }
}

impl Drop for SpoolSink {
    fn drop(&mut self) {
        self.held.remove(self.pending().bytes);
    }
}
