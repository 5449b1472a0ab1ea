//! Bytes as they come from the network to whole pages.

use arrow::buffer::{Buffer, MutableBuffer};

use super::{LENGTH_BYTES, MAX_PAGE_BYTES, TARGET_PAGE_BYTES};

/// Why the bytes of an answer are not pages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// A page's length is more than a page may have.
    #[error("it announces a page of {0} bytes, more than a page may have")]
    PageTooLarge(usize),
    /// The answer goes on beyond what one may have.
    #[error("it has more than {0} bytes")]
    AnswerTooLarge(usize),
    /// The answer ends within a page.
    #[error("it ends within a page")]
    CutShort,
}

/// Collects an answer's bytes into aligned pages, one copy, in memory that grows only as bytes
/// really come.
#[derive(Debug)]
pub struct PageAssembler {
    limit: usize,
    received: usize,
    length: [u8; LENGTH_BYTES],
    length_filled: usize,
    page: Option<(MutableBuffer, usize)>,
    pages: Vec<Buffer>,
}

impl PageAssembler {
    /// An assembler for an answer of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            received: 0,
            length: [0; LENGTH_BYTES],
            length_filled: 0,
            page: None,
            pages: Vec::new(),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are more, or announce more, than an answer may have.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), TransferError> {
        self.received += bytes.len();
        if self.received > self.limit {
            return Err(TransferError::AnswerTooLarge(self.limit));
        }
        while !bytes.is_empty() {
            bytes = match self.page.take() {
                None => self.feed_length(bytes)?,
                Some((page, missing)) => self.feed_page(page, missing, bytes),
            };
        }
        Ok(())
    }

    fn feed_length<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], TransferError> {
        let count = bytes.len().min(LENGTH_BYTES - self.length_filled);
        let (head, rest) = bytes.split_at(count);
        self.length[self.length_filled..self.length_filled + count].copy_from_slice(head);
        self.length_filled += count;
        if self.length_filled == LENGTH_BYTES {
            self.length_filled = 0;
            let length = u32::from_le_bytes(self.length) as usize;
            if length > MAX_PAGE_BYTES {
                return Err(TransferError::PageTooLarge(length));
            }
            let capacity = length.min(2 * TARGET_PAGE_BYTES);
            self.page = Some((MutableBuffer::with_capacity(capacity), length));
            if length == 0 {
                self.page = None;
                self.pages.push(Buffer::default());
            }
        }
        Ok(rest)
    }

    fn feed_page<'a>(
        &mut self,
        mut page: MutableBuffer,
        missing: usize,
        bytes: &'a [u8],
    ) -> &'a [u8] {
        let (part, rest) = bytes.split_at(bytes.len().min(missing));
        page.extend_from_slice(part);
        match missing - part.len() {
            0 => self.pages.push(page.into()),
            missing => self.page = Some((page, missing)),
        }
        rest
    }

    /// How many bytes came.
    pub fn received(&self) -> usize {
        self.received
    }

    /// The pages, when the answer has ended.
    ///
    /// # Errors
    /// When it ended within a page.
    pub fn finish(self) -> Result<Vec<Buffer>, TransferError> {
        if self.page.is_some() || self.length_filled > 0 {
            return Err(TransferError::CutShort);
        }
        Ok(self.pages)
    }
}
