//! The rows of JSON files, one object a line.
//!
//! Arrow's decoder cuts a fraction off for an integer column, reads numbers out of texts and drops
//! members that it does not know. So each line is first compared with the columns, and what does
//! not fit fails the query.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder as ArrowDecoder;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileSource, JsonSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::ObjectStore;
use datafusion_datasource::boundary_stream::AlignedBoundaryStream;
use datafusion_datasource::decoder::{Decoder, DecoderDeserializer, deserialize_stream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::sample::BYTE_ORDER_MARK;

/// Returns what opens the files of a scan.
pub(super) fn opener(
    source: &JsonSource,
    store: Arc<dyn ObjectStore>,
    batch: usize,
) -> Result<Arc<dyn FileOpener>> {
    let columns = source.table_schema().file_schema();
    let split = match source.projection() {
        Some(projection) => SplitProjection::new(columns, projection),
        None => SplitProjection::unprojected(source.table_schema()),
    };
    let read = Arc::new(columns.project(&split.file_indices)?);
    let opener = JsonOpener { columns: Arc::clone(columns), read, store, batch };
    ProjectionOpener::try_new(split, Arc::new(opener), columns)
}

/// Opens JSON files.
struct JsonOpener {
    /// All columns of the file.
    columns: SchemaRef,
    /// Those that the query needs.
    read: SchemaRef,
    store: Arc<dyn ObjectStore>,
    batch: usize,
}

impl FileOpener for JsonOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let size = file.object_meta.size;
        let (start, end) = match &file.range {
            Some(range) => (offset(range.start)?, offset(range.end)?),
            None => (0, size),
        };
        let rows = Rows {
            // A batch is taken when it is full, so that the decoder never is.
            decoder: ReaderBuilder::new(Arc::clone(&self.read))
                .with_batch_size(self.batch + 1)
                .with_coerce_primitive(true)
                .build_decoder()?,
            row: DataType::Struct(self.columns.fields().clone()),
            line: Vec::new(),
            decoded: 0,
            batch: self.batch,
            begins: start == 0,
        };
        let store = Arc::clone(&self.store);
        Ok(async move {
            let location = file.object_meta.location;
            let lines =
                AlignedBoundaryStream::new(store, location, start, end, size, b'\n').await?;
            let lines = lines.map_err(DataFusionError::from).boxed().fuse();
            let rows = deserialize_stream(lines, DecoderDeserializer::new(rows));
            Ok(rows.map_err(DataFusionError::from).boxed())
        }
        .boxed())
    }
}

fn offset(at: i64) -> Result<u64> {
    u64::try_from(at).map_err(|error| DataFusionError::External(error.into()))
}

/// Makes rows of lines.
#[derive(Debug)]
struct Rows {
    decoder: ArrowDecoder,
    /// The type of a whole row of the file.
    row: DataType,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    decoded: usize,
    batch: usize,
    /// Whether the next line is the first of its file.
    begins: bool,
}

impl Rows {
    fn decode_line(&mut self, line: &[u8]) -> Result<(), ArrowError> {
        let begins = std::mem::take(&mut self.begins);
        let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| begins).unwrap_or(line);
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let mut json = serde_json::Deserializer::from_slice(line);
        Fits(&self.row)
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| ArrowError::JsonError(unplaced(&error.to_string())))?;
        if self.decoder.decode(line)? != line.len() {
            return Err(ArrowError::JsonError("a line with more than one object".to_owned()));
        }
        self.decoded += 1;
        Ok(())
    }
}

/// A message without its place, which counts from the line's own begin.
fn unplaced(message: &str) -> String {
    message.split(" at line 1 column ").next().unwrap_or(message).to_owned()
}

impl Decoder for Rows {
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, ArrowError> {
        if bytes.is_empty() {
            // The end: the last line need not have one.
            let line = std::mem::take(&mut self.line);
            self.decode_line(&line)?;
            return Ok(0);
        }
        let mut taken = 0;
        while let Some(length) = bytes[taken..].iter().position(|byte| *byte == b'\n') {
            let rest = &bytes[taken..=taken + length];
            taken += rest.len();
            if self.line.is_empty() {
                self.decode_line(rest)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(rest);
                self.decode_line(&line)?;
            }
            if self.can_flush_early() {
                return Ok(taken);
            }
        }
        self.line.extend_from_slice(&bytes[taken..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        self.decoded = 0;
        self.decoder.flush()
    }

    fn can_flush_early(&self) -> bool {
        self.decoded == self.batch
    }
}

/// Reads a value only to see whether it is one of a type, as the sample saw it.
#[derive(Clone, Copy)]
struct Fits<'a>(&'a DataType);

impl Fits<'_> {
    fn one_of<E: Error>(self, found: impl fmt::Display, fitting: &[DataType]) -> Result<(), E> {
        match fitting.contains(self.0) {
            true => Ok(()),
            false => Err(E::custom(format!(
                "{found} does not fit a column that the first rows make {}",
                named(self.0)
            ))),
        }
    }
}

fn named(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int64 => "bigint",
        DataType::Float64 => "double",
        DataType::List(_) => "an array",
        DataType::Struct(_) => "a row",
        _ => "varchar",
    }
}

impl<'de> DeserializeSeed<'de> for Fits<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fits<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(named(self.0))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.one_of(value, &[DataType::Boolean, DataType::Utf8])
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.one_of(value, &[DataType::Int64, DataType::Float64, DataType::Utf8])
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.one_of(value, &[DataType::Float64, DataType::Utf8]),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.one_of(value, &[DataType::Float64, DataType::Utf8])
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.one_of(format_args!("the text {value:?}"), &[DataType::Utf8])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let DataType::List(item) = self.0 else { return self.one_of("an array", &[]) };
        while items.next_element_seed(Fits(item.data_type()))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let DataType::Struct(fields) = self.0 else { return self.one_of("an object", &[]) };
        let mut next = 0;
        while let Some(field) = members.next_key_seed(Member { fields, next: &mut next })? {
            members
                .next_value_seed(Fits(field.data_type()))
                .map_err(|error| A::Error::custom(format!("{}: {error}", field.name())))?;
        }
        Ok(())
    }
}

/// Finds the field of a member by its name.
struct Member<'a, 'n> {
    fields: &'a [FieldRef],
    /// Where the next member's field is, as most rows have all members in one order.
    next: &'n mut usize,
}

impl<'de, 'a> DeserializeSeed<'de> for Member<'a, '_> {
    type Value = &'a FieldRef;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl<'de, 'a> Visitor<'de> for Member<'a, '_> {
    type Value = &'a FieldRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let count = self.fields.len();
        let found = (0..count)
            .map(|step| (*self.next + step) % count)
            .find(|index| self.fields[*index].name() == name);
        let Some(index) = found else {
            return Err(E::custom(format!("the key {name:?} is in none of the first rows")));
        };
        *self.next = index + 1;
        Ok(&self.fields[index])
    }
}
