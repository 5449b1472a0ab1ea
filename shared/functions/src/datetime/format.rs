//! `date_format`, `date_parse` (MySQL's patterns), `format_datetime`, `parse_datetime` (Joda's).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::Failure;

use super::convert;
use super::pattern::{Item, Number, print, read};
use super::udf::{Call, Rows, bad_argument, function, unsupported};
use super::value::Kind;
use super::zone::Zone;

type Compile = fn(&str) -> Result<Vec<Item>, Failure>;

/// A pattern of MySQL: `%Y-%m-%d %H:%i:%s`.
fn mysql(pattern: &str) -> Result<Vec<Item>, Failure> {
    let two = |field| Item::Number { field, width: 2, most: 2 };
    let one = |field| Item::Number { field, width: 1, most: 2 };
    let literal = |text: &str| Item::Literal(text.to_owned());
    let year = |field| Item::Number { field, width: 4, most: 4 };
    let mut items = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            items.push(Item::Literal(character.to_string()));
            continue;
        }
        let Some(specifier) = characters.next() else {
            return Err(bad_argument(format!("Invalid date format string: {pattern}")));
        };
        let time = [two(Number::Minute), literal(":"), two(Number::Second)];
        match specifier {
            'a' => items.push(Item::DayName { short: true }),
            'b' => items.push(Item::MonthName { short: true }),
            'c' => items.push(one(Number::Month)),
            'd' => items.push(two(Number::Day)),
            'e' => items.push(one(Number::Day)),
            'f' => items.push(Item::Fraction { digits: 6, most: 9 }),
            'H' => items.push(two(Number::Hour)),
            'h' | 'I' => items.push(two(Number::HalfClockHour)),
            'i' => items.push(two(Number::Minute)),
            'j' => items.push(Item::Number { field: Number::DayOfYear, width: 3, most: 3 }),
            'k' => items.push(one(Number::Hour)),
            'l' => items.push(one(Number::HalfClockHour)),
            'M' => items.push(Item::MonthName { short: false }),
            'm' => items.push(two(Number::Month)),
            'p' => items.push(Item::HalfDay),
            'r' => {
                items.extend([two(Number::HalfClockHour), literal(":")]);
                items.extend(time);
                items.extend([literal(" "), Item::HalfDay]);
            }
            'S' | 's' => items.push(two(Number::Second)),
            'T' => {
                items.extend([two(Number::Hour), literal(":")]);
                items.extend(time);
            }
            'v' => items.push(two(Number::Week)),
            'W' => items.push(Item::DayName { short: false }),
            'x' => items.push(year(Number::WeekYear)),
            'Y' => items.push(year(Number::Year)),
            'y' => items.push(Item::ShortYear),
            'D' | 'U' | 'u' | 'V' | 'w' | 'X' => {
                let message = format!("%{specifier} not supported in date format string");
                return Err(bad_argument(message));
            }
            other => items.push(Item::Literal(other.to_string())),
        }
    }
    Ok(items)
}

/// A pattern of Joda: `yyyy-MM-dd HH:mm:ss`.
fn joda(pattern: &str) -> Result<Vec<Item>, Failure> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(&letter) = characters.get(at) {
        let same = characters[at..].iter().take_while(|other| **other == letter).count();
        if letter == '\'' {
            let (text, end) = quoted(&characters, at);
            items.push(Item::Literal(text));
            at = end;
            continue;
        }
        if letter.is_ascii_alphabetic() {
            let next = characters.get(at + same).copied();
            items.push(joda_field(letter, same, next.is_some_and(is_numeric))?);
            at += same;
        } else {
            items.push(Item::Literal(letter.to_string()));
            at += 1;
        }
    }
    Ok(items)
}

/// The letter makes a number, if it does not stand thrice.
fn is_numeric(letter: char) -> bool {
    "cCxwedDFhHkKmMsSyY".contains(letter)
}

/// The text in quotes from a place on, and the place behind it. Two quotes are one.
fn quoted(characters: &[char], from: usize) -> (String, usize) {
    let mut text = String::new();
    let mut at = from + 1;
    if characters.get(at) == Some(&'\'') {
        return ("'".to_owned(), at + 1);
    }
    while let Some(&character) = characters.get(at) {
        if character == '\'' {
            if characters.get(at + 1) != Some(&'\'') {
                return (text, at + 1);
            }
            at += 1;
        }
        text.push(character);
        at += 1;
    }
    (text, at)
}

fn joda_field(letter: char, count: usize, number_follows: bool) -> Result<Item, Failure> {
    let number = |field, most: usize| Item::Number { field, width: count, most: most.max(count) };
    // Where a number follows, a year has no more digits than letters.
    let year = |field| number(field, if number_follows { count } else { 9 });
    Ok(match letter {
        'y' | 'Y' | 'x' if count == 2 => match letter {
            'x' => return Err(unsupported("The pattern letters xx are not supported")),
            _ => Item::PrintedShortYear,
        },
        'y' | 'Y' => year(Number::Year),
        'x' => year(Number::WeekYear),
        'w' => number(Number::Week, 2),
        'e' => number(Number::DayOfWeek, 1),
        'E' => Item::DayName { short: count < 4 },
        'D' => number(Number::DayOfYear, 3),
        'M' if count >= 3 => Item::MonthName { short: count == 3 },
        'M' => number(Number::Month, 2),
        'd' => number(Number::Day, 2),
        'a' => Item::HalfDay,
        'K' => number(Number::HalfHour, 2),
        'h' => number(Number::HalfClockHour, 2),
        'H' => number(Number::Hour, 2),
        'k' => number(Number::ClockHour, 2),
        'm' => number(Number::Minute, 2),
        's' => number(Number::Second, 2),
        'S' => Item::Fraction { digits: count, most: count },
        'z' if count < 4 => Item::ZoneName,
        'Z' => match count {
            1 => Item::Offset { colon: false },
            2 => Item::Offset { colon: true },
            _ => Item::ZoneId,
        },
        'z' | 'G' | 'C' => {
            return Err(unsupported(format!("The pattern letter {letter} is not supported")));
        }
        other => return Err(bad_argument(format!("Illegal pattern component: {other}"))),
    })
}

/// The patterns of the rows, compiled once while they stay the same.
struct Patterns {
    texts: StringArray,
    compile: Compile,
    last: Option<(String, Arc<[Item]>)>,
}

impl Patterns {
    fn new(rows: &Rows<'_>, at: usize, compile: Compile) -> Result<Self, Failure> {
        Ok(Self { texts: rows.text(at)?, compile, last: None })
    }

    fn get(&mut self, row: usize) -> Result<Option<Arc<[Item]>>, Failure> {
        if self.texts.is_null(row) {
            return Ok(None);
        }
        let text = self.texts.value(row);
        if let Some((known, items)) = &self.last
            && known == text
        {
            return Ok(Some(Arc::clone(items)));
        }
        let items: Arc<[Item]> = (self.compile)(text)?.into();
        self.last = Some((text.to_owned(), Arc::clone(&items)));
        Ok(Some(items))
    }
}

fn printing(call: &Call<'_>) -> Result<DataType, Failure> {
    let fits = call.count() == 2 && call.is_text(1);
    match call.kind(0) {
        Some(kind) if fits && kind.has_date() => Ok(DataType::Utf8),
        None if fits && call.is_null(0) => Ok(DataType::Utf8),
        _ => Err(call.mismatch()),
    }
}

fn print_rows(rows: &Rows<'_>, compile: Compile) -> Result<ArrayRef, Failure> {
    let column = rows.temporal(0, &Kind::Timestamp(3))?;
    let mut patterns = Patterns::new(rows, 1, compile)?;
    // Patterns know milliseconds only.
    let kind = match &column.kind {
        Kind::Date => Kind::Timestamp(3),
        other => other.with_precision(3),
    };
    rows.texts(|row| {
        let (Some(ticks), Some(items)) = (column.get(row), patterns.get(row)?) else {
            return Ok(None);
        };
        let ticks = convert::millis(&column.kind, ticks)?;
        let local = kind.local(ticks)?;
        let instant = kind.instant(ticks)?;
        let zone = match &kind {
            Kind::Zoned(_, zone) => Some((zone, &instant)),
            _ => None,
        };
        print(&items, &local, zone).map(Some)
    })
}

fn read_rows(rows: &Rows<'_>, compile: Compile) -> Result<ArrayRef, Failure> {
    let texts = rows.text(0)?;
    let mut patterns = Patterns::new(rows, 1, compile)?;
    let kind = Kind::of(rows.result).unwrap_or(Kind::Timestamp(3));
    rows.ticks(|row| {
        let Some(items) = patterns.get(row)? else { return Ok(None) };
        if texts.is_null(row) {
            return Ok(None);
        }
        let (local, zone) = read(&items, texts.value(row))?;
        if zone.is_some() && !matches!(kind, Kind::Zoned(..)) {
            return Err(bad_argument("A pattern with a time zone has no place here"));
        }
        convert::in_zone(&kind, zone.as_ref())?;
        kind.ticks(&local).map(Some)
    })
}

/// `parse_datetime(text, pattern, session's zone)`: a text that is a literal decides the zone.
fn parse_datetime_type(call: &Call<'_>) -> Result<DataType, Failure> {
    if call.count() != 3 || !call.is_text(0) || !call.is_text(1) {
        return Err(call.mismatch());
    }
    let written = match (call.text(0), call.text(1)) {
        (Some(text), Some(pattern)) => read(&joda(pattern)?, text)?.1,
        _ => None,
    };
    let zone = match (written, call.text(2)) {
        (Some(zone), _) => zone,
        (None, Some(session)) => Zone::parse(session)?,
        (None, None) => return Err(call.mismatch()),
    };
    Ok(Kind::Zoned(3, zone).data_type())
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("date_format", printing, |rows| print_rows(rows, mysql)),
        function("format_datetime", printing, |rows| print_rows(rows, joda)),
        function(
            "date_parse",
            |call| match call.count() {
                2 if call.is_text(0) && call.is_text(1) => Ok(Kind::Timestamp(3).data_type()),
                _ => Err(call.mismatch()),
            },
            |rows| read_rows(rows, mysql),
        ),
        function("parse_datetime", parse_datetime_type, |rows| read_rows(rows, joda)),
    ]
}
