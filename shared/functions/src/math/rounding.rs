//! Absolute values, signs, remainders and rounding: of integers, reals, doubles and decimals.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::scalar::{Call, Evaluated, Numbers, TrinoFunction, out_of_range, raise};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let of = |name, evaluate, result| TrinoFunction::new(name, evaluate).of_type(result).shared();
    vec![
        of("abs", abs, |arguments| decimal(arguments, |p, s| (p, s))),
        of("ceil", |call| whole(call, Way::Up), |arguments| decimal(arguments, whole_type)),
        of("ceiling", |call| whole(call, Way::Up), |arguments| decimal(arguments, whole_type)),
        of("floor", |call| whole(call, Way::Down), |arguments| decimal(arguments, whole_type)),
        of("mod", modulus, modulus_type),
        of("round", round, round_type),
        of("sign", sign, |arguments| decimal(arguments, |_, _| (1, 0))),
        of("truncate", truncate, truncate_type),
    ]
}

/// The type that a function of decimals gives; nothing for other numbers.
fn decimal(arguments: &[TrinoType], of: fn(u8, u8) -> (u8, u8)) -> Option<TrinoType> {
    match arguments.first() {
        Some(TrinoType::Decimal(precision, scale)) => {
            let (precision, scale) = of(*precision, *scale);
            Some(TrinoType::Decimal(precision, scale))
        }
        _ => None,
    }
}

/// Without a fraction, and with the digit that rounding up may add.
fn whole_type(precision: u8, scale: u8) -> (u8, u8) {
    ((precision - scale + scale.min(1)).min(38), 0)
}

fn round_type(arguments: &[TrinoType]) -> Option<TrinoType> {
    match arguments.len() {
        1 => decimal(arguments, whole_type),
        _ => decimal(arguments, |precision, scale| ((precision + 1).min(38), scale)),
    }
}

fn truncate_type(arguments: &[TrinoType]) -> Option<TrinoType> {
    match arguments.len() {
        1 => decimal(arguments, |precision, scale| ((precision - scale).max(1), 0)),
        _ => decimal(arguments, |precision, scale| (precision, scale)),
    }
}

fn modulus_type(arguments: &[TrinoType]) -> Option<TrinoType> {
    match arguments {
        [TrinoType::Decimal(p1, s1), TrinoType::Decimal(p2, s2)] => {
            let scale = *s1.max(s2);
            Some(TrinoType::Decimal(((p1 - s1).min(p2 - s2) + scale).clamp(1, 38), scale))
        }
        _ => None,
    }
}

/// Unscaled decimals of one scale.
struct Decimals {
    values: Numbers<Decimal128Type>,
    scale: u32,
}

impl Decimals {
    fn new(call: &Call<'_>, index: usize) -> Result<Self> {
        let (array, constant) = call.array(index)?;
        let scale = match array.data_type() {
            DataType::Decimal128(_, scale) => u32::try_from(*scale).unwrap_or(0),
            other => return datafusion::common::internal_err!("{other} is no decimal"),
        };
        let values = Numbers::of(array.as_primitive::<Decimal128Type>().clone(), constant);
        Ok(Self { values, scale })
    }
}

/// Decimals of the result's type, checked for their number of digits.
fn make_decimals(
    call: &Call<'_>,
    mut row: impl FnMut(usize) -> Option<Evaluated<i128>>,
) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *call.result_type() else {
        return datafusion::common::internal_err!("{} is no decimal", call.result_type());
    };
    let limit = 10_i128.pow(u32::from(precision));
    let values: PrimitiveArray<Decimal128Type> = (0..call.rows)
        .map(|index| {
            let value = row(index).transpose().map_err(raise)?;
            match value {
                Some(value) if value.abs() >= limit => {
                    Err(raise(out_of_range(format!("decimal overflow: {value}"))))
                }
                value => Ok(value),
            }
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
}

fn map<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    of: impl Fn(T::Native) -> Evaluated<T::Native>,
) -> Result<ArrayRef> {
    let numbers = call.numbers::<T>(0)?;
    call.make_numbers::<T>(|row| Some(of(numbers.get(row)?)))
}

fn abs(call: &Call<'_>) -> Result<ArrayRef> {
    fn checked<T: std::fmt::Display>(value: T, abs: Option<T>, name: &str) -> Evaluated<T> {
        let message = || format!("Value {value} is out of range for abs({name})");
        abs.ok_or_else(|| out_of_range(message()))
    }
    match call.result_type() {
        DataType::Int8 => map::<Int8Type>(call, |x| checked(x, x.checked_abs(), "tinyint")),
        DataType::Int16 => map::<Int16Type>(call, |x| checked(x, x.checked_abs(), "smallint")),
        DataType::Int32 => map::<Int32Type>(call, |x| checked(x, x.checked_abs(), "integer")),
        DataType::Int64 => map::<Int64Type>(call, |x| checked(x, x.checked_abs(), "bigint")),
        DataType::Float32 => map::<Float32Type>(call, |x| Ok(x.abs())),
        DataType::Float64 => map::<Float64Type>(call, |x| Ok(x.abs())),
        _ => {
            let numbers = Decimals::new(call, 0)?;
            make_decimals(call, |row| Some(Ok(numbers.values.get(row)?.abs())))
        }
    }
}

fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    match call.result_type() {
        DataType::Int8 => map::<Int8Type>(call, |x| Ok(x.signum())),
        DataType::Int16 => map::<Int16Type>(call, |x| Ok(x.signum())),
        DataType::Int32 => map::<Int32Type>(call, |x| Ok(x.signum())),
        DataType::Int64 => map::<Int64Type>(call, |x| Ok(x.signum())),
        // Rust's sign of zero is one.
        DataType::Float32 => {
            map::<Float32Type>(call, |x| Ok(if x == 0.0 { x } else { x.signum() }))
        }
        DataType::Float64 => {
            map::<Float64Type>(call, |x| Ok(if x == 0.0 { x } else { x.signum() }))
        }
        _ => {
            let numbers = Decimals::new(call, 0)?;
            make_decimals(call, |row| Some(Ok(numbers.values.get(row)?.signum())))
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

fn whole(call: &Call<'_>, way: Way) -> Result<ArrayRef> {
    let of = move |x: f64| match way {
        Way::Up => x.ceil(),
        Way::Down => x.floor(),
    };
    match call.result_type() {
        DataType::Float32 => map::<Float32Type>(call, |x| Ok(of(f64::from(x)) as f32)),
        DataType::Float64 => map::<Float64Type>(call, |x| Ok(of(x))),
        DataType::Decimal128(..) => {
            let numbers = Decimals::new(call, 0)?;
            let factor = 10_i128.pow(numbers.scale);
            make_decimals(call, |row| {
                let value = numbers.values.get(row)?;
                let floor = value.div_euclid(factor);
                let exact = value.rem_euclid(factor) == 0;
                Some(Ok(match way {
                    Way::Up if !exact => floor + 1,
                    _ => floor,
                }))
            })
        }
        // Integers are whole.
        _ => unchanged(call),
    }
}

/// The argument itself, a value for each row.
fn unchanged(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(call.array(0)?.0)
}

/// Half away from zero.
fn rounded(value: i128, factor: i128) -> i128 {
    let (quotient, rest) = (value / factor, value % factor);
    // `2 * rest` could overflow.
    let away = rest.abs() >= factor - rest.abs();
    if away && factor > 1 { quotient + value.signum() } else { quotient }
}

fn round(call: &Call<'_>) -> Result<ArrayRef> {
    let decimals = call.optional_integers(1)?;
    let places = |row| match &decimals {
        Some(decimals) => decimals.get(row),
        None => Some(0),
    };
    match call.result_type() {
        DataType::Float32 => {
            let numbers = call.numbers::<Float32Type>(0)?;
            call.make_numbers::<Float32Type>(|row| {
                Some(Ok(round_double(f64::from(numbers.get(row)?), places(row)?) as f32))
            })
        }
        DataType::Float64 => {
            let numbers = call.doubles(0)?;
            call.make_doubles(|row| Some(Ok(round_double(numbers.get(row)?, places(row)?))))
        }
        DataType::Decimal128(_, scale) => {
            let scale = i64::from(*scale);
            let numbers = Decimals::new(call, 0)?;
            make_decimals(call, |row| {
                let (value, places) = (numbers.values.get(row)?, places(row)?);
                Some(rescaled(value, i64::from(numbers.scale), places, scale, rounded))
            })
        }
        DataType::Int8 => round_integers::<Int8Type>(call, &places, "tinyint"),
        DataType::Int16 => round_integers::<Int16Type>(call, &places, "smallint"),
        DataType::Int32 => round_integers::<Int32Type>(call, &places, "integer"),
        _ => round_integers::<Int64Type>(call, &places, "bigint"),
    }
}

/// A decimal cut to a number of places by `cut`, in the scale of the result.
fn rescaled(
    value: i128,
    scale: i64,
    places: i64,
    result_scale: i64,
    cut: fn(i128, i128) -> i128,
) -> Evaluated<i128> {
    let cut_value = if places >= scale {
        value
    } else if scale.saturating_sub(places) > 38 {
        // More places go than any decimal has: nothing stays.
        return Ok(0);
    } else {
        let factor = 10_i128.pow((scale - places) as u32);
        cut(value, factor)
            .checked_mul(factor)
            .ok_or_else(|| out_of_range(format!("decimal overflow: {value}")))?
    };
    // All digits behind the result's scale are zero here.
    Ok(cut_value / 10_i128.pow((scale - result_scale).max(0) as u32))
}

fn round_integers<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    places: &dyn Fn(usize) -> Option<i64>,
    name: &str,
) -> Result<ArrayRef>
where
    T::Native: TryFrom<i64>,
{
    let numbers = call.integers(0)?;
    call.make_numbers::<T>(|row| {
        let (number, places) = (numbers.get(row)?, places(row)?);
        let value = i128::from(number);
        let whole = match places {
            0.. => value,
            -18..0 => {
                let factor = 10_i128.pow(places.unsigned_abs() as u32);
                rounded(value, factor) * factor
            }
            _ => return Some(Err(out_of_range(format!("numerical overflow: {number}")))),
        };
        let whole = i64::try_from(whole).ok().and_then(|whole| T::Native::try_from(whole).ok());
        Some(whole.ok_or_else(|| out_of_range(format!("Out of range for {name}: {number}"))))
    })
}

/// Half away from zero, by the arithmetic of doubles.
fn round_double(value: f64, places: i64) -> f64 {
    if !value.is_finite() {
        return value;
    }
    let factor = 10_f64.powf(places as f64);
    let scaled = value.abs() * factor;
    // Beyond this a double has no digits at these places.
    if scaled >= i64::MAX as f64 {
        return value;
    }
    let floor = scaled.floor();
    let nearest = if scaled - floor >= 0.5 { floor + 1.0 } else { floor };
    if value < 0.0 { -(nearest / factor) } else { nearest / factor }
}

fn truncate(call: &Call<'_>) -> Result<ArrayRef> {
    match call.result_type() {
        DataType::Float32 => map::<Float32Type>(call, |x| Ok(x.trunc())),
        DataType::Float64 => map::<Float64Type>(call, |x| Ok(x.trunc())),
        DataType::Decimal128(_, scale) => {
            let scale = i64::from(*scale);
            let numbers = Decimals::new(call, 0)?;
            let places = call.optional_integers(1)?;
            make_decimals(call, |row| {
                let places = match &places {
                    Some(places) => places.get(row)?,
                    None => 0,
                };
                let value = numbers.values.get(row)?;
                Some(rescaled(value, i64::from(numbers.scale), places, scale, |value, factor| {
                    value / factor
                }))
            })
        }
        other => datafusion::common::internal_err!("truncate gives no {other}"),
    }
}

fn modulus(call: &Call<'_>) -> Result<ArrayRef> {
    match call.result_type() {
        DataType::Float32 => {
            let (left, right) = (call.numbers::<Float32Type>(0)?, call.numbers::<Float32Type>(1)?);
            call.make_numbers::<Float32Type>(|row| Some(Ok(left.get(row)? % right.get(row)?)))
        }
        DataType::Float64 => {
            let (left, right) = (call.doubles(0)?, call.doubles(1)?);
            call.make_doubles(|row| Some(Ok(left.get(row)? % right.get(row)?)))
        }
        DataType::Decimal128(..) => decimal_modulus(call),
        _ => {
            let (left, right) = (call.integers(0)?, call.integers(1)?);
            call.make_integers(|row| {
                let (left, right) = (left.get(row)?, right.get(row)?);
                Some(if right == 0 {
                    Err(division_by_zero())
                } else {
                    Ok(left.wrapping_rem(right))
                })
            })
        }
    }
}

fn division_by_zero() -> Failure {
    Failure::new(ErrorCode::DIVISION_BY_ZERO, "Division by zero")
}

fn decimal_modulus(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (Decimals::new(call, 0)?, Decimals::new(call, 1)?);
    let scale = left.scale.max(right.scale);
    let widen = |value: i128, from: u32| {
        value
            .checked_mul(10_i128.pow(scale - from))
            .ok_or_else(|| out_of_range(format!("decimal overflow: {value}")))
    };
    make_decimals(call, |row| {
        let (dividend, divisor) = (left.values.get(row)?, right.values.get(row)?);
        if divisor == 0 {
            return Some(Err(division_by_zero()));
        }
        let dividend = widen(dividend, left.scale);
        let divisor = widen(divisor, right.scale);
        Some(dividend.and_then(|dividend| Ok(dividend % divisor?)))
    })
}
