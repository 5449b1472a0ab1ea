//! Casts to booleans and numbers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
};
use arrow::datatypes::DataType;
use waterbear_protocol::{ErrorCode, Failure};

use super::source::Source;
use super::texts::{decimal_text, java_text, java_trim};
use super::{Rows, invalid, out_of_range};

fn unsupported(to: &str) -> Failure {
    Failure::new(ErrorCode::TYPE_MISMATCH, format!("Cannot cast a value in time to {to}"))
}

impl Rows<'_> {
    pub(super) fn to_boolean(&self) -> Result<ArrayRef, Failure> {
        let array: BooleanArray = match self.source {
            Source::Boolean(array) => array.clone(),
            Source::Integer(array, _) => self.map(array.iter(), |value| Ok(value != 0))?,
            Source::Real(array) => self.map(array.iter(), |value| Ok(value != 0.0))?,
            Source::Double(array) => self.map(array.iter(), |value| Ok(value != 0.0))?,
            Source::Decimal(array, ..) => self.map(array.iter(), |value| Ok(value != 0))?,
            Source::Text(array) => self.map(array.iter(), boolean)?,
            Source::Temporal(_) => return Err(unsupported("boolean")),
        };
        Ok(Arc::new(array))
    }

    pub(super) fn to_integer(&self, data_type: &DataType) -> Result<ArrayRef, Failure> {
        let to = IntegerType::of(data_type);
        let array: Int64Array = match self.source {
            Source::Boolean(array) => self.map(array.iter(), |value| Ok(i64::from(value)))?,
            Source::Integer(array, _) => self.map(array.iter(), |value| {
                let message = || out_of_range(format!("Out of range for {}: {value}", to.name));
                to.holds(value).ok_or_else(message)
            })?,
            Source::Real(array) => self.map(array.iter(), |value| to.of_real(value))?,
            Source::Double(array) => self.map(array.iter(), |value| to.of_double(value))?,
            Source::Decimal(array, _, scale) => self.map(array.iter(), |value| {
                let rounded = rescaled(value, *scale, 0);
                let fits = rounded.and_then(|rounded| i64::try_from(rounded).ok());
                fits.and_then(|value| to.holds(value)).ok_or_else(|| {
                    let (text, name) = (decimal_text(value, *scale), to.name.to_uppercase());
                    invalid(format!("Cannot cast '{text}' to {name}"))
                })
            })?,
            Source::Text(array) => self.map(array.iter(), |text| {
                let value = java_trim(text).parse().ok().and_then(|value| to.holds(value));
                value.ok_or_else(|| invalid(format!("Cannot cast '{text}' to {}", to.short)))
            })?,
            Source::Temporal(_) => return Err(unsupported(to.name)),
        };
        // All values are in range.
        arrow::compute::cast(&array, data_type)
            .map_err(|error| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string()))
    }

    pub(super) fn to_double(&self) -> Result<ArrayRef, Failure> {
        let array: Float64Array = match self.source {
            Source::Boolean(array) => {
                self.map(array.iter(), |value| Ok(f64::from(u8::from(value))))?
            }
            Source::Integer(array, _) => self.map(array.iter(), |value| Ok(value as f64))?,
            Source::Real(array) => self.map(array.iter(), |value| Ok(f64::from(value)))?,
            Source::Double(array) => array.clone(),
            Source::Decimal(array, _, scale) => self.map(array.iter(), |value| {
                let text = decimal_text(value, *scale);
                text.parse().map_err(|_| invalid(format!("Cannot cast '{text}' to DOUBLE")))
            })?,
            Source::Text(array) => self.map(array.iter(), |text| {
                let value = java_float(text).and_then(|text| text.parse().ok());
                value.ok_or_else(|| invalid(format!("Cannot cast '{text}' to DOUBLE")))
            })?,
            Source::Temporal(_) => return Err(unsupported("double")),
        };
        Ok(Arc::new(array))
    }

    pub(super) fn to_real(&self) -> Result<ArrayRef, Failure> {
        let array: Float32Array = match self.source {
            Source::Boolean(array) => {
                self.map(array.iter(), |value| Ok(f32::from(u8::from(value))))?
            }
            Source::Integer(array, _) => self.map(array.iter(), |value| Ok(value as f32))?,
            Source::Real(array) => array.clone(),
            Source::Double(array) => self.map(array.iter(), |value| Ok(value as f32))?,
            Source::Decimal(array, _, scale) => self.map(array.iter(), |value| {
                let text = decimal_text(value, *scale);
                text.parse().map_err(|_| invalid(format!("Cannot cast '{text}' to REAL")))
            })?,
            Source::Text(array) => self.map(array.iter(), |text| {
                let value = java_float(text).and_then(|text| text.parse().ok());
                value.ok_or_else(|| invalid(format!("Cannot cast '{text}' to REAL")))
            })?,
            Source::Temporal(_) => return Err(unsupported("real")),
        };
        Ok(Arc::new(array))
    }

    pub(super) fn to_decimal(&self, precision: u8, scale: u8) -> Result<ArrayRef, Failure> {
        let to = format!("DECIMAL({precision}, {scale})");
        let bounded = |value: Option<i128>| {
            let limit = 10_i128.pow(u32::from(precision));
            value.filter(|value| -limit < *value && *value < limit)
        };
        let exact = |value: i128| bounded(rescaled(value, 0, scale));
        let approximate = |text: &str| bounded(Written::parse(text)?.scaled(scale));
        let array: Decimal128Array = match self.source {
            Source::Boolean(array) => self.map(array.iter(), |value| {
                let failure = || invalid(format!("Cannot cast BOOLEAN '{value}' to {to}"));
                exact(i128::from(value)).ok_or_else(failure)
            })?,
            Source::Integer(array, name) => self.map(array.iter(), |value| {
                let failure = || invalid(format!("Cannot cast {name} '{value}' to {to}"));
                exact(i128::from(value)).ok_or_else(failure)
            })?,
            Source::Real(array) => self.map(array.iter(), |value| {
                let failure = || {
                    invalid(format!(
                        "Cannot cast REAL '{}' to {to}",
                        java_text(&value.to_string(), &format!("{value:e}"))
                    ))
                };
                approximate(&format!("{value:e}")).ok_or_else(failure)
            })?,
            Source::Double(array) => self.map(array.iter(), |value| {
                let failure = || {
                    invalid(format!(
                        "Cannot cast DOUBLE '{}' to {to}",
                        java_text(&value.to_string(), &format!("{value:e}"))
                    ))
                };
                approximate(&format!("{value:e}")).ok_or_else(failure)
            })?,
            Source::Decimal(array, p, s) => self.map(array.iter(), |value| {
                bounded(rescaled(value, *s, scale)).ok_or_else(|| {
                    let text = decimal_text(value, *s);
                    invalid(format!("Cannot cast DECIMAL({p}, {s}) '{text}' to {to}"))
                })
            })?,
            Source::Text(array) => self.map(array.iter(), |text| {
                let failure =
                    |why| invalid(format!("Cannot cast VARCHAR '{text}' to {to}. Value {why}."));
                let written = Written::parse(text).ok_or_else(|| failure("is not a number"))?;
                bounded(written.scaled(scale)).ok_or_else(|| failure("too large"))
            })?,
            Source::Temporal(_) => return Err(unsupported("decimal")),
        };
        let array = array
            .with_precision_and_scale(precision, i8::try_from(scale).unwrap_or(i8::MAX))
            .map_err(|error| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string()))?;
        Ok(Arc::new(array))
    }
}

fn boolean(text: &str) -> Result<bool, Failure> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ if is("t") || is("true") => Ok(true),
        _ if is("f") || is("false") => Ok(false),
        _ => Err(invalid(format!("Cannot cast '{text}' to BOOLEAN"))),
    }
}

/// The text of a float as Rust reads it; Java allows a letter at the end and knows only one way to
/// write what is no number.
fn java_float(text: &str) -> Option<&str> {
    let text = java_trim(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return Some(text);
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let numeric = |c: char| c.is_ascii_digit() || ".eE+-".contains(c);
    (digits.chars().all(numeric)).then_some(digits)
}

/// An unscaled value at another scale, rounded half up; `None` beyond 128 bits.
fn rescaled(value: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(10_i128.checked_pow(u32::from(to - from))?);
    }
    let divisor = 10_i128.checked_pow(u32::from(from - to))?;
    let (quotient, rest) = (value / divisor, value % divisor);
    let away = if value < 0 { -1 } else { 1 };
    Some(if rest.unsigned_abs() * 2 >= divisor.unsigned_abs() { quotient + away } else { quotient })
}

/// A decimal number as it is written: digits and where the point stands.
struct Written {
    negative: bool,
    digits: String,
    /// Digits behind the point; negative where zeros follow the digits.
    scale: i64,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
        Some(Self { negative, digits: digits.trim_start_matches('0').to_owned(), scale })
    }

    /// The unscaled value at a scale, rounded half up; `None` beyond 128 bits.
    fn scaled(&self, scale: u8) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let missing = i64::from(scale) - self.scale;
        let unsigned: i128 = if missing >= 0 {
            let value: i128 = self.digits.parse().ok()?;
            value.checked_mul(10_i128.checked_pow(u32::try_from(missing).ok()?)?)?
        } else {
            let kept = i64::try_from(self.digits.len()).ok()? + missing;
            let Ok(kept) = usize::try_from(kept) else { return Some(0) };
            let (head, tail) = self.digits.split_at(kept);
            let value: i128 = if head.is_empty() { 0 } else { head.parse().ok()? };
            value + i128::from(tail.as_bytes().first().is_some_and(|digit| *digit >= b'5'))
        };
        Some(if self.negative { -unsigned } else { unsigned })
    }
}

/// An integer type: its name, its name in errors of texts, and what it holds.
struct IntegerType {
    name: &'static str,
    short: &'static str,
    smallest: i64,
    largest: i64,
}

impl IntegerType {
    fn of(data_type: &DataType) -> Self {
        let (name, short, smallest, largest) = match data_type {
            DataType::Int8 => ("tinyint", "TINYINT", i64::from(i8::MIN), i64::from(i8::MAX)),
            DataType::Int16 => ("smallint", "SMALLINT", i64::from(i16::MIN), i64::from(i16::MAX)),
            DataType::Int32 => ("integer", "INT", i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => ("bigint", "BIGINT", i64::MIN, i64::MAX),
        };
        Self { name, short, smallest, largest }
    }

    fn holds(&self, value: i64) -> Option<i64> {
        (self.smallest..=self.largest).contains(&value).then_some(value)
    }

    fn of_double(&self, value: f64) -> Result<i64, Failure> {
        let written = || java_text(&value.to_string(), &format!("{value:e}"));
        if value.is_nan() && self.name != "bigint" {
            return Err(invalid(format!("Cannot cast double NaN to {}", self.name)));
        }
        let rounded = value.round();
        // The largest bigint is no double; the next number is.
        let fits = rounded >= i64::MIN as f64 && rounded < -(i64::MIN as f64);
        match (fits.then_some(rounded as i64)).and_then(|value| self.holds(value)) {
            Some(value) => Ok(value),
            None if self.name == "bigint" => {
                Err(invalid(format!("Unable to cast {} to bigint", written())))
            }
            None => Err(out_of_range(format!("Out of range for {}: {}", self.name, written()))),
        }
    }

    fn of_real(&self, value: f32) -> Result<i64, Failure> {
        if value.is_nan() {
            return Err(invalid(format!("Cannot cast real NaN to {}", self.name)));
        }
        // As in Java, what is too large for a bigint becomes the largest.
        self.holds(f64::from(value).round() as i64).ok_or_else(|| {
            let written = java_text(&value.to_string(), &format!("{value:e}"));
            out_of_range(format!("Out of range for {}: {written}", self.name))
        })
    }
}
