//! `greatest`, `least`, `typeof` and `try`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::Functions;
use crate::coercion::common_type;
use crate::floats::{nan_above, nan_below};

pub(crate) fn functions() -> Functions {
    let extreme = |largest| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Extreme { largest, signature }))
    };
    let signature = || Signature::any(1, Volatility::Immutable);
    let type_of = Arc::new(ScalarUDF::from(TypeOf { signature: signature() }));
    let attempt = Arc::new(ScalarUDF::from(Attempt { signature: signature() }));
    let scalar = vec![extreme(true), extreme(false), type_of, attempt];
    Functions { scalar, ..Functions::default() }
}

/// The largest or the smallest of its arguments; NULL as soon as one of them is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    largest: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Extreme {
    fn name(&self) -> &str {
        if self.largest { "greatest" } else { "least" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let common = types.iter().try_fold(DataType::Null, |one, other| common_type(&one, other));
        match common {
            Some(common) if !types.is_empty() => Ok(vec![common; types.len()]),
            _ => {
                let name = |data_type| TrinoType::of(data_type).map(|found| found.listing());
                let names = types.iter().map(name).collect::<Result<Vec<_>, _>>();
                let names = names.unwrap_or_default().join(", ");
                let message =
                    format!("Unexpected parameters ({names}) for function {}", self.name());
                let failure = Failure::new(ErrorCode::FUNCTION_NOT_FOUND, message);
                Err(DataFusionError::External(Box::new(failure)))
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.coerce_types(types)?.into_iter().next() {
            Some(common) => Ok(common),
            None => internal_err!("{} of nothing", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let mut arrays = arrays.into_iter();
        let Some(mut found) = arrays.next() else { return internal_err!("no arguments") };
        let mut nulls = found.logical_nulls();
        for other in arrays {
            nulls = NullBuffer::union(nulls.as_ref(), other.logical_nulls().as_ref());
            let better = match self.largest {
                true => cmp::gt(&nan_below(&other), &nan_below(&found))?,
                false => cmp::lt(&nan_above(&other), &nan_above(&found))?,
            };
            found = zip(&better, &other, &found)?;
        }
        without(&found, nulls.as_ref())
    }
}

/// The values with those left out that are NULL in `nulls`.
fn without(values: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ColumnarValue> {
    let Some(nulls) = nulls else { return Ok(ColumnarValue::Array(Arc::clone(values))) };
    let missing = BooleanArray::new(!nulls.inner(), None);
    Ok(ColumnarValue::Array(nullif(values, &missing)?))
}

/// The name of its argument's type. Where the length of a text is known, the dialect has put it
/// in its place before.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [field] = args.arg_fields.as_slice() else { return internal_err!("typeof of nothing") };
        let named = TrinoType::of_field(field)
            .map_err(|failure| DataFusionError::External(Box::new(failure)))?;
        Ok(ColumnarValue::Scalar(ScalarValue::from(named.listing())))
    }
}

/// `try`, while a query is planned: the dialect puts what it means in its place.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Attempt {
    signature: Signature,
}

impl ScalarUDFImpl for Attempt {
    fn name(&self) -> &str {
        "try"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] => Ok(only.clone()),
            _ => internal_err!("try of {types:?}"),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("try was not planned")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;

    use super::*;

    #[test]
    fn one_null_makes_the_result_null() {
        let columns = [vec![Some(1), Some(5), None], vec![Some(3), None, Some(2)]];
        for (largest, expected) in [(true, 3), (false, 1)] {
            let args: Vec<ColumnarValue> = columns
                .iter()
                .map(|column| ColumnarValue::Array(Arc::new(Int32Array::from(column.clone()))))
                .collect();
            let field = Arc::new(Field::new("a", DataType::Int32, true));
            let args = ScalarFunctionArgs {
                args,
                arg_fields: vec![Arc::clone(&field), Arc::clone(&field)],
                number_rows: 3,
                return_field: field,
                config_options: Arc::new(ConfigOptions::default()),
            };
            let signature = Signature::user_defined(Volatility::Immutable);
            let found = Extreme { largest, signature }.invoke_with_args(args).unwrap();
            let ColumnarValue::Array(found) = found else { panic!("no array") };
            let expected = Int32Array::from(vec![Some(expected), None, None]);
            assert_eq!(found.as_ref(), &expected as &dyn Array);
        }
    }
}
