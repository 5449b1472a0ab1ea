//! Decimals: exact as long as 38 digits are enough, else an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::compute::kernels::arity;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, MAX_DECIMAL128_FOR_EACH_PRECISION, i256,
};
use arrow::error::ArrowError;
use datafusion::common::{Result, internal_err};
use waterbear_protocol::{ErrorCode, Failure};

use super::{Operation, division_by_zero, raise};
use crate::coercion::{decimal, decimal_digits};

type Digits = (u8, u8);

/// Precision, which may be more than there can be, and scale of a result.
const fn uncapped(operation: Operation, (p1, s1): Digits, (p2, s2): Digits) -> Digits {
    const fn larger(a: u8, b: u8) -> u8 {
        if a > b { a } else { b }
    }
    let scale = larger(s1, s2);
    match operation {
        Operation::Add | Operation::Subtract => (larger(p1 - s1, p2 - s2) + scale + 1, scale),
        Operation::Multiply => (p1 + p2, s1 + s2),
        Operation::Divide => (p1 + s2 + s2.saturating_sub(s1), scale),
        Operation::Modulus => {
            let whole = if p1 - s1 < p2 - s2 { p1 - s1 } else { p2 - s2 };
            (whole + scale, scale)
        }
    }
}

/// Precision and scale of what an operator makes of two decimals.
pub fn decimal_result(operation: Operation, left: Digits, right: Digits) -> Digits {
    let (precision, scale) = uncapped(operation, left, right);
    (precision.clamp(1, DECIMAL128_MAX_PRECISION), scale)
}

pub(super) fn result_type(operation: Operation, left: Digits, right: Digits) -> Result<DataType> {
    let (precision, scale) = decimal_result(operation, left, right);
    if scale > precision {
        let message =
            format!("DECIMAL scale must be in range [0, precision ({precision})]: {scale}");
        return Err(raise(Failure::new(ErrorCode::INVALID_FUNCTION_ARGUMENT, message)));
    }
    Ok(decimal(precision, scale))
}

/// Computes rows of decimals.
pub(super) fn compute(
    operation: Operation,
    left: &dyn Datum,
    right: &dyn Datum,
) -> Result<ArrayRef> {
    let (l, r) = (left.get().0.data_type(), right.get().0.data_type());
    let Some((l, r)) = decimal_digits(l).zip(decimal_digits(r)) else {
        return internal_err!("decimals of {l} and {r}");
    };
    let (precision, scale) = uncapped(operation, l, r);
    let rows = Rows { left, right };
    // What has no more than 38 digits cannot be too large: no check, no branch.
    let fits = precision <= DECIMAL128_MAX_PRECISION;
    let (a, b) = (ten_to(scale.saturating_sub(l.1)), ten_to(scale.saturating_sub(r.1)));
    let computed = match operation {
        Operation::Add if fits => {
            rows.each(|x, y| x.wrapping_mul(a).wrapping_add(y.wrapping_mul(b)))
        }
        Operation::Subtract if fits => {
            rows.each(|x, y| x.wrapping_mul(a).wrapping_sub(y.wrapping_mul(b)))
        }
        Operation::Multiply if fits => rows.each(i128::wrapping_mul),
        Operation::Add => rows.checked(|x, y| bounded(wide(x, a).wrapping_add(wide(y, b)))),
        Operation::Subtract => rows.checked(|x, y| bounded(wide(x, a).wrapping_sub(wide(y, b)))),
        Operation::Multiply => rows.checked(|x, y| bounded(wide(x, y))),
        Operation::Divide => divide(&rows, l, r, scale),
        Operation::Modulus => rows.checked(|x, y| {
            let divisor = wide(y, b);
            if divisor == i256::ZERO {
                return Err(external(division_by_zero()));
            }
            wide(x, a).checked_rem(divisor).map_or_else(|| Err(overflow()), bounded)
        }),
    }?;
    let DataType::Decimal128(precision, scale) = result_type(operation, l, r)? else {
        return internal_err!("a decimal of another kind");
    };
    Ok(Arc::new(computed.with_precision_and_scale(precision, scale)?))
}

/// Quotients are rounded half up, away from zero.
fn divide(
    rows: &Rows<'_>,
    (p1, s1): Digits,
    (_, s2): Digits,
    scale: u8,
) -> Result<Decimal128Array, ArrowError> {
    let more = scale + s2 - s1;
    if p1 + more <= DECIMAL128_MAX_PRECISION {
        let factor = ten_to(more);
        return rows.checked(|x, y| {
            if y == 0 {
                return Err(external(division_by_zero()));
            }
            let numerator = x.wrapping_mul(factor);
            let (quotient, rest) = (numerator / y, numerator % y);
            let up = rest.unsigned_abs() >= y.unsigned_abs() - rest.unsigned_abs();
            let away = if (numerator < 0) == (y < 0) { 1 } else { -1 };
            bounded(i256::from_i128(if up { quotient + away } else { quotient }))
        });
    }
    // At most 38 + 76 digits would not fit in 256 bits: those quotients are too large anyway,
    // unless the divisor is large too, so that the check below is exact for all that can be.
    let factor = i256::from_i128(10).checked_pow(u32::from(more));
    rows.checked(|x, y| {
        if y == 0 {
            return Err(external(division_by_zero()));
        }
        let numerator = factor
            .and_then(|factor| i256::from_i128(x).checked_mul(factor))
            .ok_or_else(overflow)?;
        let divisor = i256::from_i128(y);
        let parts = numerator.checked_div(divisor).zip(numerator.checked_rem(divisor));
        let (quotient, rest) = parts.ok_or_else(overflow)?;
        let rest = rest.wrapping_abs();
        let up = rest >= divisor.wrapping_abs().wrapping_sub(rest);
        let away = if numerator.is_negative() == divisor.is_negative() { 1 } else { -1 };
        let step = if up { i256::from_i128(away) } else { i256::ZERO };
        bounded(quotient.wrapping_add(step))
    })
}

fn ten_to(power: u8) -> i128 {
    10_i128.checked_pow(u32::from(power)).unwrap_or(i128::MAX)
}

fn wide(x: i128, y: i128) -> i256 {
    i256::from_i128(x).wrapping_mul(i256::from_i128(y))
}

/// A value of at most 38 digits.
fn bounded(value: i256) -> Result<i128, ArrowError> {
    let largest = MAX_DECIMAL128_FOR_EACH_PRECISION[DECIMAL128_MAX_PRECISION as usize];
    match value.to_i128() {
        Some(value) if (-largest..=largest).contains(&value) => Ok(value),
        _ => Err(overflow()),
    }
}

fn overflow() -> ArrowError {
    external(Failure::new(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, "Decimal overflow"))
}

fn external(failure: Failure) -> ArrowError {
    ArrowError::ExternalError(Box::new(failure))
}

/// Two columns of decimals, each perhaps of one value for all rows.
struct Rows<'a> {
    left: &'a dyn Datum,
    right: &'a dyn Datum,
}

impl Rows<'_> {
    fn each(&self, op: impl Fn(i128, i128) -> i128) -> Result<Decimal128Array, ArrowError> {
        let ((l, l_scalar), (r, r_scalar)) = (self.left.get(), self.right.get());
        let (l, r) = (l.as_primitive::<Decimal128Type>(), r.as_primitive::<Decimal128Type>());
        Ok(match (l_scalar, r_scalar) {
            (true, false) => match only(l) {
                None => Decimal128Array::new_null(r.len()),
                Some(l) => r.unary(|r| op(l, r)),
            },
            (false, true) => match only(r) {
                None => Decimal128Array::new_null(l.len()),
                Some(r) => l.unary(|l| op(l, r)),
            },
            _ => arity::binary(l, r, op)?,
        })
    }

    fn checked(
        &self,
        op: impl Fn(i128, i128) -> Result<i128, ArrowError>,
    ) -> Result<Decimal128Array, ArrowError> {
        let ((l, l_scalar), (r, r_scalar)) = (self.left.get(), self.right.get());
        let (l, r) = (l.as_primitive::<Decimal128Type>(), r.as_primitive::<Decimal128Type>());
        match (l_scalar, r_scalar) {
            (true, false) => match only(l) {
                None => Ok(Decimal128Array::new_null(r.len())),
                Some(l) => r.try_unary(|r| op(l, r)),
            },
            (false, true) => match only(r) {
                None => Ok(Decimal128Array::new_null(l.len())),
                Some(r) => l.try_unary(|l| op(l, r)),
            },
            _ => arity::try_binary(l, r, op),
        }
    }
}

fn only(array: &Decimal128Array) -> Option<i128> {
    array.is_valid(0).then(|| array.value(0))
}
