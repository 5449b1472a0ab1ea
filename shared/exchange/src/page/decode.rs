//! Pages to record batches: everything is checked, since another process made them.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::RecordBatchDecoder;
use arrow::ipc::{self, MetadataVersion, root_as_message};
use arrow::record_batch::RecordBatch;

use super::ALIGNMENT;
use super::wire_schema::{view_columns, wire_schema};

/// Bytes before the metadata: a marker and the metadata's length.
const PREFIX_BYTES: usize = 8;

/// What an encapsulated message starts with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// More rows than any page has, and few enough that sizes computed from them do not overflow.
const MAX_ROWS: i64 = i32::MAX as i64;

/// Why bytes are not a page of the expected schema.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the message does.
    #[error("the page is cut short")]
    Truncated,
    /// The bytes are something else.
    #[error("the page is malformed: {0}")]
    Malformed(String),
    /// The message is one, but not of the schema.
    #[error("the page does not fit the plan: {0}")]
    Arrow(#[from] ArrowError),
}

/// Decodes the pages of one schema.
#[derive(Debug, Clone)]
pub struct PageDecoder {
    schema: SchemaRef,
    wire: SchemaRef,
    view_columns: usize,
}

impl PageDecoder {
    /// A decoder that gives batches of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        let wire = wire_schema(&schema);
        Self { view_columns: view_columns(&wire), wire, schema }
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes one page without copying it, if `page` is aligned; appends its rows to `batches`
    /// (several batches only where dictionaries overflow).
    ///
    /// # Errors
    /// When the bytes are not a page of the schema. Never panics.
    pub fn decode(
        &self,
        page: &Buffer,
        batches: &mut VecDeque<RecordBatch>,
    ) -> Result<(), DecodeError> {
        let (metadata, body) = split(page)?;
        let message =
            root_as_message(metadata).map_err(|error| DecodeError::Malformed(error.to_string()))?;
        if message.version() != MetadataVersion::V5 {
            return Err(malformed("its version is not V5"));
        }
        let Some(header) = message.header_as_record_batch() else {
            return Err(malformed("it is not a record batch"));
        };
        match usize::try_from(message.bodyLength()) {
            Ok(length) if length <= body.len() => {}
            _ => return Err(DecodeError::Truncated),
        }
        self.check_layout(&header, body.len())?;
        let batch = self.read(header, &body)?;
        if Arc::ptr_eq(&self.wire, &self.schema) {
            batches.push_back(batch);
            return Ok(());
        }
        Ok(self.pack(batch, batches)?)
    }

    /// Takes rows that were never encoded; appends them to `batches`.
    ///
    /// # Errors
    /// When they are not of the schema.
    pub fn accept(
        &self,
        batch: RecordBatch,
        batches: &mut VecDeque<RecordBatch>,
    ) -> Result<(), DecodeError> {
        let options = RecordBatchOptions::new()
            .with_row_count(Some(batch.num_rows()))
            .with_match_field_names(false);
        let (schema, columns) = (Arc::clone(&self.schema), batch.columns().to_vec());
        batches.push_back(RecordBatch::try_new_with_options(schema, columns, &options)?);
        Ok(())
    }

    /// Checks what arrow's decoder takes for granted, and would answer with a panic.
    fn check_layout(&self, header: &ipc::RecordBatch, body: usize) -> Result<(), DecodeError> {
        if header.compression().is_some() {
            return Err(malformed("it is compressed"));
        }
        if !(0..=MAX_ROWS).contains(&header.length()) {
            return Err(malformed("its row count is out of range"));
        }
        for node in header.nodes().into_iter().flatten() {
            let nulls = 0..=node.length();
            if node.length() > MAX_ROWS || !nulls.contains(&node.null_count()) {
                return Err(malformed("the length or null count of a column is out of range"));
            }
        }
        let buffers = header.buffers().map_or(0, |buffers| buffers.len());
        for buffer in header.buffers().into_iter().flatten() {
            let end = buffer.offset().checked_add(buffer.length());
            let inside = buffer.offset() >= 0
                && buffer.offset() % ALIGNMENT as i64 == 0
                && buffer.length() >= 0
                && end.and_then(|end| usize::try_from(end).ok()).is_some_and(|end| end <= body);
            if !inside {
                return Err(malformed("a buffer lies outside the body, or askew in it"));
            }
        }
        let counts = header.variadicBufferCounts();
        if counts.map_or(0, |counts| counts.len()) != self.view_columns {
            return Err(malformed("its number of view columns differs"));
        }
        let count_fits = |count: i64| usize::try_from(count).is_ok_and(|count| count <= buffers);
        if !counts.into_iter().flatten().all(count_fits) {
            return Err(malformed("a view column has more buffers than the page"));
        }
        Ok(())
    }

    fn read(&self, header: ipc::RecordBatch, body: &Buffer) -> Result<RecordBatch, DecodeError> {
        let dictionaries = HashMap::new();
        let version = MetadataVersion::V5;
        let wire = Arc::clone(&self.wire);
        // Arrow's decoder asserts here and there; what the checks above miss must not take down
        // more than this page. It touches nothing that outlives the call.
        let read = catch_unwind(AssertUnwindSafe(|| {
            RecordBatchDecoder::try_new(body, header, wire, &dictionaries, &version)?
                .read_record_batch()
        }));
        match read {
            Ok(batch) => Ok(batch?),
            Err(_) => Err(malformed("it is inconsistent")),
        }
    }

    /// Packs dictionaries again. A page may join batches whose dictionaries together have more
    /// values than the keys can tell apart: its halves have fewer.
    fn pack(
        &self,
        batch: RecordBatch,
        batches: &mut VecDeque<RecordBatch>,
    ) -> Result<(), ArrowError> {
        let rows = batch.num_rows();
        let columns = batch.columns().iter().zip(self.schema.fields());
        let packed = columns
            .map(|(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()),
            })
            .collect::<Result<Vec<_>, _>>();
        match packed {
            Ok(columns) => {
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let schema = Arc::clone(&self.schema);
                batches.push_back(RecordBatch::try_new_with_options(schema, columns, &options)?);
                Ok(())
            }
            Err(ArrowError::DictionaryKeyOverflowError | ArrowError::CastError(_)) if rows > 1 => {
                let half = rows / 2;
                self.pack(batch.slice(0, half), batches)?;
                self.pack(batch.slice(half, rows - half), batches)
            }
            Err(error) => Err(error),
        }
    }
}

/// The metadata and the body of a page.
fn split(page: &Buffer) -> Result<(&[u8], Buffer), DecodeError> {
    let bytes = page.as_slice();
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(DecodeError::Truncated);
    };
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *prefix;
    if [c0, c1, c2, c3] != CONTINUATION {
        return Err(malformed("it does not start as one"));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let metadata = rest.get(..length).ok_or(DecodeError::Truncated)?;
    Ok((metadata, page.slice(PREFIX_BYTES + length)))
}

fn malformed(reason: &str) -> DecodeError {
    DecodeError::Malformed(reason.to_owned())
}
