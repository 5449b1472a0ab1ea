//! Fills one partition.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::{Stream, StreamExt};
use waterbear_spool::SpoolError;

use super::Chunk;
use super::partition::Partition;
use crate::page::{EncodeError, Page, PageEncoder, referenced_bytes};

/// How a stream ended that was written to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All of it is in the buffer.
    Everything,
    /// Its readers wanted no more of it, or the output was aborted.
    Unwanted,
}

/// Why a stream was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The stream failed.
    #[error("{0}")]
    Stream(E),
    /// Its rows cannot be encoded.
    #[error(transparent)]
    Encode(EncodeError),
    /// The spool does not take them.
    #[error(transparent)]
    Spool(SpoolError),
}

/// The one writer of a partition.
#[derive(Debug)]
pub struct PartitionWriter {
    encoder: PageEncoder,
    full: Vec<Page>,
    partition: Arc<Partition>,
}

impl PartitionWriter {
    pub(super) fn new(schema: &SchemaRef, partition: Arc<Partition>) -> Result<Self, EncodeError> {
        Ok(Self { encoder: PageEncoder::new(schema)?, full: Vec::new(), partition })
    }

    /// Takes a batch; waits while the partition is full. Small batches wait for others until
    /// [`Self::flush`].
    ///
    /// # Errors
    /// When the batch cannot be encoded.
    pub async fn push(&mut self, batch: RecordBatch) -> Result<Written, EncodeError> {
        if !self.partition.is_in_process() {
            self.encoder.push(batch, &mut self.full)?;
            return Ok(self.append_full().await);
        }
        // What was encoded before comes first.
        if self.flush().await? == Written::Unwanted {
            return Ok(Written::Unwanted);
        }
        if batch.num_rows() == 0 {
            return Ok(Written::Everything);
        }
        let bytes = referenced_bytes(&batch);
        let wanted = self.partition.append(Chunk::Batch { batch, bytes }).await;
        Ok(if wanted { Written::Everything } else { Written::Unwanted })
    }

    /// Makes what was pushed readable.
    ///
    /// # Errors
    /// When the rows cannot be encoded.
    pub async fn flush(&mut self) -> Result<Written, EncodeError> {
        self.encoder.flush(&mut self.full)?;
        Ok(self.append_full().await)
    }

    /// Flushes, and marks the partition as complete.
    ///
    /// # Errors
    /// When the rows cannot be encoded.
    pub async fn finish(mut self) -> Result<Written, EncodeError> {
        let written = self.flush().await?;
        self.partition.finish();
        Ok(written)
    }

    async fn append_full(&mut self) -> Written {
        for page in self.full.drain(..) {
            if !self.partition.append(Chunk::Page(page)).await {
                return Written::Unwanted;
            }
        }
        Written::Everything
    }

    /// Writes a stream to its end, or until nobody wants more. Small batches are joined while the
    /// readers have something to read, and sent at once when one waits.
    ///
    /// # Errors
    /// When the stream fails or its rows cannot be encoded. The partition is then not complete.
    pub async fn write_all<S, E>(mut self, stream: S) -> Result<Written, WriteError<E>>
    where
        S: Stream<Item = Result<RecordBatch, E>>,
    {
        let mut stream = std::pin::pin!(stream);
        let partition = Arc::clone(&self.partition);
        let mut unwanted = std::pin::pin!(partition.closed().cancelled());
        loop {
            let written = tokio::select! {
                biased;
                () = &mut unwanted => return Ok(Written::Unwanted),
                next = stream.next() => match next {
                    Some(batch) => self.push(batch.map_err(WriteError::Stream)?).await,
                    None => return self.finish().await.map_err(WriteError::Encode),
                },
                // Only once the stream has nothing ready.
                () = partition.starving(), if !self.encoder.is_empty() => self.flush().await,
            };
            if written.map_err(WriteError::Encode)? == Written::Unwanted {
                return Ok(Written::Unwanted);
            }
        }
    }
}
