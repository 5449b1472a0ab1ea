//! A consumer's part of an output, page by page.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use waterbear_protocol::spool::{CommittedRecord, InlinePage, QueryKey, Range};

use crate::error::{FormatError, SpoolError};
use crate::seal::{FrameId, LENGTH_BYTES, ObjectKey, ObjectKind, TAG_BYTES};
use crate::spool::Spool;

/// Reads one partition of a committed output, from its first page to its last.
#[derive(Debug)]
pub struct RangeReader {
    spool: Spool,
    record: CommittedRecord,
    /// None when everything lies in the record.
    key: Option<ObjectKey>,
    inline: VecDeque<InlinePage>,
    ranges: VecDeque<Range>,
    current: Option<Current>,
    read_bytes: usize,
    /// What this process has in memory is read there.
    memory_first: bool,
    read_requests: u64,
    memory_reads: u64,
}

/// A range that is being read.
#[derive(Debug)]
struct Current {
    range: Range,
    /// Bytes of the range that were read.
    read: u64,
    /// Frames of it that were opened.
    frames: u64,
    /// Read, not yet opened.
    bytes: BytesMut,
}

impl RangeReader {
    /// A reader of `partition` of what was committed. About `read_bytes` are read at once, unless
    /// a frame is larger.
    ///
    /// # Errors
    /// When the record's header is not one.
    pub fn new(
        spool: Spool,
        query: &QueryKey,
        record: &CommittedRecord,
        partition: u32,
        read_bytes: usize,
    ) -> Result<Self, SpoolError> {
        let record = record.only(|own| own == partition);
        let key = match record.header.is_empty() {
            true => None,
            false => {
                let opened =
                    ObjectKey::open(query, &record.attempt, ObjectKind::Data, &record.header);
                Some(opened.map_err(|error| damaged(&record, error))?)
            }
        };
        let inline = record.inline.clone().into();
        let ranges = record.ranges.clone().into();
        Ok(Self {
            spool,
            record,
            key,
            inline,
            ranges,
            current: None,
            read_bytes,
            memory_first: true,
            read_requests: 0,
            memory_reads: 0,
        })
    }

    /// The same reader, but of what lies in storage, whatever is in memory.
    pub fn of_storage_alone(self) -> Self {
        Self { memory_first: false, ..self }
    }

    /// Requests to storage so far.
    pub fn read_requests(&self) -> u64 {
        self.read_requests
    }

    /// Reads so far that needed no request: this process had the bytes in memory.
    pub fn memory_reads(&self) -> u64 {
        self.memory_reads
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// When storage fails: the next call asks for the same page. Or when what it gives is not what
    /// was written: the reader must not be used after that.
    pub async fn next_page(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if let Some(page) = self.inline.pop_front() {
            return Ok(Some(page.page));
        }
        if self.current.is_none() {
            let Some(range) = self.ranges.pop_front() else { return Ok(None) };
            self.current = Some(Current { range, read: 0, frames: 0, bytes: BytesMut::new() });
        }
        let length = self.have(LENGTH_BYTES).await?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length < TAG_BYTES {
            return Err(self.sealed_wrong());
        }
        self.have(LENGTH_BYTES + length).await?;
        self.open(length).map(Some)
    }

    /// Makes sure that so many bytes of the current range lie here.
    async fn have(&mut self, wanted: usize) -> Result<&[u8], SpoolError> {
        let key = self.spool.key(&self.record.attempt, ObjectKind::Data);
        let Some(current) = &mut self.current else { return Ok(&[]) };
        while current.bytes.len() < wanted {
            let left = current.range.length.saturating_sub(current.read);
            let ask = left.min(self.read_bytes.max(wanted - current.bytes.len()) as u64) as usize;
            let offset = current.range.offset + current.read;
            let cache = self.spool.cache().filter(|_| self.memory_first && ask > 0);
            let bytes = match cache.and_then(|cache| cache.read(&key, offset, ask)) {
                Some(bytes) => {
                    self.memory_reads += 1;
                    bytes
                }
                None if ask == 0 => BytesMut::new(),
                None => {
                    self.read_requests += 1;
                    let store = self.spool.store(&self.record.location)?;
                    store.get_range(&key, offset, ask).await?
                }
            };
            if bytes.is_empty() {
                let frame = current.range.first_frame + current.frames;
                let error = FormatError::Truncated { bytes: offset, frame };
                return Err(damaged(&self.record, error));
            }
            current.read += bytes.len() as u64;
            match current.bytes.is_empty() {
                true => current.bytes = bytes,
                false => current.bytes.extend_from_slice(&bytes),
            }
        }
        Ok(&current.bytes[..wanted])
    }

    /// Opens the frame that lies in front.
    fn open(&mut self, length: usize) -> Result<Bytes, SpoolError> {
        let (Some(current), Some(key)) = (&mut self.current, &self.key) else {
            return Err(self.sealed_wrong());
        };
        let number = current.range.first_frame + current.frames;
        let end = current.frames + 1 == current.range.frames;
        let frame = FrameId { partition: current.range.partition, number, end };
        let mut bytes = current.bytes.split_to(LENGTH_BYTES + length).split_off(LENGTH_BYTES);
        let opened = key.unseal(frame, &mut bytes).map_err(|error| damaged(&self.record, error))?;
        bytes.truncate(opened);
        current.frames += 1;
        if end {
            self.current = None;
        }
        Ok(bytes.freeze())
    }

    fn sealed_wrong(&self) -> SpoolError {
        let frame = self.current.as_ref().map_or(0, |c| c.range.first_frame + c.frames);
        damaged(&self.record, FormatError::Seal { frame })
    }
}

fn damaged(record: &CommittedRecord, error: FormatError) -> SpoolError {
    let object = format!("the output of {} in {}", record.attempt, record.location);
    SpoolError::Damaged { object, error }
}
