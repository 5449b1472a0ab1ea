//! Values in time as text, as Trino writes them.

use std::fmt::Write as _;

use waterbear_protocol::Failure;

use super::value::Kind;

/// The text of a value: what a cast to varchar gives.
///
/// # Errors
/// NUMERIC_VALUE_OUT_OF_RANGE out of the calendar's range.
pub(super) fn print(kind: &Kind, ticks: i64) -> Result<String, Failure> {
    let mut out = String::with_capacity(32);
    match kind {
        Kind::Date => push_date(&mut out, ticks),
        Kind::Time(digits) => push_time(&mut out, u64::try_from(ticks).unwrap_or(0), *digits),
        Kind::Timestamp(digits) => push_timestamp(&mut out, i128::from(ticks), *digits),
        Kind::Zoned(digits, zone) => {
            let offset = i128::from(zone.offset_at(&kind.instant(ticks)?));
            let second = 10i128.pow(u32::from(*digits));
            push_timestamp(&mut out, i128::from(ticks) + offset * second, *digits);
            out.push(' ');
            out.push_str(zone.name());
        }
        Kind::DaySecond => push_day_second(&mut out, i128::from(ticks)),
        Kind::YearMonth => push_year_month(&mut out, i32::try_from(ticks).unwrap_or(i32::MAX)),
    }
    Ok(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
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
}
