//! Rows as JSON text, straight from Arrow's columns: nothing is built per cell.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use waterbear_protocol::{ErrorCode, Failure};

use super::text;

mod temporal;
#[cfg(test)]
mod tests;

use temporal::temporal;

/// The text of a page while it grows.
#[derive(Debug, Default)]
pub struct Rows {
    /// Rows written so far, with commas between them and without brackets around them.
    pub text: String,
    /// How many.
    pub count: usize,
    scratch: String,
}

/// Writes one cell of one column.
type Cell<'a> = Box<dyn Fn(usize, &mut Rows) -> Result<(), Failure> + 'a>;

/// Appends rows of `batch` from row `from` until the text has at least `limit` bytes. Returns the
/// first row that was not written. Without `parametric` times are rounded to milliseconds.
///
/// # Errors
/// NOT_SUPPORTED for types that Trino does not have, NUMERIC_VALUE_OUT_OF_RANGE for values that
/// the shown type cannot hold.
pub fn append_rows(
    batch: &RecordBatch,
    from: usize,
    limit: usize,
    parametric: bool,
    rows: &mut Rows,
) -> Result<usize, Failure> {
    let columns: Vec<ArrayRef> = batch.columns().iter().map(flattened).collect::<Result<_, _>>()?;
    let cells: Vec<Cell<'_>> =
        columns.iter().map(|column| cell(column.as_ref(), parametric)).collect::<Result<_, _>>()?;
    for row in from..batch.num_rows() {
        if rows.text.len() >= limit {
            return Ok(row);
        }
        rows.text.push_str(if rows.count == 0 { "[" } else { ",[" });
        for (position, cell) in cells.iter().enumerate() {
            if position > 0 {
                rows.text.push(',');
            }
            cell(row, rows)?;
        }
        rows.text.push(']');
        rows.count += 1;
    }
    Ok(batch.num_rows())
}

/// All rows of `batches` as one JSON text, as a client with parametric times is shown them.
///
/// # Errors
/// As for pages: values and types that Trino does not have.
pub fn json_rows(batches: &[RecordBatch]) -> Result<String, Failure> {
    let mut rows = Rows { text: "[".to_owned(), ..Rows::default() };
    for batch in batches {
        append_rows(batch, 0, usize::MAX, true, &mut rows)?;
    }
    rows.text.push(']');
    Ok(rows.text)
}

/// Run-end encoded columns are decoded as a whole; all others are read as they are.
fn flattened(column: &ArrayRef) -> Result<ArrayRef, Failure> {
    match column.data_type() {
        DataType::RunEndEncoded(_, values) => cast(column, values.data_type())
            .map_err(|error| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string())),
        _ => Ok(Arc::clone(column)),
    }
}

/// The writer of a column's cells, NULLs included.
fn cell<'a>(array: &'a dyn Array, parametric: bool) -> Result<Cell<'a>, Failure> {
    let write = value(array, parametric)?;
    if array.null_count() == 0 {
        return Ok(write);
    }
    Ok(Box::new(move |row, rows| {
        if array.is_null(row) {
            rows.text.push_str("null");
            return Ok(());
        }
        write(row, rows)
    }))
}

/// A writer of the values of a primitive column.
fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut Rows) + 'a,
) -> Cell<'a> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row, rows| {
        write(array.value(row), rows);
        Ok(())
    })
}

/// Writes integers.
fn integer<'a, T: ArrowPrimitiveType>(array: &'a dyn Array) -> Cell<'a>
where
    T::Native: std::fmt::Display,
{
    primitive::<T>(array, |value, rows| {
        // Writing to a string cannot fail.
        let _ = write!(rows.text, "{value}");
    })
}

/// Writes what `write` writes, in quotes.
fn quoted<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut String) + 'a,
) -> Cell<'a> {
    primitive::<T>(array, move |value, rows| {
        rows.text.push('"');
        write(value, &mut rows.text);
        rows.text.push('"');
    })
}

fn decimal<'a, T: DecimalType>(array: &'a dyn Array, scale: i8) -> Cell<'a>
where
    T::Native: std::fmt::Display,
{
    primitive::<T>(array, move |value, rows| {
        rows.scratch.clear();
        let _ = write!(rows.scratch, "{value}");
        rows.text.push('"');
        text::push_decimal(&mut rows.text, &rows.scratch, scale);
        rows.text.push('"');
    })
}

fn float<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    push: impl Fn(&mut String, &mut String, T::Native) -> bool + 'a,
) -> Cell<'a> {
    primitive::<T>(array, move |value, rows| {
        let start = rows.text.len();
        if !push(&mut rows.text, &mut rows.scratch, value) {
            rows.text.insert(start, '"');
            rows.text.push('"');
        }
    })
}

/// The writer of a column's values; it is not called for NULLs.
fn value<'a>(array: &'a dyn Array, parametric: bool) -> Result<Cell<'a>, Failure> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, rows| {
            rows.text.push_str("null");
            Ok(())
        }),
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, rows| {
                rows.text.push_str(if array.value(row) { "true" } else { "false" });
                Ok(())
            })
        }
        DataType::Int8 => integer::<Int8Type>(array),
        DataType::Int16 => integer::<Int16Type>(array),
        DataType::Int32 => integer::<Int32Type>(array),
        DataType::Int64 => integer::<Int64Type>(array),
        DataType::UInt8 => integer::<UInt8Type>(array),
        DataType::UInt16 => integer::<UInt16Type>(array),
        DataType::UInt32 => integer::<UInt32Type>(array),
        DataType::UInt64 => unsigned_bigint(array),
        DataType::Float16 => float::<Float16Type>(array, |out, scratch, value| {
            text::push_real(out, scratch, value.to_f32())
        }),
        DataType::Float32 => float::<Float32Type>(array, text::push_real),
        DataType::Float64 => float::<Float64Type>(array, text::push_double),
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale),
        DataType::Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => string(array),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => binary(array),
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Interval(_) => temporal(array, parametric)?,
        _ => return nested(array, parametric),
    })
}

fn unsigned_bigint(array: &dyn Array) -> Cell<'_> {
    let array = array.as_primitive::<UInt64Type>();
    Box::new(move |row, rows| {
        let value = array.value(row);
        if i64::try_from(value).is_err() {
            let message = format!("Value {value} is out of range for type bigint");
            return Err(Failure::new(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, message));
        }
        let _ = write!(rows.text, "{value}");
        Ok(())
    })
}

fn string(array: &dyn Array) -> Cell<'_> {
    macro_rules! writer {
        ($array:expr) => {{
            let array = $array;
            Box::new(move |row, rows: &mut Rows| {
                text::push_json_string(&mut rows.text, array.value(row));
                Ok(())
            })
        }};
    }
    match array.data_type() {
        DataType::LargeUtf8 => writer!(array.as_string::<i64>()),
        DataType::Utf8View => writer!(array.as_string_view()),
        _ => writer!(array.as_string::<i32>()),
    }
}

fn binary(array: &dyn Array) -> Cell<'_> {
    macro_rules! writer {
        ($array:expr) => {{
            let array = $array;
            Box::new(move |row, rows: &mut Rows| {
                rows.text.push('"');
                STANDARD.encode_string(array.value(row), &mut rows.text);
                rows.text.push('"');
                Ok(())
            })
        }};
    }
    match array.data_type() {
        DataType::LargeBinary => writer!(array.as_binary::<i64>()),
        DataType::BinaryView => writer!(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => writer!(array.as_fixed_size_binary()),
        _ => writer!(array.as_binary::<i32>()),
    }
}

/// Arrays, maps, rows and dictionaries.
fn nested<'a>(array: &'a dyn Array, parametric: bool) -> Result<Cell<'a>, Failure> {
    Ok(match array.data_type() {
        DataType::List(_) => list::<i32>(array, parametric)?,
        DataType::LargeList(_) => list::<i64>(array, parametric)?,
        DataType::ListView(_) => list_view::<i32>(array, parametric)?,
        DataType::LargeListView(_) => list_view::<i64>(array, parametric)?,
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            let array = array.as_fixed_size_list();
            items(array.values().as_ref(), parametric, move |row| {
                let start = usize::try_from(array.value_offset(row)).unwrap_or(0);
                (start, start + size)
            })?
        }
        DataType::Map(..) => map(array, parametric)?,
        DataType::Struct(_) => {
            let fields: Vec<Cell<'a>> = array
                .as_struct()
                .columns()
                .iter()
                .map(|field| cell(field.as_ref(), parametric))
                .collect::<Result<_, _>>()?;
            Box::new(move |row, rows| {
                rows.text.push('[');
                for (position, field) in fields.iter().enumerate() {
                    if position > 0 {
                        rows.text.push(',');
                    }
                    field(row, rows)?;
                }
                rows.text.push(']');
                Ok(())
            })
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                return Ok(Box::new(|_, rows| {
                    rows.text.push_str("null");
                    Ok(())
                }));
            }
            let keys = dictionary.normalized_keys();
            let values = cell(dictionary.values().as_ref(), parametric)?;
            Box::new(move |row, rows| values(keys[row], rows))
        }
        other => return Err(unsupported(other)),
    })
}

fn unsupported(data_type: &DataType) -> Failure {
    Failure::new(ErrorCode::NOT_SUPPORTED, format!("Unsupported result type: {data_type}"))
}

/// Writes the items of `values` in the range that `range` gives for a row.
fn items<'a>(
    values: &'a dyn Array,
    parametric: bool,
    range: impl Fn(usize) -> (usize, usize) + 'a,
) -> Result<Cell<'a>, Failure> {
    let item = cell(values, parametric)?;
    Ok(Box::new(move |row, rows| {
        let (start, end) = range(row);
        rows.text.push('[');
        for at in start..end {
            if at > start {
                rows.text.push(',');
            }
            item(at, rows)?;
        }
        rows.text.push(']');
        Ok(())
    }))
}

fn list<O: OffsetSizeTrait>(array: &dyn Array, parametric: bool) -> Result<Cell<'_>, Failure> {
    let array = array.as_list::<O>();
    let offsets = array.value_offsets();
    items(array.values().as_ref(), parametric, |row| {
        (offsets[row].as_usize(), offsets[row + 1].as_usize())
    })
}

fn list_view<O: OffsetSizeTrait>(array: &dyn Array, parametric: bool) -> Result<Cell<'_>, Failure> {
    let array = array.as_list_view::<O>();
    let (offsets, sizes) = (array.value_offsets(), array.value_sizes());
    items(array.values().as_ref(), parametric, |row| {
        let start = offsets[row].as_usize();
        (start, start + sizes[row].as_usize())
    })
}

fn map(array: &dyn Array, parametric: bool) -> Result<Cell<'_>, Failure> {
    let array = array.as_map();
    let key = cell(array.keys().as_ref(), parametric)?;
    let value = cell(array.values().as_ref(), parametric)?;
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, rows| {
        rows.text.push('{');
        let (start, end) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
        for at in start..end {
            if at > start {
                rows.text.push(',');
            }
            let begin = rows.text.len();
            key(at, rows)?;
            // Keys are strings whatever their type: what is not one yet becomes one.
            if !rows.text[begin..].starts_with('"') {
                let plain = rows.text.split_off(begin);
                text::push_json_string(&mut rows.text, &plain);
            }
            rows.text.push(':');
            value(at, rows)?;
        }
        rows.text.push('}');
        Ok(())
    }))
}
