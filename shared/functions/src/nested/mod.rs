//! What functions over arrays, maps and rows have in common: how they are declared, the common
//! types of their arguments, and lists of values as index ranges.

mod keys;
mod lists;
mod native;
mod types;

use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

pub(crate) use keys::Keys;
pub(crate) use lists::{Gather, Lists, Maps};
pub(crate) use native::{Def, Resolved, family};
pub(crate) use types::{as_list, cast, common, item_of, list_of, map_of, map_parts};

/// An error that the client sees with this code.
pub(crate) fn failure(code: ErrorCode, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(Failure::new(code, message.into())))
}

/// INVALID_FUNCTION_ARGUMENT.
pub(crate) fn invalid(message: impl Into<String>) -> DataFusionError {
    failure(ErrorCode::INVALID_FUNCTION_ARGUMENT, message)
}

/// FUNCTION_NOT_FOUND: there is none of this name for such arguments.
pub(crate) fn unexpected(name: &str, types: &[DataType]) -> DataFusionError {
    let types: Vec<String> = types.iter().map(trino_name).collect();
    let message = format!("Unexpected parameters ({}) for function {name}", types.join(", "));
    failure(ErrorCode::FUNCTION_NOT_FOUND, message)
}

/// The name that Trino has for a type.
pub(crate) fn trino_name(data_type: &DataType) -> String {
    TrinoType::of(data_type).map_or_else(|_| data_type.to_string(), |t| t.display(true))
}
