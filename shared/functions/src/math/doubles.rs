//! Functions of doubles, with Java's results at the borders of their domains.

use std::f64::consts;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float32Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Call, function};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("acos", |call| map(call, f64::acos)),
        function("asin", |call| map(call, f64::asin)),
        function("atan", |call| map(call, f64::atan)),
        function("atan2", |call| map_two(call, f64::atan2)),
        function("cbrt", |call| map(call, f64::cbrt)),
        function("cos", |call| map(call, f64::cos)),
        function("cosh", |call| map(call, f64::cosh)),
        function("degrees", |call| map(call, |x| x * (180.0 / consts::PI))),
        function("e", |call| constant(call, consts::E)),
        function("exp", |call| map(call, f64::exp)),
        function("infinity", |call| constant(call, f64::INFINITY)),
        function("is_finite", |call| test(call, f64::is_finite)),
        function("is_infinite", |call| test(call, f64::is_infinite)),
        function("is_nan", is_nan),
        function("ln", |call| map(call, f64::ln)),
        function("log", |call| map_two(call, |base, x| x.ln() / base.ln())),
        function("log10", |call| map(call, f64::log10)),
        function("log2", |call| map(call, |x| x.ln() / 2_f64.ln())),
        function("nan", |call| constant(call, f64::NAN)),
        function("pi", |call| constant(call, consts::PI)),
        function("pow", |call| map_two(call, power)),
        function("power", |call| map_two(call, power)),
        function("radians", |call| map(call, |x| x * (consts::PI / 180.0))),
        function("sin", |call| map(call, f64::sin)),
        function("sinh", |call| map(call, f64::sinh)),
        function("sqrt", |call| map(call, f64::sqrt)),
        function("tan", |call| map(call, f64::tan)),
        function("tanh", |call| map(call, f64::tanh)),
    ]
}

fn map(call: &Call<'_>, of: fn(f64) -> f64) -> Result<ArrayRef> {
    let numbers = call.doubles(0)?;
    call.make_doubles(|row| Some(Ok(of(numbers.get(row)?))))
}

fn map_two(call: &Call<'_>, of: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (call.doubles(0)?, call.doubles(1)?);
    call.make_doubles(|row| Some(Ok(of(left.get(row)?, right.get(row)?))))
}

fn test(call: &Call<'_>, holds: fn(f64) -> bool) -> Result<ArrayRef> {
    let numbers = call.doubles(0)?;
    call.make_booleans(|row| Some(Ok(holds(numbers.get(row)?))))
}

fn is_nan(call: &Call<'_>) -> Result<ArrayRef> {
    if call.array(0)?.0.data_type() == &DataType::Float32 {
        let numbers = call.numbers::<Float32Type>(0)?;
        return call.make_booleans(|row| Some(Ok(numbers.get(row)?.is_nan())));
    }
    test(call, f64::is_nan)
}

fn constant(call: &Call<'_>, value: f64) -> Result<ArrayRef> {
    call.make_doubles(|_| Some(Ok(value)))
}

/// C and Rust give 1 where Java gives NaN.
fn power(base: f64, exponent: f64) -> f64 {
    let undefined = exponent.is_nan() || (base.abs() == 1.0 && exponent.is_infinite());
    if undefined { f64::NAN } else { base.powf(exponent) }
}
