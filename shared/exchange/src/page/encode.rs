//! Record batches to pages: small ones together, large ones in parts.

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use waterbear_protocol::{ErrorCode, Failure};

use super::compact::{compacted, referenced_bytes};
use super::wire_schema::{has_dictionary, wire_schema};
use super::{ALIGNMENT, LENGTH_BYTES, MAX_PAGE_BYTES, TARGET_PAGE_BYTES};

/// Batches wait for company until there are so many bytes …
const COALESCE_BYTES: usize = 256 << 10;
/// … or so many rows.
const COALESCE_ROWS: usize = 8192;

/// Why rows cannot be made into pages.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A type that pages cannot carry.
    #[error("column '{column}' of type {data_type} cannot be sent to another task")]
    UnsupportedType {
        /// The column's name.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// One row is larger than a page may be.
    #[error("a row of {bytes} bytes is larger than a page may be ({MAX_PAGE_BYTES} bytes)")]
    TooLarge {
        /// The row's size, encoded.
        bytes: usize,
    },
    /// The batch does not fit the schema, or arrow cannot encode it.
    #[error("cannot encode a page: {0}")]
    Arrow(#[from] ArrowError),
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        let code = match &error {
            EncodeError::UnsupportedType { .. } => ErrorCode::NOT_SUPPORTED,
            EncodeError::TooLarge { .. } => ErrorCode::PAGE_TOO_LARGE,
            EncodeError::Arrow(_) => ErrorCode::SERIALIZATION_ERROR,
        };
        Failure::new(code, error.to_string())
    }
}

/// An encoded page. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct Page {
    /// What goes on the wire: the length, then the message.
    pub bytes: Bytes,
    /// How many rows it has.
    pub rows: usize,
    /// Bytes that these rows reference in memory: what there is to send.
    pub referenced: usize,
}

/// Makes pages of one stream of batches, in order.
pub struct PageEncoder {
    wire: SchemaRef,
    unpacks: bool,
    writer: StreamWriter<Vec<u8>>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
}

impl PageEncoder {
    /// An encoder for batches of `schema`.
    ///
    /// # Errors
    /// When a column's type cannot be sent.
    pub fn new(schema: &SchemaRef) -> Result<Self, EncodeError> {
        let wire = wire_schema(schema);
        if let Some(field) = wire.fields().iter().find(|field| has_dictionary(field.data_type())) {
            return Err(EncodeError::UnsupportedType {
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            });
        }
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        // The stream's header goes to a vector that the first page replaces.
        let writer = StreamWriter::try_new_with_options(Vec::new(), &wire, options)?;
        Ok(Self {
            unpacks: !Arc::ptr_eq(&wire, schema),
            wire,
            writer,
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
        })
    }

    /// True when no rows wait to be flushed.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes a batch; appends the pages that it filled to `pages`.
    ///
    /// # Errors
    /// When the batch does not fit the schema or a row is too large.
    pub fn push(&mut self, batch: RecordBatch, pages: &mut Vec<Page>) -> Result<(), EncodeError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let batch = if self.unpacks { self.unpacked(&batch)? } else { batch };
        let bytes = referenced_bytes(&batch);
        let full = |rows: usize, bytes: usize| rows >= COALESCE_ROWS || bytes >= COALESCE_BYTES;
        if full(rows, bytes) {
            self.flush(pages)?;
            return self.encode_in_parts(&batch, bytes, pages);
        }
        self.pending.push(batch);
        self.pending_rows += rows;
        self.pending_bytes += bytes;
        if full(self.pending_rows, self.pending_bytes) { self.flush(pages) } else { Ok(()) }
    }

    /// Appends the rows that wait to `pages`.
    ///
    /// # Errors
    /// When the rows do not fit the schema or one is too large.
    pub fn flush(&mut self, pages: &mut Vec<Page>) -> Result<(), EncodeError> {
        let (batches, bytes) = (std::mem::take(&mut self.pending), self.pending_bytes);
        self.pending_rows = 0;
        self.pending_bytes = 0;
        match batches.as_slice() {
            [] => Ok(()),
            [batch] => self.encode_in_parts(batch, bytes, pages),
            many => {
                let batch = concat_batches(&self.wire, many)?;
                self.encode_in_parts(&batch, bytes, pages)
            }
        }
    }

    fn unpacked(&self, batch: &RecordBatch) -> Result<RecordBatch, EncodeError> {
        let columns = batch.columns().iter().zip(self.wire.fields());
        let columns = columns
            .map(|(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.wire), columns)?)
    }

    /// Divides the batch evenly, and again what is still much too large since its rows differ.
    fn encode_in_parts(
        &mut self,
        batch: &RecordBatch,
        bytes: usize,
        pages: &mut Vec<Page>,
    ) -> Result<(), EncodeError> {
        let rows = batch.num_rows();
        if bytes <= TARGET_PAGE_BYTES || rows <= 1 {
            pages.push(self.encode(batch, bytes)?);
            return Ok(());
        }
        let parts = bytes.div_ceil(TARGET_PAGE_BYTES);
        let part_rows = rows.div_ceil(parts).clamp(1, rows);
        let parts = (0..rows).step_by(part_rows);
        let parts = parts.map(|start| batch.slice(start, part_rows.min(rows - start)));
        let parts: Vec<_> = parts.map(|part| (referenced_bytes(&part), part)).collect();
        // Parts that share what they reference (or whose type's size is a guess) do not get
        // smaller by dividing them further.
        let shared = parts.iter().map(|(bytes, _)| bytes).sum::<usize>() > bytes + bytes / 2;
        for (part_bytes, part) in parts {
            if part_bytes > 2 * TARGET_PAGE_BYTES && part.num_rows() < rows && !shared {
                self.encode_in_parts(&part, part_bytes, pages)?;
            } else {
                pages.push(self.encode(&part, part_bytes)?);
            }
        }
        Ok(())
    }

    fn encode(&mut self, batch: &RecordBatch, bytes: usize) -> Result<Page, EncodeError> {
        let columns = batch.columns().iter().map(compacted).collect::<Result<Vec<_>, _>>()?;
        let rows = batch.num_rows();
        let options =
            RecordBatchOptions::new().with_row_count(Some(rows)).with_match_field_names(false);
        let wire = Arc::clone(&self.wire);
        let batch = RecordBatch::try_new_with_options(wire, columns, &options)?;
        let capacity = bytes + bytes / 16 + 128 * (batch.num_columns() + 2);
        let mut page = Vec::with_capacity(capacity);
        page.extend_from_slice(&[0; LENGTH_BYTES]);
        *self.writer.get_mut() = page;
        self.writer.write(&batch)?;
        let mut page = std::mem::take(self.writer.get_mut());
        let length = page.len() - LENGTH_BYTES;
        match u32::try_from(length) {
            Ok(length) if length as usize <= MAX_PAGE_BYTES => {
                page[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            }
            _ => return Err(EncodeError::TooLarge { bytes: length }),
        }
        Ok(Page { bytes: Bytes::from(page), rows, referenced: bytes })
    }
}

impl std::fmt::Debug for PageEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageEncoder")
            .field("wire", &self.wire)
            .field("pending_rows", &self.pending_rows)
            .finish_non_exhaustive()
    }
}
