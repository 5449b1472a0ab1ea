//! Text as values in time.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use waterbear_protocol::{ErrorCode, Failure};

use super::value::{DAY_MILLIS, Kind, out_of_range, rescaled};
use super::zone::Zone;

/// A timestamp as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What it says of the clock, without its fraction.
    pub local: NaiveDateTime,
    /// The digits of the fraction.
    pub fraction: String,
    /// The zone, if it names one.
    pub zone: Option<Zone>,
}

/// Reads from the front of a text.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, prefix: char) -> Option<()> {
        self.0 = self.0.strip_prefix(prefix)?;
        Some(())
    }

    /// Between `least` and `most` digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<&'a str> {
        let end = self.0.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        if !(least..=most).contains(&digits.len()) {
            return None;
        }
        self.0 = rest;
        Some(digits)
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        self.digits(least, most)?.parse().ok()
    }

    /// `[+-]year-month-day`.
    fn date(&mut self) -> Option<NaiveDate> {
        let negative = self.0.starts_with('-');
        if negative || self.0.starts_with('+') {
            self.0 = &self.0[1..];
        }
        let year = i32::try_from(self.number(4, 6)?).ok()?;
        self.take('-')?;
        let month = self.number(1, 2)?;
        self.take('-')?;
        let day = self.number(1, 2)?;
        NaiveDate::from_ymd_opt(if negative { -year } else { year }, month, day)
    }

    /// `hour:minute[:second[.fraction]]`.
    fn time(&mut self) -> Option<(NaiveTime, &'a str)> {
        let hour = self.number(1, 2)?;
        self.take(':')?;
        let minute = self.number(1, 2)?;
        let (mut second, mut fraction) = (0, "");
        if self.take(':').is_some() {
            second = self.number(1, 2)?;
            if self.take('.').is_some() {
                fraction = self.digits(1, usize::MAX)?;
            }
        }
        Some((NaiveTime::from_hms_opt(hour, minute, second)?, fraction))
    }
}

/// Days since 1970 of `2001-08-22`.
pub fn date(text: &str) -> Option<i64> {
    let mut cursor = Cursor(text);
    let date = cursor.date()?;
    cursor.0.is_empty().then(|| super::value::days(date))
}

/// `01:02:03.456`: the time and the digits of its fraction.
pub fn time(text: &str) -> Option<(NaiveTime, String)> {
    let mut cursor = Cursor(text);
    let (time, fraction) = cursor.time()?;
    cursor.0.is_empty().then(|| (time, fraction.to_owned()))
}

/// A time of day with an offset behind it.
pub fn is_time_with_zone(text: &str) -> bool {
    let mut cursor = Cursor(text);
    cursor.time().is_some() && cursor.0.trim_start().starts_with(['+', '-'])
}

/// `2001-08-22 03:04:05.321 Europe/Brussels`, without its zone, its time, or its seconds.
/// The zone must be known.
pub fn timestamp(text: &str) -> Option<Written> {
    let mut cursor = Cursor(text);
    let date = cursor.date()?;
    let (mut time, mut fraction, mut zone) = (NaiveTime::MIN, "", "");
    if !cursor.0.is_empty() {
        cursor.take(' ')?;
        let begin = cursor.0;
        match cursor.time() {
            Some(found) => (time, fraction) = found,
            None => cursor.0 = begin,
        }
        zone = cursor.0.trim();
    }
    let zone = if zone.is_empty() { None } else { Some(Zone::parse(zone).ok()?) };
    Some(Written { local: date.and_time(time), fraction: fraction.to_owned(), zone })
}

/// The digits of a fraction as ticks of `10^-precision` seconds, rounded half up: up to one second.
fn fraction_ticks(fraction: &str, precision: u8) -> i64 {
    let kept: String = fraction.chars().chain("0000000000".chars()).take(10).collect();
    // Ten digits are enough: no more than nine are kept.
    kept.parse().ok().and_then(|ticks| rescaled(ticks, 10, precision)).unwrap_or(0)
}

/// The ticks of a time of day; what is rounded up to midnight is midnight.
///
/// # Errors
/// None for precisions up to 9.
pub fn time_ticks(time: NaiveTime, fraction: &str, precision: u8) -> Result<i64, Failure> {
    let kind = Kind::Time(precision);
    let day = 86_400 * super::value::per_second(precision);
    let whole = kind.ticks(&NaiveDate::default().and_time(time))?;
    Ok((whole + fraction_ticks(fraction, precision)) % day)
}

/// The ticks of a written timestamp in a type with or without a zone: one that has a zone of its
/// own as its instant.
///
/// # Errors
/// NUMERIC_VALUE_OUT_OF_RANGE.
pub fn timestamp_ticks(written: &Written, kind: &Kind) -> Result<i64, Failure> {
    let kind = match (kind, &written.zone) {
        (Kind::Zoned(precision, _), Some(zone)) => Kind::Zoned(*precision, zone.clone()),
        _ => kind.clone(),
    };
    let whole = kind.ticks(&written.local)?;
    let fraction = fraction_ticks(&written.fraction, kind.precision());
    whole.checked_add(fraction).ok_or_else(|| out_of_range(&kind))
}

/// A field of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntervalField {
    /// Years.
    Year,
    /// Months.
    Month,
    /// Days.
    Day,
    /// Hours.
    Hour,
    /// Minutes.
    Minute,
    /// Seconds.
    Second,
}

impl IntervalField {
    /// The field of a word of SQL.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "YEAR" => Self::Year,
            "MONTH" => Self::Month,
            "DAY" => Self::Day,
            "HOUR" => Self::Hour,
            "MINUTE" => Self::Minute,
            "SECOND" => Self::Second,
            _ => return None,
        })
    }

    /// It makes an interval year to month.
    pub fn is_month(self) -> bool {
        self <= Self::Month
    }

    fn weight(self) -> i64 {
        match self {
            Self::Year => 12,
            Self::Month => 1,
            Self::Day => DAY_MILLIS,
            Self::Hour => 3_600_000,
            Self::Minute => 60_000,
            Self::Second => 1_000,
        }
    }
}

/// Months or milliseconds of the text of an INTERVAL literal, from one field to another.
///
/// # Errors
/// INVALID_LITERAL.
pub fn interval(text: &str, from: IntervalField, to: IntervalField) -> Result<i64, Failure> {
    let failure = || {
        let message = format!("'{text}' is not a valid INTERVAL literal");
        Failure::new(ErrorCode::INVALID_LITERAL, message)
    };
    if from > to || from.is_month() != to.is_month() {
        return Err(failure());
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let fields = [
        IntervalField::Year,
        IntervalField::Month,
        IntervalField::Day,
        IntervalField::Hour,
        IntervalField::Minute,
        IntervalField::Second,
    ];
    let mut cursor = Cursor(rest);
    let mut total: i64 = 0;
    for field in fields.into_iter().filter(|field| (from..=to).contains(field)) {
        let separator = match field {
            _ if field == from => None,
            IntervalField::Month => Some('-'),
            IntervalField::Hour => Some(' '),
            _ => Some(':'),
        };
        if let Some(separator) = separator {
            // What follows may be left out.
            if cursor.0.is_empty() {
                break;
            }
            cursor.take(separator).ok_or_else(failure)?;
        }
        let digits = cursor.digits(1, 18).ok_or_else(failure)?;
        let value: i64 = digits.parse().map_err(|_| failure())?;
        let part = value.checked_mul(field.weight()).ok_or_else(failure)?;
        total = total.checked_add(part).ok_or_else(failure)?;
        if field == IntervalField::Second && cursor.take('.').is_some() {
            let fraction = cursor.digits(1, 3).ok_or_else(failure)?;
            total = total.checked_add(fraction_ticks(fraction, 3)).ok_or_else(failure)?;
        }
    }
    if !cursor.0.is_empty() || from.is_month() && i32::try_from(total).is_err() {
        return Err(failure());
    }
    Ok(total * sign)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_as_they_may_be_written() {
        for (text, days) in [
            ("1970-01-02", Some(1)),
            ("2001-08-22", Some(11_556)),
            ("2001-8-2", Some(11_536)),
            ("+10000-01-01", Some(2_932_897)),
            ("-0001-12-31", Some(-719_529)),
            ("2001-02-29", None),
            ("2001-02-28 ", None),
            ("01-02-28", None),
            ("2001/02/28", None),
        ] {
            assert_eq!(date(text), days, "{text}");
        }
        let (read, fraction) = time("01:02:03.4567").unwrap();
        assert_eq!(time_ticks(read, &fraction, 3).unwrap(), 3_723_457);
        assert_eq!(time_ticks(read, &fraction, 9).unwrap(), 3_723_456_700_000);
        assert_eq!(time("23:59:59.9996").map(|(t, f)| time_ticks(t, &f, 3).unwrap()), Some(0));
        assert!(time("24:00:00").is_none());
        assert!(time("01:02:03+01:00").is_none());
        assert!(is_time_with_zone("01:02:03 +01:00"));
    }

    #[test]
    fn timestamps_keep_their_zone() {
        let read = |text: &str| {
            let written = timestamp(text)?;
            let kind = match &written.zone {
                None => Kind::Timestamp(3),
                Some(zone) => Kind::Zoned(3, zone.clone()),
            };
            Some(timestamp_ticks(&written, &kind).unwrap())
        };
        for (text, ticks) in [
            ("2001-08-22 03:04:05.321", Some(998_449_445_321)),
            ("2001-08-22", Some(998_438_400_000)),
            ("2001-08-22 03:04", Some(998_449_440_000)),
            ("2001-08-22 03:04:05.321 UTC", Some(998_449_445_321)),
            ("2001-08-22 03:04:05.321 +02:00", Some(998_442_245_321)),
            ("2001-08-22 03:04:05.321+02:00", Some(998_442_245_321)),
            ("2001-08-22 03:04:05.321 Europe/Brussels", Some(998_442_245_321)),
            ("2001-08-22 03:04:05.321 Mars", None),
            ("2001-08-22T03:04:05", None),
            ("2001-08-22 25:00:00", None),
            ("abc", None),
        ] {
            assert_eq!(read(text), ticks, "{text}");
        }
    }

    #[test]
    fn intervals_are_read_in_all_their_forms() {
        use IntervalField::*;
        for (text, from, to, value) in [
            ("2 01:02:03.4", Day, Second, Some(176_523_400)),
            ("2 01:02", Day, Second, Some(176_520_000)),
            ("-2 01:02:03.400", Day, Second, Some(-176_523_400)),
            ("90", Day, Day, Some(7_776_000_000)),
            ("1:30", Hour, Minute, Some(5_400_000)),
            ("1.5", Second, Second, Some(1_500)),
            ("36", Hour, Hour, Some(129_600_000)),
            ("1-2", Year, Month, Some(14)),
            ("-1-2", Year, Month, Some(-14)),
            ("3", Year, Year, Some(36)),
            ("124-30", Year, Month, Some(1_518)),
            ("1-2", Day, Second, None),
            ("1.5", Day, Day, None),
            ("x", Day, Day, None),
            ("", Day, Day, None),
            ("1", Month, Day, None),
            ("999999999", Year, Year, None),
        ] {
            assert_eq!(interval(text, from, to).ok(), value, "{text} {from:?} {to:?}");
        }
    }
}
