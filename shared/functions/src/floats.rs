//! NaN where values are compared: Arrow has it equal to itself and greatest, Trino's operators take
//! it for nothing that compares, and its extremes leave it out as long as there is another value.
//!
//! The functions put NaN at one end of Arrow's order, so that Arrow's comparisons of what they give
//! are Trino's: the two ends never equal each other. They make `0.0` of `-0.0` too.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::ScalarValue;

use crate::functions::Functions;
use crate::nested::{Def, Resolved, family};

const TABLE: &[Def] = &[
    Def { name: "$nan_above", resolve: same, invoke: |a, _| Ok(nan_above(&a[0])), volatile: false },
    Def { name: "$nan_below", resolve: same, invoke: |a, _| Ok(nan_below(&a[0])), volatile: false },
    Def {
        name: "$key_nan_above",
        resolve: key_type,
        invoke: |a, _| Ok(keys(&nan_above(&a[0]))),
        volatile: false,
    },
    Def {
        name: "$key_nan_below",
        resolve: key_type,
        invoke: |a, _| Ok(keys(&nan_below(&a[0]))),
        volatile: false,
    },
    Def { name: "$of_key", resolve: value_type, invoke: |a, _| Ok(values(&a[0])), volatile: false },
];

/// The functions.
pub(crate) fn functions() -> Functions {
    Functions { scalar: family(TABLE), ..Functions::default() }
}

fn same(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let [only @ (DataType::Float32 | DataType::Float64)] = types else { return None };
    Resolved::new(vec![only.clone()], only.clone())
}

fn key_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let [DataType::Float64] = types else { return None };
    Resolved::new(vec![DataType::Float64], DataType::Int64)
}

fn value_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let [DataType::Int64] = types else { return None };
    Resolved::new(vec![DataType::Int64], DataType::Float64)
}

/// NaN above all numbers; arrays of other types as they are.
pub(crate) fn nan_above(array: &ArrayRef) -> ArrayRef {
    with_nan(array, u32::MAX >> 1, u64::MAX >> 1)
}

/// NaN below all numbers; arrays of other types as they are.
pub(crate) fn nan_below(array: &ArrayRef) -> ArrayRef {
    with_nan(array, u32::MAX, u64::MAX)
}

fn with_nan(array: &ArrayRef, single: u32, double: u64) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let nan = f64::from_bits(double);
            let plain = |x: f64| if x.is_nan() { nan } else { x + 0.0 };
            let plain: Float64Array = array.as_primitive::<Float64Type>().unary(plain);
            Arc::new(plain)
        }
        DataType::Float32 => {
            let nan = f32::from_bits(single);
            let plain = |x: f32| if x.is_nan() { nan } else { x + 0.0 };
            let plain: Float32Array = array.as_primitive::<Float32Type>().unary(plain);
            Arc::new(plain)
        }
        _ => Arc::clone(array),
    }
}

/// True for the rows in which an array has NaN.
pub(crate) fn nan(array: &ArrayRef) -> impl Fn(usize) -> bool + '_ {
    move |row| match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_nan(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_nan(),
        _ => false,
    }
}

/// The bits of a double as an integer of the same order, and back.
const fn turned(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn keys(array: &ArrayRef) -> ArrayRef {
    let key = |x: f64| turned(x.to_bits() as i64);
    let keys: Int64Array = array.as_primitive::<Float64Type>().unary(key);
    Arc::new(keys)
}

fn values(array: &ArrayRef) -> ArrayRef {
    let value = |key: i64| f64::from_bits(turned(key) as u64);
    let values: Float64Array = array.as_primitive::<Int64Type>().unary(value);
    Arc::new(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_order_of_their_values() {
        let ordered = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY];
        let array: ArrayRef = Arc::new(Float64Array::from(ordered.to_vec()));
        let found = keys(&array);
        assert!(found.as_primitive::<Int64Type>().values().is_sorted());
        assert_eq!(&values(&found), &array);
    }

    #[test]
    fn nan_stands_at_an_end() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, -f64::NAN]));
        let key = |array: &ArrayRef| keys(array).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(key(&nan_above(&array)), [i64::MAX; 2]);
        assert_eq!(key(&nan_below(&array)), [i64::MIN; 2]);
    }
}
