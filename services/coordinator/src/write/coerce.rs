//! Which types fit into which columns, and how their values are made to.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatchOptions, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use waterbear_connector::Column;
use waterbear_engine::failure_of;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

/// Whether INSERT takes a query's type for a column's. Texts fit texts of any length: whether a
/// value does shows when it comes.
pub(super) fn can_coerce(from: &TrinoType, to: &TrinoType) -> bool {
    use TrinoType::{Char, Varchar};
    matches!((from, to), (Varchar(_) | Char(_), Varchar(_) | Char(_))) || widens(from, to)
}

/// Whether every value of a type is one of another.
fn widens(from: &TrinoType, to: &TrinoType) -> bool {
    use TrinoType::{
        Array, Char, Decimal, Map, Plain, Row, Time, Timestamp, TimestampWithTimeZone, Varchar,
    };
    let rank = |name: &str| {
        ["tinyint", "smallint", "integer", "bigint"].iter().position(|integer| *integer == name)
    };
    match (from, to) {
        _ if from == to => true,
        (Plain("unknown"), _) => true,
        (Plain(from), Plain(to)) => match (rank(from), rank(to)) {
            (Some(from), Some(to)) => from <= to,
            (Some(_), None) => matches!(*to, "real" | "double"),
            _ => *from == "real" && *to == "double",
        },
        (Plain(from), Decimal(precision, scale)) => {
            let digits = rank(from).map(|rank| [3, 5, 10, 19][rank]);
            digits.is_some_and(|digits| precision - scale >= digits)
        }
        (Decimal(..), Plain("real" | "double")) => true,
        (Decimal(from, from_scale), Decimal(to, to_scale)) => {
            to_scale >= from_scale && to - to_scale >= from - from_scale
        }
        (Plain("date"), Timestamp(_)) => true,
        (Timestamp(from), Timestamp(to))
        | (Time(from), Time(to))
        | (TimestampWithTimeZone(from), TimestampWithTimeZone(to)) => from <= to,
        (Varchar(_) | Char(_), Varchar(None)) => true,
        (Varchar(Some(from)) | Char(from), Varchar(Some(to))) => from <= to,
        (Array(from), Array(to)) => widens(from, to),
        (Map(key, value), Map(to_key, to_value)) => widens(key, to_key) && widens(value, to_value),
        (Row(from), Row(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|((_, from), (_, to))| widens(from, to))
        }
        _ => false,
    }
}

/// How a column of the table is made.
struct Step {
    /// The query's column; without one it is all NULL.
    source: Option<usize>,
    data_type: DataType,
    /// The most characters, and whether they are a char's, which is kept without its padding.
    length: Option<(usize, bool)>,
}

/// From the batches of a query to those of a table.
pub(super) struct Coercion {
    schema: SchemaRef,
    steps: Vec<Step>,
}

impl Coercion {
    /// The query's columns are the table's, in order.
    pub fn straight(columns: &[Column]) -> Self {
        Self::new(columns, (0..columns.len()).map(Some).collect())
    }

    /// `sources` has the query's column for each of the table's.
    pub fn new(columns: &[Column], sources: Vec<Option<usize>>) -> Self {
        let fields: Vec<_> = columns.iter().map(Column::field).collect();
        let length = |column: &Column| match TrinoType::of_field(&column.field()) {
            Ok(TrinoType::Varchar(Some(length))) => Some((length as usize, false)),
            Ok(TrinoType::Char(length)) => Some((length as usize, true)),
            _ => None,
        };
        let step = |(column, source): (&Column, Option<usize>)| Step {
            source,
            data_type: column.data_type.clone(),
            length: length(column),
        };
        let steps = columns.iter().zip(sources).map(step).collect();
        Self { schema: Arc::new(Schema::new(fields)), steps }
    }

    /// # Errors
    /// For a value that its column cannot have.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        let column = |step: &Step| match step.source.map(|source| batch.columns().get(source)) {
            None => Ok(new_null_array(&step.data_type, batch.num_rows())),
            Some(Some(array)) => step.apply(array),
            Some(None) => {
                let message = "the query has fewer columns than it was planned with";
                Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, message))
            }
        };
        let columns = self.steps.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| failure_of(&DataFusionError::from(error)))
    }
}

/// A cast that fails where a value does not fit.
fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &strict).map_err(|error| failure_of(&DataFusionError::from(error)))
}

impl Step {
    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, Failure> {
        if *array.data_type() == self.data_type && self.length.is_none() {
            return Ok(Arc::clone(array));
        }
        let made = cast(array, &self.data_type)?;
        // Days are multiplied without a check.
        if *array.data_type() == DataType::Date32 && made.data_type() != &DataType::Date32 {
            let back = cast(&made, &DataType::Date32)?;
            if back.as_ref() != array.as_ref() {
                let message = "A date is out of the range of the column's timestamps";
                return Err(Failure::new(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, message));
            }
        }
        match (self.length, made.as_any().downcast_ref::<StringArray>()) {
            (Some((length, is_char)), Some(texts)) => shorten(texts, length, is_char),
            _ => Ok(made),
        }
    }
}

/// Texts of at most so many characters. Only spaces may be cut off.
fn shorten(texts: &StringArray, length: usize, is_char: bool) -> Result<ArrayRef, Failure> {
    let fit = |text: &str| match text.char_indices().nth(length) {
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
    use arrow::array::{Date32Array, Int64Array};
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn types_widen_as_in_trino() {
        let plain = TrinoType::Plain;
        let array = |item| TrinoType::Array(Box::new(item));
        for (from, to, expected) in [
            (plain("integer"), plain("bigint"), true),
            (plain("bigint"), plain("integer"), false),
            (plain("bigint"), plain("double"), true),
            (plain("double"), plain("real"), false),
            (plain("unknown"), plain("date"), true),
            (plain("integer"), TrinoType::Decimal(10, 0), true),
            (plain("integer"), TrinoType::Decimal(10, 2), false),
            (plain("double"), TrinoType::Decimal(10, 2), false),
            (TrinoType::Decimal(5, 2), TrinoType::Decimal(6, 3), true),
            (TrinoType::Decimal(5, 2), TrinoType::Decimal(5, 3), false),
            (TrinoType::Decimal(5, 2), plain("double"), true),
            (TrinoType::Varchar(None), TrinoType::Varchar(Some(2)), true),
            (TrinoType::Varchar(None), plain("bigint"), false),
            (plain("bigint"), TrinoType::Varchar(None), false),
            (plain("date"), TrinoType::Timestamp(3), true),
            (TrinoType::Timestamp(6), TrinoType::Timestamp(3), false),
            (array(plain("integer")), array(plain("bigint")), true),
            (array(TrinoType::Varchar(Some(5))), array(TrinoType::Varchar(Some(2))), false),
            (plain("json"), TrinoType::Varchar(None), false),
        ] {
            assert_eq!(can_coerce(&from, &to), expected, "{} to {}", from.listing(), to.listing());
        }
    }

    #[test]
    fn texts_lose_spaces_only() {
        let texts = StringArray::from(vec![Some("ab"), Some("äö  "), None]);
        let cut = shorten(&texts, 2, false).unwrap();
        let expected = StringArray::from(vec![Some("ab"), Some("äö"), None]);
        assert_eq!(cut.as_ref(), &expected as &dyn Array);
        let failure = shorten(&StringArray::from(vec!["abc"]), 2, false).unwrap_err();
        assert_eq!(
            failure.message,
            "Cannot truncate non-space characters when casting from varchar(3) to varchar(2) on \
             INSERT"
        );
        let char = shorten(&StringArray::from(vec!["a "]), 3, true).unwrap();
        assert_eq!(char.as_ref(), &StringArray::from(vec!["a"]) as &dyn Array);
    }

    #[test]
    fn values_that_do_not_fit_fail() {
        let step = |data_type| Step { source: Some(0), data_type, length: None };
        let far: ArrayRef = Arc::new(Date32Array::from(vec![2_000_000]));
        assert!(step(DataType::Timestamp(TimeUnit::Nanosecond, None)).apply(&far).is_err());
        assert!(step(DataType::Timestamp(TimeUnit::Millisecond, None)).apply(&far).is_ok());
        let large: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40]));
        assert!(step(DataType::Int32).apply(&large).is_err());
    }
}
