//! Functions inside of TRY: what fails for a row is NULL for that row.
//!
//! Every scalar function has a lenient twin of the name [`twin_name`] gives; plans carry it to
//! the workers by that name.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use waterbear_protocol::ErrorCode;

use crate::failure_of;

/// The name of a function's lenient twin.
pub fn twin_name(name: &str) -> String {
    format!("$try${name}")
}

/// The lenient twin of a function.
pub fn twin(function: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let name = twin_name(function.name());
    Arc::new(ScalarUDF::from(Lenient { name, function: Arc::clone(function) }))
}

/// TRY gives NULL for these errors, and for no others.
fn forgiven(error: &DataFusionError) -> bool {
    let forgiven = [
        ErrorCode::DIVISION_BY_ZERO,
        ErrorCode::INVALID_CAST_ARGUMENT,
        ErrorCode::INVALID_FUNCTION_ARGUMENT,
        ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE,
    ];
    forgiven.contains(&failure_of(error).code)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Lenient {
    name: String,
    function: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Lenient {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = self.function.return_field_from_args(args)?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let invoke = |args: ScalarFunctionArgs| self.function.invoke_with_args(args);
        match invoke(args.clone()) {
            Err(error) if forgiven(&error) => {}
            done => return done,
        }
        // Some row fails: one by one, then.
        let rows = (0..args.number_rows).map(|row| {
            let one = ScalarFunctionArgs {
                args: args.args.iter().map(|arg| nth(arg, row)).collect(),
                number_rows: 1,
                ..args.clone()
            };
            match invoke(one) {
                Ok(value) => value.into_array(1),
                Err(error) if forgiven(&error) => {
                    Ok(new_null_array(args.return_field.data_type(), 1))
                }
                Err(error) => Err(error),
            }
        });
        let rows: Vec<ArrayRef> = rows.collect::<Result<_>>()?;
        let rows: Vec<_> = rows.iter().map(AsRef::as_ref).collect();
        if rows.is_empty() {
            return Ok(ColumnarValue::Array(new_null_array(args.return_field.data_type(), 0)));
        }
        let all = concat(&rows)?;
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&all, 0)?)),
            false => Ok(ColumnarValue::Array(all)),
        }
    }
}

fn nth(arg: &ColumnarValue, row: usize) -> ColumnarValue {
    match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(row, 1)),
        scalar => scalar.clone(),
    }
}
