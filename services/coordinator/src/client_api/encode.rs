//! Rows as JSON text, straight from Arrow's columns: nothing is built per cell.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Offset as _, TimeZone as _};
use std::fmt::Write as _;
use waterbear_protocol::{ErrorCode, Failure};

use super::text;

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

/// Dates, times, timestamps and intervals.
fn temporal<'a>(array: &'a dyn Array, parametric: bool) -> Result<Cell<'a>, Failure> {
    let ticks = |from: u8| (from, if parametric { from } else { 3 });
    macro_rules! time {
        ($type:ty, $digits:literal) => {{
            let (from, to) = ticks($digits);
            quoted::<$type>(array, move |value, out| {
                let ticks = text::rescale(i128::from(value), from, to);
                text::push_time(out, u64::try_from(ticks).unwrap_or(0), to);
            })
        }};
    }
    macro_rules! timestamp {
        ($type:ty, $digits:literal, $zone:expr) => {{
            let (from, to) = ticks($digits);
            let zone = Zone::parse($zone.as_deref())?;
            quoted::<$type>(array, move |value, out| zone.push(out, value, from, to))
        }};
    }
    macro_rules! duration {
        ($type:ty, $digits:literal) => {
            quoted::<$type>(array, |value, out| {
                text::push_day_second(out, text::rescale(i128::from(value), $digits, 3));
            })
        };
    }
    Ok(match array.data_type() {
        DataType::Date32 => {
            quoted::<Date32Type>(array, |days, out| text::push_date(out, i64::from(days)))
        }
        DataType::Date64 => quoted::<Date64Type>(array, |millis, out| {
            text::push_date(out, millis.div_euclid(86_400_000))
        }),
        DataType::Time32(TimeUnit::Second) => time!(Time32SecondType, 0),
        DataType::Time32(_) => time!(Time32MillisecondType, 3),
        DataType::Time64(TimeUnit::Microsecond) => time!(Time64MicrosecondType, 6),
        DataType::Time64(_) => time!(Time64NanosecondType, 9),
        DataType::Timestamp(TimeUnit::Second, zone) => timestamp!(TimestampSecondType, 0, zone),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            timestamp!(TimestampMillisecondType, 3, zone)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            timestamp!(TimestampMicrosecondType, 6, zone)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            timestamp!(TimestampNanosecondType, 9, zone)
        }
        DataType::Duration(TimeUnit::Second) => duration!(DurationSecondType, 0),
        DataType::Duration(TimeUnit::Millisecond) => duration!(DurationMillisecondType, 3),
        DataType::Duration(TimeUnit::Microsecond) => duration!(DurationMicrosecondType, 6),
        DataType::Duration(TimeUnit::Nanosecond) => duration!(DurationNanosecondType, 9),
        DataType::Interval(IntervalUnit::YearMonth) => {
            quoted::<IntervalYearMonthType>(array, |months, out| text::push_year_month(out, months))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            quoted::<IntervalDayTimeType>(array, |value, out| {
                let millis = i128::from(value.days) * 86_400_000 + i128::from(value.milliseconds);
                text::push_day_second(out, millis);
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => month_day_nano(array),
        other => return Err(unsupported(other)),
    })
}

fn month_day_nano(array: &dyn Array) -> Cell<'_> {
    let array = array.as_primitive::<IntervalMonthDayNanoType>();
    Box::new(move |row, rows| {
        let value = array.value(row);
        if value.months != 0 {
            let message = "Intervals of years and months are not supported as results";
            return Err(Failure::new(ErrorCode::NOT_SUPPORTED, message));
        }
        let nanos = i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds);
        rows.text.push('"');
        text::push_day_second(&mut rows.text, text::rescale(nanos, 9, 3));
        rows.text.push('"');
        Ok(())
    })
}

/// How a column's time zone shows.
enum Zone<'a> {
    None,
    Utc,
    Named(Tz, &'a str),
}

impl<'a> Zone<'a> {
    fn parse(name: Option<&'a str>) -> Result<Self, Failure> {
        match name {
            None => Ok(Self::None),
            // Trino knows all these as one zone.
            Some("UTC" | "Z" | "+00:00" | "-00:00" | "+00" | "Etc/UTC") => Ok(Self::Utc),
            Some(name) => name.parse().map(|zone| Self::Named(zone, name)).map_err(|_| {
                let message = format!("Time zone not supported: {name}");
                Failure::new(ErrorCode::NOT_SUPPORTED, message)
            }),
        }
    }

    fn push(&self, out: &mut String, value: i64, from: u8, to: u8) {
        let ticks = text::rescale(i128::from(value), from, to);
        match self {
            Self::None => text::push_timestamp(out, ticks, to),
            Self::Utc => {
                text::push_timestamp(out, ticks, to);
                out.push_str(" UTC");
            }
            Self::Named(zone, name) => {
                let unit = 10i128.pow(u32::from(to));
                let instant = i64::try_from(ticks.div_euclid(unit))
                    .ok()
                    .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
                let offset = instant.map_or(0, |instant| {
                    zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()
                });
                text::push_timestamp(out, ticks + i128::from(offset) * unit, to);
                out.push(' ');
                out.push_str(name);
            }
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::*;
    use arrow::buffer::OffsetBuffer;

    use super::*;

    /// The JSON of a one-column batch.
    fn json(column: impl Array + 'static, parametric: bool) -> String {
        let column: ArrayRef = Arc::new(column);
        let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
        let mut rows = Rows::default();
        append_rows(&batch, 0, usize::MAX, parametric, &mut rows).unwrap();
        rows.text
    }

    #[test]
    fn every_type_is_written_as_trino_writes_it() {
        let cases = [
            (json(NullArray::new(1), true), "[null]"),
            (json(BooleanArray::from(vec![Some(true), None]), true), "[true],[null]"),
            (
                json(Int64Array::from(vec![i64::MIN, i64::MAX]), true),
                "[-9223372036854775808],[9223372036854775807]",
            ),
            (json(UInt64Array::from(vec![7]), true), "[7]"),
            (
                json(Float64Array::from(vec![1e10, f64::NAN, 0.5]), true),
                r#"[1.0E10],["NaN"],[0.5]"#,
            ),
            (json(Float32Array::from(vec![f32::NEG_INFINITY]), true), r#"["-Infinity"]"#),
            (
                json(
                    Decimal128Array::from(vec![1030, -5]).with_precision_and_scale(12, 2).unwrap(),
                    true,
                ),
                r#"["10.30"],["-0.05"]"#,
            ),
            (json(StringArray::from(vec!["a\"b"]), true), r#"["a\"b"]"#),
            (
                json(
                    StringViewArray::from(vec![Some("a view that is longer than twelve"), None]),
                    true,
                ),
                r#"["a view that is longer than twelve"],[null]"#,
            ),
            (json(BinaryArray::from(vec![&b"\x00\xff"[..]]), true), r#"["AP8="]"#),
            (json(Date32Array::from(vec![11_556]), true), r#"["2001-08-22"]"#),
            (
                json(TimestampMicrosecondArray::from(vec![1_500_000]), true),
                r#"["1970-01-01 00:00:01.500000"]"#,
            ),
            (
                json(TimestampMicrosecondArray::from(vec![1_500]), false),
                r#"["1970-01-01 00:00:00.002"]"#,
            ),
            (json(TimestampSecondArray::from(vec![0]), true), r#"["1970-01-01 00:00:00"]"#),
            (
                json(TimestampMillisecondArray::from(vec![1]).with_timezone("+00:00"), true),
                r#"["1970-01-01 00:00:00.001 UTC"]"#,
            ),
            (
                json(TimestampMillisecondArray::from(vec![0]).with_timezone("-08:00"), true),
                r#"["1969-12-31 16:00:00.000 -08:00"]"#,
            ),
            (
                json(Time64MicrosecondArray::from(vec![3_723_000_004]), true),
                r#"["01:02:03.000004"]"#,
            ),
            (json(IntervalYearMonthArray::from(vec![-14]), true), r#"["-1-2"]"#),
            (json(DurationMillisecondArray::from(vec![3_723_400]), true), r#"["0 01:02:03.400"]"#),
            (
                json(
                    vec![Some("x"), None, Some("x")]
                        .into_iter()
                        .collect::<DictionaryArray<Int8Type>>(),
                    true,
                ),
                r#"["x"],[null],["x"]"#,
            ),
        ];
        for (written, expected) in cases {
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn nested_values_are_written_as_trino_writes_them() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        assert_eq!(json(list, true), "[[1,null]],[null],[[]]");
        let row = StructArray::from(vec![(
            Arc::new(Field::new("x", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![Some(5), None])) as ArrayRef,
        )]);
        assert_eq!(json(row, true), "[[5]],[[null]]");
        let entries = StructArray::from(vec![
            (
                Arc::new(Field::new("k", DataType::Float64, false)),
                Arc::new(Float64Array::from(vec![1.4, 2.0])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("v", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![Some("a"), None])) as ArrayRef,
            ),
        ]);
        let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        let offsets = OffsetBuffer::new(vec![0, 2, 2].into());
        let map = MapArray::new(field, offsets, entries, None, false);
        assert_eq!(json(map, true), r#"[{"1.4":"a","2.0":null}],[{}]"#);
    }

    #[test]
    fn a_page_ends_at_its_limit_and_goes_on_where_it_ended() {
        let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..100));
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let (mut from, mut count) = (0, 0);
        while from < 100 {
            let mut rows = Rows::default();
            from = append_rows(&batch, from, 20, true, &mut rows).unwrap();
            assert!(rows.text.len() < 30, "{}", rows.text);
            count += rows.count;
        }
        assert_eq!(count, 100);
    }

    #[test]
    fn values_that_the_shown_type_cannot_hold_are_errors() {
        let column: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let error = append_rows(&batch, 0, usize::MAX, true, &mut Rows::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE);
    }
}
