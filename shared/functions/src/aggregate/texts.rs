//! `listagg`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use waterbear_protocol::ErrorCode;

use super::collect::Def;
use crate::nested::failure;

pub(super) const TABLE: &[Def] =
    &[Def { name: "listagg", resolve: text_type, counts: Some(0), compact: None, finish: join }];

/// Bytes of a result, at most.
const MAX_BYTES: usize = 1_048_576;

fn text_type(types: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    let text = types.iter().all(|t| t.is_string() || *t == DataType::Null);
    let fits = text && (1..=2).contains(&types.len());
    fits.then(|| (vec![DataType::Utf8; types.len()], DataType::Utf8))
}

fn join(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    let values = columns[0].as_string::<i32>();
    let separator = match columns.get(1).map(|column| column.as_string::<i32>()) {
        Some(separator) if separator.is_valid(0) => separator.value(0),
        _ => "",
    };
    let joined = values.iter().flatten().collect::<Vec<_>>().join(separator);
    if joined.len() > MAX_BYTES {
        let message = format!(
            "Concatenated string has the length in bytes larger than the maximum output length {MAX_BYTES}"
        );
        return Err(failure(ErrorCode::EXCEEDED_FUNCTION_MEMORY_LIMIT, message));
    }
    Ok(ScalarValue::Utf8(Some(joined)))
}
