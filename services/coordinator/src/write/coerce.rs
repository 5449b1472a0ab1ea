//! Which types INSERT takes for which columns, and how values are made to fit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatchOptions, StringArray, StructArray,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use waterbear_connector::Column;
use waterbear_engine::failure_of;
use waterbear_functions::cast::{Target, convert};
use waterbear_functions::coercion::is_number;
use waterbear_functions::datetime::{Kind, cast_array};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

/// Whether INSERT takes a query's type for a column's: there is a type that holds the values of
/// both. Whether a value fits shows when it comes.
pub(super) fn is_compatible(from: &TrinoType, to: &TrinoType) -> bool {
    use TrinoType::{Array, Char, Map, Row, Time, Varchar};
    match (from, to) {
        _ if from == to || is_numeric(from) && is_numeric(to) || has_date(from) && has_date(to) => {
            true
        }
        (TrinoType::Plain("unknown"), _)
        | (Varchar(_) | Char(_), Varchar(_) | Char(_))
        | (Time(_), Time(_)) => true,
        (Array(from), Array(to)) => is_compatible(from, to),
        (Map(key, value), Map(to_key, to_value)) => {
            is_compatible(key, to_key) && is_compatible(value, to_value)
        }
        (Row(from), Row(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|((_, from), (_, to))| is_compatible(from, to))
        }
        _ => false,
    }
}

fn is_numeric(trino_type: &TrinoType) -> bool {
    match trino_type {
        TrinoType::Decimal(..) => true,
        TrinoType::Plain(name) => {
            matches!(*name, "tinyint" | "smallint" | "integer" | "bigint" | "real" | "double")
        }
        _ => false,
    }
}

fn has_date(trino_type: &TrinoType) -> bool {
    match trino_type {
        TrinoType::Timestamp(_) | TrinoType::TimestampWithTimeZone(_) => true,
        other => *other == TrinoType::Plain("date"),
    }
}

/// The zones that INSERT would mix in one column, the query's first. Values without a zone are
/// read in the session's.
pub(super) fn mixed_zones(
    from: &DataType,
    to: &DataType,
    session: &str,
) -> Option<(String, String)> {
    let inside =
        |from: &FieldRef, to: &FieldRef| mixed_zones(from.data_type(), to.data_type(), session);
    match (from, to) {
        (DataType::Timestamp(_, from), DataType::Timestamp(_, Some(to))) => {
            let from = from.as_deref().unwrap_or(session);
            (from != &**to).then(|| (from.to_owned(), to.to_string()))
        }
        (DataType::Date32, DataType::Timestamp(_, Some(to))) => {
            (session != &**to).then(|| (session.to_owned(), to.to_string()))
        }
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.iter().zip(to).find_map(|(from, to)| inside(from, to))
        }
        (DataType::Map(from, _), DataType::Map(to, _)) => inside(from, to),
        (from, DataType::List(to)) => inside(item(from)?, to),
        _ => None,
    }
}

fn item(list: &DataType) -> Option<&FieldRef> {
    match list {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item),
        _ => None,
    }
}

/// From the batches of a query to those of a table.
pub(super) struct Coercion {
    schema: SchemaRef,
    /// For each of the table's columns the query's; without one it is all NULL.
    sources: Vec<Option<usize>>,
}

impl Coercion {
    /// The query's columns are the table's, in order.
    pub fn straight(columns: &[Column]) -> Self {
        Self::new(columns, (0..columns.len()).map(Some).collect())
    }

    /// `sources` has the query's column for each of the table's.
    pub fn new(columns: &[Column], sources: Vec<Option<usize>>) -> Self {
        let fields: Vec<_> = columns.iter().map(Column::field).collect();
        Self { schema: Arc::new(Schema::new(fields)), sources }
    }

    /// # Errors
    /// For a value that its column cannot have.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        let column = |(field, source): (&FieldRef, &Option<usize>)| match source
            .map(|source| batch.columns().get(source))
        {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(Some(array)) => fit(array, field),
            Some(None) => {
                let message = "the query has fewer columns than it was planned with";
                Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, message))
            }
        };
        let columns = self.schema.fields().iter().zip(&self.sources).map(column);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(arrow_failure)
    }
}

fn arrow_failure(error: ArrowError) -> Failure {
    failure_of(&DataFusionError::from(error))
}

/// A change of the form alone, not of values.
fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &strict).map_err(arrow_failure)
}

/// The values as a field has them, converted as CAST would; but of a text only spaces are cut off.
fn fit(array: &ArrayRef, to: &Field) -> Result<ArrayRef, Failure> {
    let (from, wanted) = (array.data_type(), to.data_type());
    if from.is_unsigned_integer() {
        return fit(&cast(array, &DataType::Int64)?, to);
    }
    match TrinoType::of_field(to)? {
        _ if *from == DataType::Null => cast(array, wanted),
        TrinoType::Varchar(Some(length)) => shorten(&cast(array, wanted)?, length, false),
        TrinoType::Char(length) => shorten(&cast(array, wanted)?, length, true),
        _ if wanted.is_nested() => fit_nested(array, wanted),
        _ if from == wanted => Ok(Arc::clone(array)),
        found if is_number(from) => match Target::parse(&found.listing()) {
            Some(target) => convert(array, &target),
            None => cast(array, wanted),
        },
        _ => match (Kind::of(from), Kind::of(wanted)) {
            (Some(_), Some(kind)) => cast_array(array, &kind),
            _ => cast(array, wanted),
        },
    }
}

/// The values of arrays, maps and rows fit one by one.
fn fit_nested(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, Failure> {
    Ok(match wanted {
        DataType::List(to) => {
            let Some(item) = item(array.data_type()) else { return cast(array, wanted) };
            let list = cast(array, &DataType::List(Arc::clone(item)))?;
            let list: &ListArray = list.as_list();
            let (offsets, from, length) = own_offsets(list.offsets());
            let values = fit(&list.values().slice(from, length), to)?;
            let list = ListArray::try_new(Arc::clone(to), offsets, values, list.nulls().cloned());
            Arc::new(list.map_err(arrow_failure)?)
        }
        DataType::Map(to, ordered) => {
            let Some(map) = array.as_map_opt() else { return cast(array, wanted) };
            let (offsets, from, length) = own_offsets(map.offsets());
            let entries: ArrayRef = Arc::new(map.entries().slice(from, length));
            let entries = fit(&entries, to)?.as_struct().clone();
            let nulls = map.nulls().cloned();
            let map = MapArray::try_new(Arc::clone(to), offsets, entries, nulls, *ordered);
            Arc::new(map.map_err(arrow_failure)?)
        }
        DataType::Struct(to) => {
            let Some(row) = array.as_struct_opt() else { return cast(array, wanted) };
            let fields = row.columns().iter().zip(to).map(|(field, to)| fit(field, to));
            let fields = fields.collect::<Result<Vec<_>, _>>()?;
            let row = StructArray::try_new(to.clone(), fields, row.nulls().cloned());
            Arc::new(row.map_err(arrow_failure)?)
        }
        _ => cast(array, wanted)?,
    })
}

/// Offsets that begin with zero, and where the values begin that they mean, and how many they are:
/// a part of an array still has the values of the whole.
fn own_offsets(offsets: &OffsetBuffer<i32>) -> (OffsetBuffer<i32>, usize, usize) {
    let (first, last) = (offsets.first().copied(), offsets.last().copied());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let own = OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect());
    let at = |offset: i32| usize::try_from(offset).unwrap_or_default();
    (own, at(first), at(last - first))
}

/// Texts of at most so many characters. Only spaces may be cut off; a char is kept without its
/// padding.
fn shorten(texts: &ArrayRef, length: u32, is_char: bool) -> Result<ArrayRef, Failure> {
    let fit = |text: &str| match text.char_indices().nth(length as usize) {
        None => Ok(text.len()),
        Some((end, _)) if text[end..].trim_end_matches(' ').is_empty() => Ok(end),
        Some(_) => {
            let kind = if is_char { "char" } else { "varchar" };
            let message = format!(
                "Cannot truncate non-space characters when casting from varchar({}) to \
                 {kind}({length}) on INSERT",
                text.chars().count()
            );
            Err(Failure::new(ErrorCode::INVALID_CAST_ARGUMENT, message))
        }
    };
    let texts: &StringArray = texts.as_string();
    let mut fitted = Vec::with_capacity(texts.len());
    for text in texts {
        fitted.push(match text {
            None => None,
            Some(text) => {
                let cut = &text[..fit(text)?];
                Some(if is_char { cut.trim_end_matches(' ') } else { cut })
            }
        });
    }
    Ok(Arc::new(StringArray::from(fitted)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{
        Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
        TimestampMicrosecondArray, TimestampMillisecondArray,
    };
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn types_with_a_common_type_are_taken() {
        let plain = TrinoType::Plain;
        let array = |item| TrinoType::Array(Box::new(item));
        for (from, to, expected) in [
            (plain("integer"), plain("bigint"), true),
            (plain("bigint"), plain("integer"), true),
            (plain("double"), plain("real"), true),
            (plain("unknown"), plain("date"), true),
            (plain("integer"), TrinoType::Decimal(10, 2), true),
            (TrinoType::Decimal(1, 0), plain("integer"), true),
            (TrinoType::Varchar(None), TrinoType::Varchar(Some(2)), true),
            (TrinoType::Varchar(None), plain("bigint"), false),
            (plain("bigint"), TrinoType::Varchar(None), false),
            (plain("boolean"), plain("bigint"), false),
            (plain("date"), TrinoType::Timestamp(3), true),
            (TrinoType::Timestamp(6), TrinoType::Timestamp(3), true),
            (TrinoType::Time(3), TrinoType::Timestamp(3), false),
            (array(plain("bigint")), array(plain("integer")), true),
            (array(plain("boolean")), array(plain("bigint")), false),
            (array(TrinoType::Varchar(Some(5))), array(TrinoType::Varchar(Some(2))), true),
            (plain("json"), TrinoType::Varchar(None), false),
        ] {
            let found = is_compatible(&from, &to);
            assert_eq!(found, expected, "{} to {}", from.listing(), to.listing());
        }
    }

    #[test]
    fn zones_are_never_mixed() {
        let at =
            |zone: Option<&str>| DataType::Timestamp(TimeUnit::Millisecond, zone.map(Arc::from));
        let list = |item| DataType::new_list(item, true);
        let mixes = |from: &DataType, to: &DataType| mixed_zones(from, to, "UTC").is_some();
        assert!(!mixes(&at(Some("UTC")), &at(Some("UTC"))));
        assert!(mixes(&at(Some("UTC")), &at(Some("Europe/Brussels"))));
        assert!(!mixes(&at(Some("Europe/Brussels")), &at(None)));
        assert!(!mixes(&at(None), &at(Some("UTC"))));
        assert!(mixes(&DataType::Date32, &at(Some("Europe/Brussels"))));
        assert!(mixes(&list(at(Some("UTC"))), &list(at(Some("Europe/Brussels")))));
    }

    #[test]
    fn texts_lose_spaces_only() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("äö  "), None]));
        let cut = shorten(&texts, 2, false).unwrap();
        let expected = StringArray::from(vec![Some("ab"), Some("äö"), None]);
        assert_eq!(cut.as_ref(), &expected as &dyn Array);
        let long: ArrayRef = Arc::new(StringArray::from(vec!["abc"]));
        assert_eq!(
            shorten(&long, 2, false).unwrap_err().message,
            "Cannot truncate non-space characters when casting from varchar(3) to varchar(2) on \
             INSERT"
        );
        let padded: ArrayRef = Arc::new(StringArray::from(vec!["a "]));
        let char = shorten(&padded, 3, true).unwrap();
        assert_eq!(char.as_ref(), &StringArray::from(vec!["a"]) as &dyn Array);
    }

    fn field(data_type: DataType) -> Field {
        Field::new("c", data_type, true)
    }

    #[test]
    fn values_are_converted_as_a_cast_converts_them() {
        let cases: [(ArrayRef, DataType, ArrayRef); 3] = [
            (
                Arc::new(Float64Array::from(vec![2.5])),
                DataType::Int32,
                Arc::new(Int32Array::from(vec![3])),
            ),
            (
                Arc::new(
                    Decimal128Array::from(vec![1_005]).with_precision_and_scale(5, 3).unwrap(),
                ),
                DataType::Decimal128(10, 2),
                Arc::new(Decimal128Array::from(vec![101]).with_precision_and_scale(10, 2).unwrap()),
            ),
            (
                Arc::new(TimestampMicrosecondArray::from(vec![1_500])),
                DataType::Timestamp(TimeUnit::Millisecond, None),
                Arc::new(TimestampMillisecondArray::from(vec![2])),
            ),
        ];
        for (array, to, expected) in cases {
            assert_eq!(&fit(&array, &field(to)).unwrap(), &expected);
        }
    }

    #[test]
    fn values_that_do_not_fit_fail() {
        let far: ArrayRef = Arc::new(Date32Array::from(vec![2_000_000]));
        let timestamp = |unit| field(DataType::Timestamp(unit, None));
        assert!(fit(&far, &timestamp(TimeUnit::Nanosecond)).is_err());
        assert!(fit(&far, &timestamp(TimeUnit::Millisecond)).is_ok());
        let large: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40]));
        assert!(fit(&large, &field(DataType::Int32)).is_err());
    }

    #[test]
    fn items_of_arrays_fit_one_by_one() {
        let item = TrinoType::Varchar(Some(2)).annotate(field(DataType::Utf8));
        let to = field(DataType::List(Arc::new(item)));
        let list = ListArray::new(
            Arc::new(field(DataType::Utf8)),
            OffsetBuffer::new(vec![0, 1, 1, 3].into()),
            Arc::new(StringArray::from(vec!["too long", "a", "b "])),
            Some(NullBuffer::from(vec![true, false, true])),
        );
        let whole: ArrayRef = Arc::new(list);
        assert!(fit(&whole, &to).is_err());
        // The first row is no part of this.
        let fitted = fit(&whole.slice(1, 2), &to).unwrap();
        assert_eq!(fitted.data_type(), to.data_type());
        assert!(fitted.is_null(0));
        assert_eq!(fitted.as_list::<i32>().value(1).len(), 2);
    }
}
