//! Values that are cast.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array,
    Int64Array, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::coercion::{is_integer, is_text};

/// The values of an array.
pub(super) enum Source {
    Boolean(BooleanArray),
    /// Integers, and the name of their type in capitals.
    Integer(Int64Array, String),
    Real(Float32Array),
    Double(Float64Array),
    /// Decimals with their precision and scale.
    Decimal(Decimal128Array, u8, u8),
    Text(StringArray),
    /// Dates, times and the like, as their texts.
    Temporal(StringArray),
}

impl Source {
    pub fn new(array: &ArrayRef) -> Result<Self, Failure> {
        let internal = |text: String| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text);
        let convert = |to: &DataType| cast(array, to).map_err(|error| internal(error.to_string()));
        Ok(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().clone()),
            integer if is_integer(integer) => {
                let name = TrinoType::of(integer)?.listing().to_uppercase();
                Self::Integer(convert(&DataType::Int64)?.as_primitive::<Int64Type>().clone(), name)
            }
            DataType::Float32 => Self::Real(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>().clone()),
            DataType::Decimal128(precision, scale) => {
                let scale = u8::try_from(*scale).map_err(|error| internal(error.to_string()))?;
                Self::Decimal(array.as_primitive::<Decimal128Type>().clone(), *precision, scale)
            }
            text if is_text(text) => {
                Self::Text(convert(&DataType::Utf8)?.as_string::<i32>().clone())
            }
            DataType::Dictionary(_, values) if is_text(values) => {
                Self::Text(convert(&DataType::Utf8)?.as_string::<i32>().clone())
            }
            DataType::Null => Self::Text(StringArray::new_null(array.len())),
            _ => Self::Temporal(temporal(array)?),
        })
    }
}

/// The texts of values in time.
fn temporal(array: &ArrayRef) -> Result<StringArray, Failure> {
    crate::datetime::to_varchar(array).unwrap_or_else(|| {
        let name = TrinoType::of(array.data_type())?.listing();
        let message = format!("A cast of {name} to varchar is not supported");
        Err(Failure::new(ErrorCode::NOT_SUPPORTED, message))
    })
}
