//! Values of `char(n)` are stored without the blanks at their end; clients see them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use super::OutputColumn;

/// The batch with its chars at their full length.
///
/// # Errors
/// GENERIC_INTERNAL_ERROR if a char is not stored as text.
pub(super) fn padded(batch: RecordBatch, columns: &[OutputColumn]) -> Result<RecordBatch, Failure> {
    if !columns.iter().any(|column| matches!(column.trino_type, TrinoType::Char(_))) {
        return Ok(batch);
    }
    let internal = |error: arrow::error::ArrowError| {
        Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string())
    };
    let mut arrays: Vec<ArrayRef> = batch.columns().to_vec();
    for (array, column) in arrays.iter_mut().zip(columns) {
        let TrinoType::Char(length) = column.trino_type else { continue };
        let texts = cast(array, &DataType::Utf8).map_err(internal)?;
        let pad = |text: &str| {
            let missing = (length as usize).saturating_sub(text.chars().count());
            format!("{text}{}", " ".repeat(missing))
        };
        let texts = texts.as_string::<i32>().iter().map(|text| text.map(pad));
        *array = Arc::new(texts.collect::<StringArray>());
    }
    let schema = batch.schema();
    let fields = schema
        .fields()
        .iter()
        .zip(&arrays)
        .map(|(field, array)| Field::new(field.name(), array.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), arrays).map_err(internal)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn chars_are_shown_at_full_length() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("ä"), None, Some("abc")]));
        let batch = RecordBatch::try_from_iter_with_nullable([("c", texts, true)]).unwrap();
        let columns = [OutputColumn { name: "c".to_owned(), trino_type: TrinoType::Char(3) }];
        let padded = padded(batch, &columns).unwrap();
        let expected = StringArray::from(vec![Some("ä  "), None, Some("abc")]);
        assert_eq!(padded.column(0).as_string::<i32>(), &expected);
    }
}
