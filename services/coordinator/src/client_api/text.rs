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

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar
/// (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Both are small and positive by the arithmetic above.
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

fn push_two(out: &mut String, value: u32) {
    out.push(char::from(b'0' + (value / 10 % 10) as u8));
    out.push(char::from(b'0' + (value % 10) as u8));
}

/// Writes a day counted from 1970-01-01: `2001-08-22`, `+10000-01-01`, `-0001-12-31`.
pub fn push_date(out: &mut String, days: i64) {
    let (year, month, day) = civil(days);
    if let Ok(year @ 0..=9999) = u32::try_from(year) {
        push_two(out, year / 100);
        push_two(out, year % 100);
    } else {
        let sign = if year < 0 { '-' } else { '+' };
        let _ = write!(out, "{sign}{:04}", year.unsigned_abs());
    }
    out.push('-');
    push_two(out, month);
    out.push('-');
    push_two(out, day);
}

/// Writes a fraction of a second: `value` in units of 10^-`digits`; nothing when `digits` is 0.
fn push_fraction(out: &mut String, value: u64, digits: u8) {
    if digits > 0 {
        let _ = write!(out, ".{value:0width$}", width = usize::from(digits));
    }
}

/// Writes a time of day: `ticks` since midnight in units of 10^-`digits` seconds.
pub fn push_time(out: &mut String, ticks: u64, digits: u8) {
    let unit = 10u64.pow(u32::from(digits));
    let seconds = u32::try_from(ticks / unit % 86_400).unwrap_or(0);
    push_two(out, seconds / 3600);
    out.push(':');
    push_two(out, seconds / 60 % 60);
    out.push(':');
    push_two(out, seconds % 60);
    push_fraction(out, ticks % unit, digits);
}

/// Writes a timestamp: `ticks` since 1970-01-01 00:00:00 in units of 10^-`digits` seconds.
pub fn push_timestamp(out: &mut String, ticks: i128, digits: u8) {
    let day = 86_400 * 10i128.pow(u32::from(digits));
    push_date(out, i64::try_from(ticks.div_euclid(day)).unwrap_or(0));
    out.push(' ');
    push_time(out, u64::try_from(ticks.rem_euclid(day)).unwrap_or(0), digits);
}

/// Rounds `ticks` of 10^-`from` seconds to ticks of 10^-`to` seconds, half up.
pub fn rescale(ticks: i128, from: u8, to: u8) -> i128 {
    if from <= to {
        ticks * 10i128.pow(u32::from(to - from))
    } else {
        let unit = 10i128.pow(u32::from(from - to));
        (ticks + unit / 2).div_euclid(unit)
    }
}

/// Writes an interval year to month: `1-2`, `-1-2`.
pub fn push_year_month(out: &mut String, months: i32) {
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    let _ = write!(out, "{sign}{}-{}", months / 12, months % 12);
}

/// Writes an interval day to second: `2 01:02:03.400`.
pub fn push_day_second(out: &mut String, millis: i128) {
    if millis < 0 {
        out.push('-');
    }
    let millis = millis.unsigned_abs();
    let _ = write!(out, "{} ", millis / 86_400_000);
    push_time(out, u64::try_from(millis % 86_400_000).unwrap_or(0), 3);
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
    fn dates_beyond_four_digits_carry_a_sign() {
        let cases = [
            (0, "1970-01-01"),
            (11_556, "2001-08-22"),
            (-1, "1969-12-31"),
            (-719_529, "-0001-12-31"),
            (-719_528, "0000-01-01"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
        ];
        for (days, expected) in cases {
            assert_eq!(text(|out| push_date(out, days)), expected);
        }
        assert_eq!(text(|out| push_date(out, i64::from(i32::MIN))), "-5877641-06-23");
    }

    #[test]
    fn timestamps_have_exactly_their_precision() {
        let cases = [
            (0, 0, "1970-01-01 00:00:00"),
            (998_449_445_321, 3, "2001-08-22 03:04:05.321"),
            (-1, 6, "1969-12-31 23:59:59.999999"),
            (1, 9, "1970-01-01 00:00:00.000000001"),
        ];
        for (ticks, digits, expected) in cases {
            assert_eq!(text(|out| push_timestamp(out, ticks, digits)), expected);
        }
        assert_eq!(rescale(1_499, 6, 3), 1);
        assert_eq!(rescale(1_500, 6, 3), 2);
        assert_eq!(rescale(7, 0, 3), 7_000);
    }

    #[test]
    fn intervals_carry_their_sign_in_front() {
        assert_eq!(text(|out| push_year_month(out, 14)), "1-2");
        assert_eq!(text(|out| push_year_month(out, -14)), "-1-2");
        assert_eq!(text(|out| push_day_second(out, 176_523_400)), "2 01:02:03.400");
        assert_eq!(text(|out| push_day_second(out, -1)), "-0 00:00:00.001");
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
