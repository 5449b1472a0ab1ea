//! `+ - * / %` and the minus sign for integers and decimals: checked, with Trino's result types.
//!
//! Doubles and reals need nothing of this: DataFusion's operators are IEEE's, as Trino's are.
//! The functions' names cannot be typed without quotes; operators become calls of them where a
//! query is planned, and plans carry them to the workers by name.

mod decimals;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::Functions;
use crate::coercion::{common_type, decimal, decimal_digits, is_integer};

pub use decimals::decimal_result;

/// An operator between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulus,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Add, Self::Subtract, Self::Multiply, Self::Divide, Self::Modulus];

    /// The name of its function.
    const fn function_name(self) -> &'static str {
        match self {
            Self::Add => "$operator$add",
            Self::Subtract => "$operator$subtract",
            Self::Multiply => "$operator$multiply",
            Self::Divide => "$operator$divide",
            Self::Modulus => "$operator$modulus",
        }
    }

    /// What messages call it.
    const fn noun(self) -> &'static str {
        match self {
            Self::Add => "addition",
            Self::Subtract => "subtraction",
            Self::Multiply => "multiplication",
            Self::Divide => "division",
            Self::Modulus => "modulus",
        }
    }

    /// The function that computes it for two integers of one type, or for two decimals.
    pub fn function(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Arithmetic {
            operation: self,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    }
}

/// The function of the minus sign in front of an integer.
pub fn negate() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Negate { signature: Signature::any(1, Volatility::Immutable) }))
}

/// The functions of the operators.
pub fn functions() -> Functions {
    let mut scalar: Vec<_> = Operation::ALL.into_iter().map(Operation::function).collect();
    scalar.push(negate());
    Functions { scalar, ..Functions::default() }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.operation.function_name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = types else { return internal_err!("{} of {types:?}", self.name()) };
        let as_decimal = |data_type: &DataType| {
            decimal_digits(data_type).map(|(precision, scale)| decimal(precision, scale))
        };
        let coerced = match (left, right) {
            (DataType::Null, other) | (other, DataType::Null) => {
                Some((other.clone(), other.clone()))
            }
            _ if is_integer(left) && is_integer(right) => {
                common_type(left, right).map(|common| (common.clone(), common))
            }
            _ => as_decimal(left).zip(as_decimal(right)),
        };
        match coerced {
            Some((left, right)) => Ok(vec![left, right]),
            None => internal_err!("{} of {left} and {right}", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.coerce_types(types)?.as_slice() {
            [left, right] if is_integer(left) && left == right => Ok(left.clone()),
            [left, right] => match decimal_digits(left).zip(decimal_digits(right)) {
                Some((left, right)) => Ok(decimals::result_type(self.operation, left, right)?),
                None => internal_err!("{} of {left} and {right}", self.name()),
            },
            _ => internal_err!("{} of {types:?}", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return internal_err!("{} of {} values", self.name(), args.args.len());
        };
        let both_scalar =
            matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let (left, right) = (datum(left)?, datum(right)?);
        let computed = match args.return_field.data_type() {
            DataType::Decimal128(..) => {
                decimals::compute(self.operation, left.as_ref(), right.as_ref())?
            }
            integer => integers(self.operation, left.as_ref(), right.as_ref(), integer)?,
        };
        if both_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&computed, 0)?));
        }
        Ok(ColumnarValue::Array(computed))
    }
}

fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}

fn integers(
    operation: Operation,
    left: &dyn Datum,
    right: &dyn Datum,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let computed = match operation {
        Operation::Add => numeric::add(left, right),
        Operation::Subtract => numeric::sub(left, right),
        Operation::Multiply => numeric::mul(left, right),
        Operation::Divide => numeric::div(left, right),
        Operation::Modulus => numeric::rem(left, right),
    };
    computed.map_err(|error| overflow(error, operation.noun(), data_type))
}

/// `integer addition overflow: 2147483647 + 1`; arrow's text ends in the same operands.
fn overflow(error: ArrowError, noun: &str, data_type: &DataType) -> DataFusionError {
    match error {
        ArrowError::ArithmeticOverflow(text) => {
            let operands = text.rsplit_once(": ").map_or(text.as_str(), |(_, operands)| operands);
            let name = TrinoType::of(data_type).map_or_else(|_| String::new(), |t| t.listing());
            let operands = if noun == "negation" {
                operands.replacen("- ", "", 1)
            } else {
                operands.to_owned()
            };
            let message = format!("{name} {noun} overflow: {operands}");
            raise(Failure::new(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, message))
        }
        ArrowError::DivideByZero => raise(division_by_zero()),
        other => other.into(),
    }
}

fn division_by_zero() -> Failure {
    Failure::new(ErrorCode::DIVISION_BY_ZERO, "Division by zero")
}

fn raise(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Negate {
    signature: Signature,
}

impl ScalarUDFImpl for Negate {
    fn name(&self) -> &str {
        "$operator$negate"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] if is_integer(only) => Ok(only.clone()),
            _ => internal_err!("negation of {types:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return internal_err!("negation of {} values", args.args.len());
        };
        let negated = |array: &dyn Array| {
            numeric::neg(array).map_err(|error| overflow(error, "negation", array.data_type()))
        };
        Ok(match value {
            ColumnarValue::Array(array) => ColumnarValue::Array(negated(array.as_ref())?),
            ColumnarValue::Scalar(scalar) => {
                let array = negated(scalar.to_array()?.as_ref())?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;

    use super::*;
    use crate::failure_of;

    fn call(function: &ScalarUDF, args: Vec<ColumnarValue>) -> Result<ColumnarValue, Failure> {
        let types: Vec<DataType> = args.iter().map(ColumnarValue::data_type).collect();
        let fields = types.iter().map(|t| Arc::new(Field::new("a", t.clone(), true))).collect();
        let returned = function.inner().return_type(&types).map_err(|error| failure_of(&error))?;
        function
            .invoke_with_args(ScalarFunctionArgs {
                number_rows: 1,
                args,
                arg_fields: fields,
                return_field: Arc::new(Field::new("r", returned, true)),
                config_options: Arc::new(ConfigOptions::default()),
            })
            .map_err(|error| failure_of(&error))
    }

    fn scalar(value: ScalarValue) -> ColumnarValue {
        ColumnarValue::Scalar(value)
    }

    fn text(result: Result<ColumnarValue, Failure>) -> String {
        match result {
            Ok(ColumnarValue::Scalar(scalar)) => format!("{scalar} {}", scalar.data_type()),
            Ok(ColumnarValue::Array(array)) => format!("{array:?}"),
            Err(failure) => format!("{}: {}", failure.code.name(), failure.message),
        }
    }

    #[test]
    fn integers_are_checked() {
        use Operation::{Add, Divide, Modulus, Multiply, Subtract};
        use ScalarValue::{Int8, Int16, Int32, Int64};
        for (operation, left, right, expected) in [
            (Add, Int32(Some(1)), Int32(Some(2)), "3 Int32"),
            (Add, Int32(None), Int32(Some(2)), "NULL Int32"),
            (
                Add,
                Int32(Some(i32::MAX)),
                Int32(Some(1)),
                "NUMERIC_VALUE_OUT_OF_RANGE: integer addition overflow: 2147483647 + 1",
            ),
            (
                Subtract,
                Int8(Some(-128)),
                Int8(Some(1)),
                "NUMERIC_VALUE_OUT_OF_RANGE: tinyint subtraction overflow: -128 - 1",
            ),
            (
                Multiply,
                Int64(Some(i64::MAX)),
                Int64(Some(2)),
                "NUMERIC_VALUE_OUT_OF_RANGE: bigint multiplication overflow: 9223372036854775807 * 2",
            ),
            (Divide, Int16(Some(-7)), Int16(Some(2)), "-3 Int16"),
            (Divide, Int64(Some(1)), Int64(Some(0)), "DIVISION_BY_ZERO: Division by zero"),
            (
                Divide,
                Int32(Some(i32::MIN)),
                Int32(Some(-1)),
                "NUMERIC_VALUE_OUT_OF_RANGE: integer division overflow: -2147483648 / -1",
            ),
            (Modulus, Int32(Some(-7)), Int32(Some(3)), "-1 Int32"),
            (Modulus, Int64(Some(i64::MIN)), Int64(Some(-1)), "0 Int64"),
            (Modulus, Int32(Some(1)), Int32(Some(0)), "DIVISION_BY_ZERO: Division by zero"),
        ] {
            let found = call(&operation.function(), vec![scalar(left), scalar(right)]);
            assert_eq!(text(found), expected);
        }
        let minus = |value| text(call(&negate(), vec![scalar(value)]));
        assert_eq!(minus(Int32(Some(5))), "-5 Int32");
        assert_eq!(
            minus(Int8(Some(-128))),
            "NUMERIC_VALUE_OUT_OF_RANGE: tinyint negation overflow: -128"
        );
    }

    #[test]
    fn rows_without_a_value_never_fail() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![Some(6), None, Some(0)]));
        let divisor: ArrayRef = Arc::new(Int32Array::from(vec![Some(2), Some(0), None]));
        let args = vec![ColumnarValue::Array(column), ColumnarValue::Array(divisor)];
        let Ok(ColumnarValue::Array(found)) = call(&Operation::Divide.function(), args) else {
            panic!("no array");
        };
        assert_eq!(found.as_ref(), &Int32Array::from(vec![Some(3), None, None]) as &dyn Array);
    }

    #[test]
    fn decimals_have_trinos_types_and_round_half_up() {
        use Operation::{Add, Divide, Modulus, Multiply, Subtract};
        let decimal =
            |value: i128, precision, scale| ScalarValue::Decimal128(Some(value), precision, scale);
        let largest = 10_i128.pow(38) - 1;
        for (operation, left, right, expected) in [
            (Add, decimal(110, 3, 2), decimal(5, 2, 1), "1.60 Decimal128(4, 2)"),
            (Subtract, decimal(10, 10, 0), decimal(4, 12, 2), "9.96 Decimal128(13, 2)"),
            (Multiply, decimal(150, 3, 2), decimal(-2, 2, 1), "-0.300 Decimal128(5, 3)"),
            (Divide, decimal(10, 2, 1), decimal(3, 10, 0), "0.3 Decimal128(2, 1)"),
            (Divide, decimal(200, 3, 2), decimal(30, 2, 1), "0.67 Decimal128(4, 2)"),
            (Divide, decimal(-200, 3, 2), decimal(30, 2, 1), "-0.67 Decimal128(4, 2)"),
            (Divide, decimal(15, 2, 1), decimal(2_000_000, 7, 6), "0.750000 Decimal128(13, 6)"),
            (
                Divide,
                decimal(1, 38, 0),
                decimal(3, 38, 38),
                "NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow",
            ),
            (Divide, decimal(1, 2, 1), decimal(0, 2, 1), "DIVISION_BY_ZERO: Division by zero"),
            (Modulus, decimal(-75, 2, 1), decimal(200, 3, 2), "-1.50 Decimal128(3, 2)"),
            (Modulus, decimal(1, 2, 1), decimal(0, 2, 1), "DIVISION_BY_ZERO: Division by zero"),
            (
                Add,
                decimal(largest, 38, 0),
                decimal(1, 1, 0),
                "NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow",
            ),
            (
                Multiply,
                decimal(largest, 38, 0),
                decimal(10, 2, 0),
                "NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow",
            ),
            (
                Multiply,
                decimal(1, 38, 20),
                decimal(1, 38, 20),
                "INVALID_FUNCTION_ARGUMENT: DECIMAL scale must be in range [0, precision (38)]: 40",
            ),
        ] {
            let found = call(&operation.function(), vec![scalar(left), scalar(right)]);
            assert_eq!(text(found), expected);
        }
    }
}
