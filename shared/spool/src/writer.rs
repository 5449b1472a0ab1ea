//! An attempt's output on its way to storage, run by run.

use bytes::Bytes;
use waterbear_ids::AttemptId;
use waterbear_protocol::spool::{CommittedRecord, InlinePage, QueryKey, Range};

use crate::cache::CachedObject;
use crate::error::{FormatError, SpoolError};
use crate::record::{self, INLINE_BYTES};
use crate::seal::{FrameId, HEADER_BYTES, LENGTH_BYTES, ObjectKey, ObjectKind, TAG_BYTES};
use crate::spool::Spool;
use crate::store::ObjectSink;

/// Frames are given to storage in pieces of about this size, in bytes.
const PIECE_BYTES: usize = 4 << 20;

/// A page of the output, and how many rows it has.
#[derive(Debug, Clone)]
pub struct SpoolPage {
    /// The page.
    pub bytes: Bytes,
    /// Its rows.
    pub rows: u64,
}

/// Pages by partition; a partition without pages may be left out.
pub type Run = Vec<(u32, Vec<SpoolPage>)>;

/// Writes the output of one attempt. Dropped before [`Self::commit`], it leaves nothing.
#[derive(Debug)]
pub struct AttemptWriter {
    spool: Spool,
    key: QueryKey,
    record: CommittedRecord,
    object: Option<OpenObject>,
}

/// What a commit has brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedAttempt {
    /// The record, as it lies in storage.
    pub record: CommittedRecord,
    /// Bytes written, the record's own included.
    pub written_bytes: u64,
    /// Requests that wrote something.
    pub write_requests: u64,
}

#[derive(Debug)]
struct OpenObject {
    key: ObjectKey,
    sink: Box<dyn ObjectSink>,
    cached: Option<CachedObject>,
    /// Bytes in storage and in `piece`.
    offset: u64,
    frames: u64,
    /// Sealed, not yet in storage.
    piece: Vec<u8>,
    requests: u64,
}

impl AttemptWriter {
    /// A writer for an output of so many partitions, in a location of the spool.
    ///
    /// # Errors
    /// When the location is not one of this node's.
    pub fn new(
        spool: Spool,
        key: QueryKey,
        attempt: AttemptId,
        location: &str,
        partitions: u32,
    ) -> Result<Self, SpoolError> {
        spool.store(location)?;
        let record = CommittedRecord {
            attempt,
            location: location.to_owned(),
            header: Bytes::new(),
            data_bytes: 0,
            partitions,
            rows: 0,
            ranges: Vec::new(),
            inline: Vec::new(),
        };
        Ok(Self { spool, key, record, object: None })
    }

    /// Bytes given to storage so far.
    pub fn written_bytes(&self) -> u64 {
        self.object.as_ref().map_or(0, |object| object.offset)
    }

    /// Writes a run: the pages of each partition one behind the other, partitions in the order in
    /// which they are given.
    ///
    /// # Errors
    /// When storage does not take it; the attempt has failed then.
    pub async fn write_run(&mut self, run: Run) -> Result<(), SpoolError> {
        let mut object = match self.object.take() {
            Some(object) => object,
            None => self.open().await?,
        };
        for (partition, pages) in run {
            let Some(last) = pages.len().checked_sub(1) else { continue };
            let (offset, first_frame) = (object.offset, object.frames);
            let mut rows = 0;
            for (index, page) in pages.iter().enumerate() {
                rows += page.rows;
                object.seal(partition, index == last, page);
                if object.piece.len() >= PIECE_BYTES {
                    object.flush().await?;
                }
            }
            let (length, frames) = (object.offset - offset, pages.len() as u64);
            let range = Range { partition, offset, length, first_frame, frames, rows };
            self.record.ranges.push(range);
            self.record.rows += rows;
        }
        self.object = Some(object);
        Ok(())
    }

    async fn open(&mut self) -> Result<OpenObject, SpoolError> {
        let (attempt, location) = (&self.record.attempt, &self.record.location);
        let name = self.spool.key(attempt, ObjectKind::Data);
        let sink = self.spool.store(location)?.create(&name).await?;
        let cached = self.spool.cache().map(|cache| cache.begin(name));
        let (key, header) = ObjectKey::create(&self.key, attempt, ObjectKind::Data)
            .map_err(|_| self.failed(FormatError::Record("no random bytes".to_owned())))?;
        self.record.header = Bytes::copy_from_slice(&header);
        let (offset, piece) = (HEADER_BYTES as u64, header.to_vec());
        Ok(OpenObject { key, sink, cached, offset, frames: 0, piece, requests: 0 })
    }

    /// Writes the last run, makes everything durable, and commits: the record is the last thing
    /// that an attempt writes. A small output lies in the record alone.
    ///
    /// # Errors
    /// When storage does not take it. Whether the record is there is then not known.
    pub async fn commit(mut self, last: Run) -> Result<FinishedAttempt, SpoolError> {
        let pages = || last.iter().flat_map(|(_, pages)| pages);
        let bytes: usize = pages().map(|page| page.bytes.len()).sum();
        if self.object.is_none() && bytes <= INLINE_BYTES {
            self.record.rows = pages().map(|page| page.rows).sum();
            self.record.inline = last
                .into_iter()
                .flat_map(|(partition, pages)| pages.into_iter().map(move |page| (partition, page)))
                .map(|(partition, SpoolPage { bytes, rows })| InlinePage {
                    partition,
                    rows,
                    page: bytes,
                })
                .collect();
        } else {
            self.write_run(last).await?;
        }
        let mut object = self.object.take();
        if let Some(object) = &mut object {
            object.flush().await?;
            self.record.data_bytes = object.offset;
        }
        let sealed = record::seal(&self.record, &self.key).map_err(|error| self.failed(error))?;
        let written_bytes = self.record.data_bytes + sealed.len() as u64;
        let requests = 1 + object.as_ref().map_or(0, |object| object.requests);
        let name = self.spool.key(&self.record.attempt, ObjectKind::Record);
        match object {
            Some(object) => {
                object.sink.finish(&name, sealed.into()).await?;
                if let Some(cached) = object.cached {
                    cached.finish();
                }
            }
            None => self.spool.store(&self.record.location)?.put(&name, sealed.into()).await?,
        }
        Ok(FinishedAttempt { record: self.record, written_bytes, write_requests: requests })
    }

    fn failed(&self, error: FormatError) -> SpoolError {
        let object = format!("the output of {}", self.record.attempt);
        SpoolError::Damaged { object, error }
    }
}

impl OpenObject {
    fn seal(&mut self, partition: u32, end: bool, page: &SpoolPage) {
        let frame = FrameId { partition, number: self.frames, end };
        self.key.seal(frame, &page.bytes, &mut self.piece);
        self.frames += 1;
        self.offset += (LENGTH_BYTES + page.bytes.len() + TAG_BYTES) as u64;
    }

    async fn flush(&mut self) -> Result<(), SpoolError> {
        if !self.piece.is_empty() {
            self.requests += 1;
            let mut piece = std::mem::take(&mut self.piece);
            // It may stay for a while.
            piece.shrink_to_fit();
            let piece = Bytes::from(piece);
            if let Some(cached) = &mut self.cached {
                cached.push(&piece);
            }
            self.sink.write(piece).await?;
        }
        Ok(())
    }
}
