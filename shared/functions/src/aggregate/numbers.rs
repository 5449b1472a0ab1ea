//! Bits and moments.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};

use super::collect::Def;

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "bitwise_and_agg",
        resolve: bits_type,
        counts: Some(0),
        compact: Some(and),
        finish: and_all,
    },
    Def {
        name: "bitwise_or_agg",
        resolve: bits_type,
        counts: Some(0),
        compact: Some(or),
        finish: or_all,
    },
    Def {
        name: "bitwise_xor_agg",
        resolve: bits_type,
        counts: Some(0),
        compact: Some(xor),
        finish: xor_all,
    },
    Def {
        name: "skewness",
        resolve: moment_type,
        counts: Some(0),
        compact: None,
        finish: skewness,
    },
    Def {
        name: "kurtosis",
        resolve: moment_type,
        counts: Some(0),
        compact: None,
        finish: kurtosis,
    },
];

type Types = Option<(Vec<DataType>, DataType)>;

fn bits_type(types: &[DataType]) -> Types {
    let [bits] = types else { return None };
    bits.is_integer().then(|| (vec![DataType::Int64], DataType::Int64))
}

fn moment_type(types: &[DataType]) -> Types {
    let [value] = types else { return None };
    value.is_numeric().then(|| (vec![DataType::Float64], DataType::Float64))
}

fn folded(columns: &[ArrayRef], fold: fn(i64, i64) -> i64) -> Option<i64> {
    columns[0].as_primitive::<Int64Type>().values().iter().copied().reduce(fold)
}

fn one(value: Option<i64>) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(vec![value]))]
}

fn and(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    Ok(one(folded(columns, |a, b| a & b)))
}

fn or(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    Ok(one(folded(columns, |a, b| a | b)))
}

fn xor(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    Ok(one(folded(columns, |a, b| a ^ b)))
}

fn and_all(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    Ok(ScalarValue::Int64(folded(columns, |a, b| a & b)))
}

fn or_all(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    Ok(ScalarValue::Int64(folded(columns, |a, b| a | b)))
}

fn xor_all(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    Ok(ScalarValue::Int64(folded(columns, |a, b| a ^ b)))
}

/// The number of values, and the sum of a power of their distances from the mean.
fn moment(columns: &[ArrayRef], power: i32) -> (f64, f64) {
    let values = columns[0].as_primitive::<Float64Type>().values();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (count, values.iter().map(|value| (value - mean).powi(power)).sum())
}

fn skewness(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    let ((n, m2), (_, m3)) = (moment(columns, 2), moment(columns, 3));
    Ok(ScalarValue::Float64((n >= 3.0).then(|| n.sqrt() * m3 / m2.powf(1.5))))
}

fn kurtosis(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    let ((n, m2), (_, m4)) = (moment(columns, 2), moment(columns, 4));
    let value = || {
        (n - 1.0) * n * (n + 1.0) / ((n - 2.0) * (n - 3.0)) * m4 / m2.powi(2)
            - 3.0 * (n - 1.0).powi(2) / ((n - 2.0) * (n - 3.0))
    };
    Ok(ScalarValue::Float64((n >= 4.0).then(value)))
}
