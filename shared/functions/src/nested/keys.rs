//! Values as bytes that compare and hash as the values do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::Result;
use waterbear_protocol::ErrorCode;

use super::{failure, trino_name};

/// The values of arrays as keys. NULLs are equal to each other and first, NaNs are equal to each
/// other and last.
pub(crate) struct Keys {
    rows: Rows,
    null: Vec<bool>,
}

impl Keys {
    /// Keys of several arrays of one type, one array behind the other.
    ///
    /// # Errors
    /// NOT_SUPPORTED for values that have no order.
    pub fn of(arrays: &[&ArrayRef]) -> Result<Self> {
        let data_type = arrays.first().map_or(DataType::Null, |array| array.data_type().clone());
        let field = SortField::new(data_type.clone());
        if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
            let message =
                format!("Comparing values of {} is not supported", trino_name(&data_type));
            return Err(failure(ErrorCode::NOT_SUPPORTED, message));
        }
        let converter = RowConverter::new(vec![field])?;
        let count = arrays.iter().map(|array| array.len()).sum();
        let mut rows = converter.empty_rows(count, 0);
        let mut null = Vec::with_capacity(count);
        for array in arrays {
            converter_append(&converter, &mut rows, array)?;
            null.extend(
                (0..array.len())
                    .map(|at| array.is_null(at) || *array.data_type() == DataType::Null),
            );
        }
        Ok(Self { rows, null })
    }

    /// The key of a value.
    pub fn get(&self, at: usize) -> Row<'_> {
        self.rows.row(at)
    }

    /// True when the value is NULL.
    pub fn is_null(&self, at: usize) -> bool {
        self.null[at]
    }
}

fn converter_append(converter: &RowConverter, rows: &mut Rows, array: &ArrayRef) -> Result<()> {
    Ok(converter.append(rows, &[without_negative_zero(array)])?)
}

/// `-0.0` is `0.0`, and there is one NaN.
fn without_negative_zero(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let plain = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
            let plain: Float64Array = array.as_primitive::<Float64Type>().unary(plain);
            Arc::new(plain)
        }
        DataType::Float32 => {
            let plain = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            let plain: Float32Array = array.as_primitive::<Float32Type>().unary(plain);
            Arc::new(plain)
        }
        _ => Arc::clone(array),
    }
}
