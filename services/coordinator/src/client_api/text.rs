//! Values as the client protocol writes them: floats as Java's, dates, times, intervals.

use std::fmt::Write as _;

/// Writes a finite float as `Double.toString` does: plain between 10⁻³ and 10⁷, else `1.0E10`.
/// `scientific` is the shortest text in the form `1.25e-7`.
fn push_java_float(out: &mut String, scientific: &str) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    out.push_str(sign);
    if first == "0" {
        out.push_str("0.0");
    } else if (0..7).contains(&exponent) {
        let whole = exponent.unsigned_abs() as usize;
        let (integer, fraction) = rest.split_at(whole.min(rest.len()));
        out.push_str(first);
        out.push_str(integer);
        out.extend(std::iter::repeat_n('0', whole - integer.len()));
        out.push('.');
        out.push_str(if fraction.is_empty() { "0" } else { fraction });
    } else if (-3..0).contains(&exponent) {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
        out.push_str(first);
        out.push_str(rest);
    } else {
        out.push_str(first);
        out.push('.');
        out.push_str(if rest.is_empty() { "0" } else { rest });
        let _ = write!(out, "E{exponent}");
    }
}

/// The text of a float that JSON has no number for.
fn not_finite(is_nan: bool, is_negative: bool) -> &'static str {
    match (is_nan, is_negative) {
        (true, _) => "NaN",
        (false, true) => "-Infinity",
        (false, false) => "Infinity",
    }
}

/// Writes a double. False when it is not a JSON number and needs quotes.
pub fn push_double(out: &mut String, scratch: &mut String, value: f64) -> bool {
    if value.is_finite() {
        scratch.clear();
        let _ = write!(scratch, "{value:e}");
        push_java_float(out, scratch);
    } else {
        out.push_str(not_finite(value.is_nan(), value < 0.0));
    }
    value.is_finite()
}

/// Writes a real. False when it is not a JSON number and needs quotes.
pub fn push_real(out: &mut String, scratch: &mut String, value: f32) -> bool {
    if value.is_finite() {
        scratch.clear();
        let _ = write!(scratch, "{value:e}");
        push_java_float(out, scratch);
    } else {
        out.push_str(not_finite(value.is_nan(), value < 0.0));
    }
    value.is_finite()
}

/// Writes the decimal whose digits without point are `digits` (with a sign), exactly `scale`
/// digits behind the point; a negative scale appends zeros.
pub fn push_decimal(out: &mut String, digits: &str, scale: i8) {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    out.push_str(sign);
    let Ok(scale) = usize::try_from(scale) else {
        out.push_str(digits);
        let zeros = if digits == "0" { 0 } else { usize::from(scale.unsigned_abs()) };
        out.extend(std::iter::repeat_n('0', zeros));
        return;
    };
    if scale == 0 {
        out.push_str(digits);
    } else if digits.len() > scale {
        let (integer, fraction) = digits.split_at(digits.len() - scale);
        out.push_str(integer);
        out.push('.');
        out.push_str(fraction);
    } else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', scale - digits.len()));
        out.push_str(digits);
    }
}

/// Writes a JSON string with its quotes.
pub fn push_json_string(out: &mut String, value: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&value[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&value[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn floats_are_written_as_java_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (100.0, "100.0"),
            (1234567.0, "1234567.0"),
            (9999999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (1e10, "1.0E10"),
            (12345678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.012, "0.012"),
            (0.0001, "1.0E-4"),
            (1.25e-7, "1.25E-7"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            let mut scratch = String::new();
            assert_eq!(text(|out| _ = push_double(out, &mut scratch, value)), expected);
        }
        let mut scratch = String::new();
        assert_eq!(text(|out| _ = push_real(out, &mut scratch, 0.1f32)), "0.1");
        assert_eq!(text(|out| _ = push_real(out, &mut scratch, 16777216f32)), "1.6777216E7");
    }

    #[test]
    fn decimals_have_exactly_their_scale() {
        let cases = [
            ("1030", 2, "10.30"),
            ("-5", 2, "-0.05"),
            ("0", 2, "0.00"),
            ("-123", 3, "-0.123"),
            ("123", 0, "123"),
            ("12", -2, "1200"),
            ("0", -2, "0"),
        ];
        for (digits, scale, expected) in cases {
            assert_eq!(text(|out| push_decimal(out, digits, scale)), expected);
        }
    }

    #[test]
    fn strings_are_escaped() {
        let written = text(|out| push_json_string(out, "a\"b\\c\n\u{1}é😀"));
        assert_eq!(written, "\"a\\\"b\\\\c\\n\\u0001é😀\"");
        assert_eq!(
            serde_json::from_str::<String>(&written).ok().as_deref(),
            Some("a\"b\\c\n\u{1}é😀")
        );
    }
}
