//! CAST and TRY_CAST to booleans, numbers and text, as Trino converts and rounds and refuses.
//!
//! The dialect plans them as calls of [`cast_function`] with the type's name as second argument.

mod numbers;
mod source;
mod target;
mod texts;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::Functions;
use source::Source;

pub use target::Target;

/// The function of CAST, or of TRY_CAST, which gives NULL where a value cannot be converted.
pub fn cast_function(lenient: bool) -> Arc<ScalarUDF> {
    let signature = Signature::any(2, Volatility::Immutable);
    Arc::new(ScalarUDF::from(CastFunction { lenient, signature }))
}

/// The values of an array in another type, as CAST converts them.
///
/// # Errors
/// Trino's for the first value that cannot be converted.
pub fn convert(array: &ArrayRef, to: &Target) -> Result<ArrayRef, Failure> {
    cast(array, to, false)
}

/// Trino has a cast between these types.
pub fn can_cast(from: &DataType, to: &Target) -> bool {
    match from {
        DataType::Null => true,
        from if crate::coercion::is_text(from) => true,
        from if crate::coercion::is_number(from) => !matches!(to, Target::Char(_)),
        DataType::Boolean => !matches!(to, Target::Char(_)),
        DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Interval(_) => matches!(to, Target::Varchar(_)),
        _ => false,
    }
}

pub(crate) fn functions() -> Functions {
    Functions { scalar: vec![cast_function(false), cast_function(true)], ..Functions::default() }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CastFunction {
    lenient: bool,
    signature: Signature,
}

fn target(value: Option<&ScalarValue>) -> Result<Target> {
    match value.and_then(|value| value.try_as_str().flatten()).and_then(Target::parse) {
        Some(target) => Ok(target),
        None => internal_err!("a cast to {value:?}"),
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        if self.lenient { "$try_cast" } else { "$cast" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of a cast of {types:?} depends on its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let target = target(args.scalar_arguments.get(1).copied().flatten())?;
        let from = args.arg_fields.first().map(|field| field.data_type());
        let data_type = from.and_then(|from| unchanged(from, &target)).cloned();
        let field = Field::new(self.name(), data_type.unwrap_or(target.data_type()), true);
        Ok(Arc::new(match &target {
            Target::Char(_) => target.trino_type().annotate(field),
            _ => field,
        }))
    }

    /// What needs no conversion is gone once types are known, so that sources can leave rows out by
    /// it.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let [value, Expr::Literal(to, _)] = args.as_slice() {
            let from = value.to_field(info.schema())?.1;
            // Without the call it would be a char still.
            let is_char = matches!(TrinoType::of_field(&from), Ok(TrinoType::Char(_)));
            if !is_char && unchanged(from.data_type(), &target(Some(to))?).is_some() {
                return Ok(ExprSimplifyResult::Simplified(value.clone()));
            }
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, ColumnarValue::Scalar(to)] = args.args.as_slice() else {
            return internal_err!("a cast without a type");
        };
        let target = target(Some(to))?;
        if unchanged(&value.data_type(), &target).is_some() {
            return Ok(value.clone());
        }
        let raise = |failure| DataFusionError::External(Box::new(failure));
        match value {
            ColumnarValue::Array(array) => {
                let cast = cast(array, &target, self.lenient).map_err(raise)?;
                Ok(ColumnarValue::Array(cast))
            }
            ColumnarValue::Scalar(scalar) => {
                let one = scalar.to_array_of_size(1)?;
                let cast = cast(&one, &target, self.lenient).map_err(raise)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?))
            }
        }
    }
}

/// The arrays that need no conversion: texts that may have any length afterwards.
fn unchanged<'a>(from: &'a DataType, target: &Target) -> Option<&'a DataType> {
    (*target == Target::Varchar(None) && crate::coercion::is_text(from)).then_some(from)
}

/// Converts all values of an array.
fn cast(array: &ArrayRef, target: &Target, lenient: bool) -> Result<ArrayRef, Failure> {
    let source = Source::new(array)?;
    let rows = Rows { source: &source, lenient };
    match target {
        Target::Boolean => rows.to_boolean(),
        Target::Integer(data_type) => rows.to_integer(data_type),
        Target::Real => rows.to_real(),
        Target::Double => rows.to_double(),
        Target::Decimal(precision, scale) => rows.to_decimal(*precision, *scale),
        Target::Varchar(length) => rows.to_varchar(*length),
        Target::Char(length) => rows.to_char(*length),
    }
}

/// The values to convert.
struct Rows<'a> {
    source: &'a Source,
    lenient: bool,
}

impl Rows<'_> {
    /// Converts each value that is there; what cannot be converted is NULL where that is asked for.
    fn map<I, O, C>(
        &self,
        values: impl Iterator<Item = Option<I>>,
        convert: impl Fn(I) -> Result<O, Failure>,
    ) -> Result<C, Failure>
    where
        C: FromIterator<Option<O>>,
    {
        values
            .map(|value| match value.map(&convert) {
                None => Ok(None),
                Some(Ok(converted)) => Ok(Some(converted)),
                Some(Err(_)) if self.lenient => Ok(None),
                Some(Err(failure)) => Err(failure),
            })
            .collect()
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(ErrorCode::INVALID_CAST_ARGUMENT, message)
}

fn out_of_range(message: String) -> Failure {
    Failure::new(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{
        BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, StringArray,
    };
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn converted(array: ArrayRef, to: &str) -> String {
        let target = Target::parse(to).unwrap();
        let cast = |lenient| cast(&array, &target, lenient);
        match cast(false) {
            Ok(found) => {
                assert_eq!(found.data_type(), &target.data_type());
                assert!(found.is_valid(0));
                array_value_to_string(&found, 0).unwrap()
            }
            Err(failure) => {
                assert!(cast(true).unwrap().is_null(0), "TRY_CAST gives NULL");
                format!("{}: {}", failure.code.name(), failure.message)
            }
        }
    }

    #[test]
    fn texts_become_values() {
        for (text, to, expected) in [
            (" 12 ", "bigint", "12"),
            ("+5", "integer", "5"),
            ("1.5", "integer", "INVALID_CAST_ARGUMENT: Cannot cast '1.5' to INT"),
            ("300", "tinyint", "INVALID_CAST_ARGUMENT: Cannot cast '300' to TINYINT"),
            ("", "bigint", "INVALID_CAST_ARGUMENT: Cannot cast '' to BIGINT"),
            (" 1.5e3 ", "double", "1500.0"),
            ("Infinity", "double", "inf"),
            ("inf", "double", "INVALID_CAST_ARGUMENT: Cannot cast 'inf' to DOUBLE"),
            ("1.5d", "real", "1.5"),
            ("TrUe", "boolean", "true"),
            ("0", "boolean", "false"),
            ("yes", "boolean", "INVALID_CAST_ARGUMENT: Cannot cast 'yes' to BOOLEAN"),
            ("1.005", "decimal(4,2)", "1.01"),
            ("-1e2", "decimal(4,1)", "-100.0"),
            (
                "12345",
                "decimal(4,1)",
                "INVALID_CAST_ARGUMENT: Cannot cast VARCHAR '12345' to DECIMAL(4, 1). Value too large.",
            ),
            (
                "x",
                "decimal(4,1)",
                "INVALID_CAST_ARGUMENT: Cannot cast VARCHAR 'x' to DECIMAL(4, 1). Value is not a number.",
            ),
            ("äbc", "varchar(2)", "äb"),
            ("ab  ", "char(3)", "ab"),
        ] {
            assert_eq!(converted(Arc::new(StringArray::from(vec![text])), to), expected, "{text}");
        }
    }

    #[test]
    fn doubles_are_rounded_half_up_and_written_as_java_writes_them() {
        for (value, to, expected) in [
            (2.5, "integer", "3"),
            (-2.5, "bigint", "-3"),
            (0.499_999_999_999_999_94, "integer", "0"),
            (1e10, "integer", "NUMERIC_VALUE_OUT_OF_RANGE: Out of range for integer: 1.0E10"),
            (1e19, "bigint", "INVALID_CAST_ARGUMENT: Unable to cast 1.0E19 to bigint"),
            (f64::NAN, "integer", "INVALID_CAST_ARGUMENT: Cannot cast double NaN to integer"),
            (1.0, "varchar", "1.0E0"),
            (123_456.789, "varchar", "1.23456789E5"),
            (0.001, "varchar(6)", "1.0E-3"),
            (0.0, "varchar", "0E0"),
            (f64::NEG_INFINITY, "varchar", "-Infinity"),
            (
                12.5,
                "varchar(3)",
                "INVALID_CAST_ARGUMENT: Value 12.5 (1.25E1) cannot be represented as varchar(3)",
            ),
            (1.005, "decimal(4,2)", "1.01"),
            (
                1e5,
                "decimal(4,2)",
                "INVALID_CAST_ARGUMENT: Cannot cast DOUBLE '100000.0' to DECIMAL(4, 2)",
            ),
            (0.5, "boolean", "true"),
        ] {
            assert_eq!(converted(Arc::new(Float64Array::from(vec![value])), to), expected);
        }
        let real: ArrayRef = Arc::new(Float32Array::from(vec![0.1]));
        assert_eq!(converted(Arc::clone(&real), "varchar"), "1.0E-1");
        assert_eq!(converted(real, "decimal(3,2)"), "0.10");
    }

    #[test]
    fn exact_numbers_and_booleans() {
        let decimal = |value: i128, precision, scale| -> ArrayRef {
            let array = Decimal128Array::from(vec![value]);
            Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
        };
        let bigint = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        let boolean: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        for (array, to, expected) in [
            (decimal(15, 2, 1), "integer", "2"),
            (decimal(-15, 2, 1), "bigint", "-2"),
            (
                decimal(3000, 4, 1),
                "tinyint",
                "INVALID_CAST_ARGUMENT: Cannot cast '300.0' to TINYINT",
            ),
            (decimal(1005, 4, 3), "decimal(3,2)", "1.01"),
            (
                decimal(9999, 4, 2),
                "decimal(3,2)",
                "INVALID_CAST_ARGUMENT: Cannot cast DECIMAL(4, 2) '99.99' to DECIMAL(3, 2)",
            ),
            (decimal(-5, 3, 2), "varchar", "-0.05"),
            (decimal(12345, 5, 2), "double", "123.45"),
            (
                bigint(2_147_483_648),
                "integer",
                "NUMERIC_VALUE_OUT_OF_RANGE: Out of range for integer: 2147483648",
            ),
            (
                bigint(12),
                "decimal(3,2)",
                "INVALID_CAST_ARGUMENT: Cannot cast BIGINT '12' to DECIMAL(3, 2)",
            ),
            (
                bigint(1234),
                "varchar(3)",
                "INVALID_CAST_ARGUMENT: Value 1234 cannot be represented as varchar(3)",
            ),
            (Arc::clone(&boolean), "varchar", "true"),
            (boolean, "smallint", "1"),
        ] {
            assert_eq!(converted(array, to), expected);
        }
    }
}
