//! Bits, and numbers in other bases.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Call, Evaluated, function, invalid};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("bit_count", bit_count),
        function("bitwise_and", |call| map_two(call, |a, b| a & b)),
        function("bitwise_left_shift", |call| shift(call, |value, by, _| value << by)),
        function("bitwise_not", |call| {
            let numbers = call.integers(0)?;
            call.make_integers(|row| Some(Ok(!numbers.get(row)?)))
        }),
        function("bitwise_or", |call| map_two(call, |a, b| a | b)),
        function("bitwise_right_shift", |call| {
            shift(call, |value, by, width| (value & ones(width)) >> by)
        }),
        function("bitwise_right_shift_arithmetic", |call| shift(call, |value, by, _| value >> by)),
        function("bitwise_xor", |call| map_two(call, |a, b| a ^ b)),
        function("from_base", from_base),
        function("to_base", to_base),
    ]
}

fn map_two(call: &Call<'_>, of: fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let (left, right) = (call.integers(0)?, call.integers(1)?);
    call.make_integers(|row| Some(Ok(of(left.get(row)?, right.get(row)?))))
}

/// As many ones as an integer type has bits.
fn ones(width: u32) -> i128 {
    (1_i128 << width) - 1
}

/// Shifts in 128 bits and keeps those that the type of the value has.
fn shift(call: &Call<'_>, of: fn(i128, u32, u32) -> i128) -> Result<ArrayRef> {
    let (values, shifts) = (call.integers(0)?, call.integers(1)?);
    let width = match call.result_type() {
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        _ => 64,
    };
    let shifted = |row: usize| -> Option<Evaluated<i128>> {
        let (value, by) = (i128::from(values.get(row)?), shifts.get(row)?);
        // Java would take some of the bits of a negative number; nobody can want that.
        let Ok(by) = u32::try_from(by) else {
            return Some(Err(invalid(format!("Shift must not be negative: {by}"))));
        };
        Some(Ok(of(value, by.min(width), width)))
    };
    let low = |row: usize| shifted(row).map(|shifted| shifted.map(|value| value & ones(width)));
    match width {
        8 => call.make_numbers::<Int8Type>(|row| Some(low(row)?.map(|value| value as i8))),
        16 => call.make_numbers::<Int16Type>(|row| Some(low(row)?.map(|value| value as i16))),
        32 => call.make_numbers::<Int32Type>(|row| Some(low(row)?.map(|value| value as i32))),
        _ => call.make_numbers::<Int64Type>(|row| Some(low(row)?.map(|value| value as i64))),
    }
}

fn bit_count(call: &Call<'_>) -> Result<ArrayRef> {
    let (numbers, widths) = (call.integers(0)?, call.integers(1)?);
    call.make_integers(|row| Some(count_bits(numbers.get(row)?, widths.get(row)?)))
}

fn count_bits(number: i64, bits: i64) -> Evaluated<i64> {
    if !(2..=64).contains(&bits) {
        let text = "Bits specified in bit_count must be between 2 and 64, got";
        return Err(invalid(format!("{text} {bits}")));
    }
    let most = (1_i128 << (bits - 1)) - 1;
    if !(-most - 1..=most).contains(&i128::from(number)) {
        let message = format!(
            "Number must be representable with the bits specified. \
             {number} cannot be represented with {bits} bits"
        );
        return Err(invalid(message));
    }
    Ok(i64::from((i128::from(number) & ones(bits as u32)).count_ones()))
}

fn radix(radix: i64) -> Evaluated<u32> {
    match u32::try_from(radix) {
        Ok(radix @ 2..=36) => Ok(radix),
        _ => Err(invalid("Radix must be between 2 and 36")),
    }
}

fn from_base(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, radixes) = (call.text(0)?, call.integers(1)?);
    call.make_integers(|row| {
        let (text, base) = (text.get(row)?, radixes.get(row)?);
        Some(radix(base).and_then(|base| {
            i64::from_str_radix(text, base)
                .map_err(|_| invalid(format!("Not a valid base-{base} number: {text}")))
        }))
    })
}

fn to_base(call: &Call<'_>) -> Result<ArrayRef> {
    let (numbers, radixes) = (call.integers(0)?, call.integers(1)?);
    call.make_texts(|row| {
        let (number, base) = (numbers.get(row)?, radixes.get(row)?);
        Some(radix(base).map(|base| in_base(number, base)))
    })
}

fn in_base(number: i64, base: u32) -> String {
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        digits.extend(char::from_digit((rest % u64::from(base)) as u32, base));
        rest /= u64::from(base);
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        digits.push('-');
    }
    digits.iter().rev().collect()
}
