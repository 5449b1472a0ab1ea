//! Literals: constants that SQL's tree has no room for.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::Failure;

use super::udf::{Call, function};
use super::value::Kind;

/// The name of the function that stands for a literal: `$temporal(type, ticks)`.
pub const LITERAL: &str = "$temporal";

/// The type that a constant argument names.
pub(super) fn named_type(call: &Call<'_>, at: usize) -> Result<Kind, Failure> {
    call.text(at).and_then(Kind::from_name).ok_or_else(|| call.mismatch())
}

fn typing(call: &Call<'_>) -> Result<DataType, Failure> {
    Ok(named_type(call, 0)?.data_type())
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function(LITERAL, typing, |rows| {
        let ticks = rows.constant(1)?.and_then(|text| text.parse().ok());
        rows.ticks(|_| Ok(ticks))
    })]
}
