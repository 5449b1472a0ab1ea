//! Patterns of dates: what MySQL's and Joda's have in common.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};
use waterbear_protocol::Failure;

use super::udf::{bad_argument, unsupported};
use super::zone::Zone;

/// A field that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Year,
    WeekYear,
    Week,
    Month,
    Day,
    DayOfYear,
    DayOfWeek,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 0 to 11.
    HalfHour,
    /// 1 to 12.
    HalfClockHour,
    Minute,
    Second,
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// Text that stands for itself.
    Literal(String),
    /// A number of at least `width` digits; at most `most` are read.
    Number { field: Number, width: usize, most: usize },
    /// The last two digits of the year; read as 1970 to 2069.
    ShortYear,
    /// The last two digits of the year, whose century nobody knows when it is read.
    PrintedShortYear,
    /// `Jan` or `January`.
    MonthName { short: bool },
    /// `Mon` or `Monday`.
    DayName { short: bool },
    /// `AM` or `PM`.
    HalfDay,
    /// Digits of the fraction of the second.
    Fraction { digits: usize, most: usize },
    /// `+0200` or `+02:00`.
    Offset { colon: bool },
    /// `Europe/Brussels`.
    ZoneId,
    /// `CET`.
    ZoneName,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The first three letters.
fn shortened(name: &'static str, short: bool) -> &'static str {
    if short { name.get(..3).unwrap_or(name) } else { name }
}

fn number(field: Number, at: &NaiveDateTime) -> i64 {
    let hour = i64::from(at.hour());
    match field {
        Number::Year => i64::from(at.year()),
        Number::WeekYear => i64::from(at.iso_week().year()),
        Number::Week => i64::from(at.iso_week().week()),
        Number::Month => i64::from(at.month()),
        Number::Day => i64::from(at.day()),
        Number::DayOfYear => i64::from(at.ordinal()),
        Number::DayOfWeek => i64::from(at.weekday().number_from_monday()),
        Number::Hour => hour,
        Number::ClockHour => {
            if hour == 0 {
                24
            } else {
                hour
            }
        }
        Number::HalfHour => hour % 12,
        Number::HalfClockHour => {
            if hour % 12 == 0 {
                12
            } else {
                hour % 12
            }
        }
        Number::Minute => i64::from(at.minute()),
        Number::Second => i64::from(at.second()),
    }
}

/// The text of a moment on a clock; `zone` is the clock's, with the instant.
///
/// # Errors
/// INVALID_FUNCTION_ARGUMENT for a pattern with a zone and a value without.
pub(super) fn print(
    items: &[Item],
    at: &NaiveDateTime,
    zone: Option<(&Zone, &NaiveDateTime)>,
) -> Result<String, Failure> {
    let zone = || zone.ok_or_else(|| bad_argument("A value without time zone has none to format"));
    let mut out = String::with_capacity(32);
    for item in items {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Number { field, width, .. } => {
                let value = number(*field, at);
                if value < 0 {
                    out.push('-');
                }
                out.push_str(&format!("{:0width$}", value.unsigned_abs()));
            }
            Item::ShortYear | Item::PrintedShortYear => {
                out.push_str(&format!("{:02}", at.year().rem_euclid(100)));
            }
            Item::MonthName { short } => {
                out.push_str(shortened(MONTHS[at.month0() as usize], *short));
            }
            Item::DayName { short } => {
                let day = at.weekday().num_days_from_monday() as usize;
                out.push_str(shortened(DAYS[day], *short));
            }
            Item::HalfDay => out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
            Item::Fraction { digits, .. } => {
                let nanos = format!("{:09}", at.nanosecond());
                out.extend(nanos.chars().chain(std::iter::repeat('0')).take(*digits));
            }
            Item::Offset { colon } => {
                let (zone, instant) = zone()?;
                let offset = zone.offset_text(instant);
                out.push_str(&if *colon { offset } else { offset.replace(':', "") });
            }
            Item::ZoneId => out.push_str(zone()?.0.name()),
            Item::ZoneName => {
                let (zone, instant) = zone()?;
                out.push_str(&zone.abbreviation(instant));
            }
        }
    }
    Ok(out)
}

/// What a text says of a moment.
#[derive(Debug, Default)]
struct Read {
    numbers: Vec<(Number, i64)>,
    afternoon: Option<bool>,
    nanos: u32,
    zone: Option<Zone>,
}

impl Read {
    fn get(&self, field: Number) -> Option<i64> {
        self.numbers.iter().rev().find(|(known, _)| *known == field).map(|(_, value)| *value)
    }

    fn small(&self, field: Number, default: u32) -> Option<u32> {
        match self.get(field) {
            None => Some(default),
            Some(value) => u32::try_from(value).ok(),
        }
    }

    /// The moment; what is not said is the first of 1970.
    fn moment(&self) -> Option<NaiveDateTime> {
        let year = i32::try_from(self.get(Number::Year).unwrap_or(1970)).ok()?;
        let weekly = self.get(Number::Week).is_some() || self.get(Number::WeekYear).is_some();
        let date = if weekly {
            let year = i32::try_from(self.get(Number::WeekYear).unwrap_or(i64::from(year))).ok()?;
            let day = u8::try_from(self.small(Number::DayOfWeek, 1)?.checked_sub(1)?).ok()?;
            let weekday = Weekday::try_from(day).ok()?;
            NaiveDate::from_isoywd_opt(year, self.small(Number::Week, 1)?, weekday)?
        } else if self.get(Number::DayOfYear).is_some() {
            NaiveDate::from_yo_opt(year, self.small(Number::DayOfYear, 1)?)?
        } else {
            NaiveDate::from_ymd_opt(
                year,
                self.small(Number::Month, 1)?,
                self.small(Number::Day, 1)?,
            )?
        };
        let time = NaiveTime::from_hms_nano_opt(
            self.hour()?,
            self.small(Number::Minute, 0)?,
            self.small(Number::Second, 0)?,
            self.nanos,
        )?;
        Some(date.and_time(time))
    }

    fn hour(&self) -> Option<u32> {
        let half = match (self.get(Number::HalfHour), self.get(Number::HalfClockHour)) {
            (None, Some(hour @ 1..=12)) => Some(hour % 12),
            (Some(hour @ 0..=11), _) => Some(hour),
            (None, None) => None,
            _ => return None,
        };
        let full = match (self.get(Number::Hour), self.get(Number::ClockHour)) {
            (None, Some(hour @ 1..=24)) => Some(hour % 24),
            (None, Some(_)) => return None,
            (hour, _) => hour,
        };
        let hour = match (full, half) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => {
                if self.afternoon == Some(true) {
                    12
                } else {
                    0
                }
            }
        };
        u32::try_from(hour).ok()
    }
}

/// Reads a text by a pattern: the moment that it says, and the zone if it says one.
///
/// # Errors
/// INVALID_FUNCTION_ARGUMENT for texts that do not match; NOT_SUPPORTED for fields that can only
/// be printed.
pub(super) fn read(items: &[Item], text: &str) -> Result<(NaiveDateTime, Option<Zone>), Failure> {
    let mut read = Read::default();
    let mut rest = text;
    for item in items {
        let left = read.item(item, rest)?;
        rest = left.ok_or_else(|| malformed(text, rest))?;
    }
    if !rest.is_empty() {
        return Err(malformed(text, rest));
    }
    let moment = read.moment().ok_or_else(|| {
        bad_argument(format!("Cannot parse \"{text}\": a value is out of its field's range"))
    })?;
    Ok((moment, read.zone))
}

fn malformed(text: &str, rest: &str) -> Failure {
    let message = match rest {
        "" => format!("Invalid format: \"{text}\" is too short"),
        _ if rest.len() == text.len() => format!("Invalid format: \"{text}\""),
        _ => format!("Invalid format: \"{text}\" is malformed at \"{rest}\""),
    };
    bad_argument(message)
}

fn digits(text: &str, most: usize) -> Option<(&str, &str)> {
    let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if end == 0 { None } else { text.split_at_checked(end) }
}

/// The position of the name that a text begins with, in any case, and the rest.
fn name<'a>(text: &'a str, names: &[&'static str]) -> Option<(i64, &'a str)> {
    let begins =
        |name: &str| text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    // The long names first: the short ones begin them.
    names.iter().zip(1..).find_map(|(name, number)| {
        let length = [*name, shortened(name, true)].into_iter().find(|name| begins(name))?.len();
        Some((number, &text[length..]))
    })
}

impl Read {
    /// Reads an item; gives what is left of the text, `None` if it does not match.
    fn item<'a>(&mut self, item: &Item, text: &'a str) -> Result<Option<&'a str>, Failure> {
        let only_printed =
            |what: &str| Err(unsupported(format!("Parsing {what} is not supported")));
        Ok(match item {
            Item::Literal(literal) => text.strip_prefix(literal.as_str()),
            Item::Number { field, most, .. } => {
                let signed = matches!(field, Number::Year | Number::WeekYear);
                let (sign, unsigned) = match text.strip_prefix('-') {
                    Some(unsigned) if signed => (-1, unsigned),
                    _ => (1, text),
                };
                digits(unsigned, *most).and_then(|(number, rest)| {
                    self.numbers.push((*field, sign * number.parse::<i64>().ok()?));
                    Some(rest)
                })
            }
            Item::ShortYear => digits(text, 2).filter(|(number, _)| number.len() == 2).and_then(
                |(number, rest)| {
                    let year: i64 = number.parse().ok()?;
                    self.numbers.push((Number::Year, year + if year < 70 { 2000 } else { 1900 }));
                    Some(rest)
                },
            ),
            Item::PrintedShortYear => return only_printed("a year of two digits"),
            Item::MonthName { .. } => name(text, &MONTHS).map(|(month, rest)| {
                self.numbers.push((Number::Month, month));
                rest
            }),
            Item::DayName { .. } => name(text, &DAYS).map(|(day, rest)| {
                self.numbers.push((Number::DayOfWeek, day));
                rest
            }),
            Item::HalfDay => text.get(..2).and_then(|half| {
                self.afternoon = match half.to_ascii_uppercase().as_str() {
                    "AM" => Some(false),
                    "PM" => Some(true),
                    _ => return None,
                };
                text.get(2..)
            }),
            Item::Fraction { most, .. } => digits(text, *most).and_then(|(fraction, rest)| {
                let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
                self.nanos = nanos.parse().ok()?;
                Some(rest)
            }),
            Item::Offset { .. } | Item::ZoneId => {
                let other = |c: char| !(c.is_ascii_alphanumeric() || "+-:/_".contains(c));
                let (zone, rest) = text.split_at(text.find(other).unwrap_or(text.len()));
                let is_offset = zone.starts_with(['+', '-', 'Z']);
                let wanted = is_offset == matches!(item, Item::Offset { .. });
                match Zone::parse(zone) {
                    Ok(zone) if wanted => {
                        self.zone = Some(zone);
                        Some(rest)
                    }
                    _ => None,
                }
            }
            Item::ZoneName => return only_printed("the short name of a time zone"),
        })
    }
}
