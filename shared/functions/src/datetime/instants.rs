//! Instants: from and to numbers, ISO 8601, and other zones.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Weekday};
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::Failure;

use super::parse::{Written, timestamp_ticks};
use super::udf::{Call, Rows, bad_argument, function, unsupported};
use super::value::{Kind, days, out_of_range, per_second};
use super::zone::Zone;
use super::{convert, text};

/// The zone that an argument names.
fn zone(call: &Call<'_>, at: usize) -> Result<Zone, Failure> {
    if !call.is_text(at) {
        return Err(call.mismatch());
    }
    let name = call.text(at).ok_or_else(|| {
        unsupported("A time zone that is not a literal is not supported: a column has one zone")
    })?;
    Zone::parse(name)
}

/// `from_unixtime(seconds, zone)` or `from_unixtime(seconds, hours, minutes)`.
fn from_unixtime_type(call: &Call<'_>) -> Result<DataType, Failure> {
    let zone = match call.count() {
        _ if !call.is_number(0) => return Err(call.mismatch()),
        2 => zone(call, 1)?,
        3 if call.is_integer(1) && call.is_integer(2) => {
            let (Some(hours), Some(minutes)) = (call.integer(1), call.integer(2)) else {
                return Err(unsupported("from_unixtime with an offset that is not a literal"));
            };
            Zone::of_minutes(hours.saturating_mul(60).saturating_add(minutes))?
        }
        _ => return Err(call.mismatch()),
    };
    Ok(Kind::Zoned(3, zone).data_type())
}

fn from_unixtime(rows: &Rows<'_>) -> Result<ArrayRef, Failure> {
    let seconds = rows.doubles(0)?;
    rows.ticks(|row| {
        if seconds.is_null(row) {
            return Ok(None);
        }
        let millis = (seconds.value(row) * 1000.0 + 0.5).floor();
        // Years to which the calendar reaches.
        if !(-8.0e15..8.0e15).contains(&millis) {
            return Err(out_of_range(&Kind::Timestamp(3)));
        }
        Ok(Some(millis as i64))
    })
}

fn to_unixtime(rows: &Rows<'_>) -> Result<ArrayRef, Failure> {
    let column = rows.temporal(0, &Kind::Timestamp(3))?;
    let second = per_second(column.kind.precision()) as f64;
    let value = |row| column.get(row).map(|ticks| ticks as f64 / second);
    Ok(Arc::new((0..rows.count).map(value).collect::<Float64Array>()))
}

/// `at_timezone(x, zone, session's zone)`.
fn at_timezone_type(call: &Call<'_>) -> Result<DataType, Failure> {
    match call.kind(0) {
        _ if call.count() != 3 => Err(call.mismatch()),
        Some(Kind::Timestamp(precision) | Kind::Zoned(precision, _)) => {
            Ok(Kind::Zoned(precision, zone(call, 1)?).data_type())
        }
        None if call.is_null(0) => Ok(Kind::Zoned(3, zone(call, 1)?).data_type()),
        _ => Err(call.mismatch()),
    }
}

fn at_timezone(rows: &Rows<'_>) -> Result<ArrayRef, Failure> {
    let column = rows.temporal(0, &Kind::Timestamp(3))?;
    let Kind::Timestamp(precision) = column.kind else {
        return rows.ticks(|row| Ok(column.get(row)));
    };
    let session = Zone::parse(&rows.constant(2)?.unwrap_or_default())?;
    let read = Kind::Zoned(precision, session);
    rows.ticks(|row| match column.get(row) {
        None => Ok(None),
        Some(ticks) => convert::cast_ticks(&column.kind, ticks, &read).map(Some),
    })
}

/// `with_timezone(timestamp, zone)`.
fn with_timezone_type(call: &Call<'_>) -> Result<DataType, Failure> {
    match call.kind(0) {
        _ if call.count() != 2 => Err(call.mismatch()),
        Some(Kind::Timestamp(precision)) => Ok(Kind::Zoned(precision, zone(call, 1)?).data_type()),
        Some(Kind::Date) => Ok(Kind::Zoned(3, zone(call, 1)?).data_type()),
        None if call.is_null(0) => Ok(Kind::Zoned(3, zone(call, 1)?).data_type()),
        _ => Err(call.mismatch()),
    }
}

fn with_timezone(rows: &Rows<'_>) -> Result<ArrayRef, Failure> {
    let column = rows.temporal(0, &Kind::Timestamp(3))?;
    let Some(wanted) = Kind::of(rows.result) else { return rows.ticks(|_| Ok(None)) };
    rows.ticks(|row| match column.get(row) {
        None => Ok(None),
        Some(ticks) => convert::cast_ticks(&column.kind, ticks, &wanted).map(Some),
    })
}

fn has_date(call: &Call<'_>, result: DataType) -> Result<DataType, Failure> {
    match call.kind(0) {
        Some(kind) if call.count() == 1 && kind.has_date() => Ok(result),
        None if call.count() == 1 && call.is_null(0) => Ok(result),
        _ => Err(call.mismatch()),
    }
}

fn to_iso8601(rows: &Rows<'_>) -> Result<ArrayRef, Failure> {
    let column = rows.temporal(0, &Kind::Date)?;
    rows.texts(|row| {
        let Some(ticks) = column.get(row) else { return Ok(None) };
        let kind = &column.kind;
        let printed = text::print(kind, ticks)?;
        let mut parts = printed.splitn(3, ' ');
        let mut out = parts.next().unwrap_or_default().to_owned();
        if let Some(time) = parts.next() {
            out.push('T');
            out.push_str(time);
        }
        if let Kind::Zoned(_, zone) = kind {
            match zone.offset_text(&kind.instant(ticks)?).as_str() {
                "+00:00" => out.push('Z'),
                offset => out.push_str(offset),
            }
        }
        Ok(Some(out))
    })
}

/// A date of ISO 8601: `2020-05-11`, `2020-05`, `2020`, `2020-W20-1`, `2020-W20`, `2020-132`.
fn iso_date(text: &str) -> Option<NaiveDate> {
    let (year, rest) = match text.split_once('-') {
        Some((year, rest)) => (year, Some(rest)),
        None => (text, None),
    };
    let number = |text: &str, digits: usize| {
        let valid = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        if valid { text.parse::<u32>().ok() } else { None }
    };
    let year = i32::try_from(number(year, 4)?).ok()?;
    let Some(rest) = rest else { return NaiveDate::from_ymd_opt(year, 1, 1) };
    if let Some(week) = rest.strip_prefix('W') {
        let (week, day) = week.split_once('-').unwrap_or((week, "1"));
        let day = u8::try_from(number(day, 1)?.checked_sub(1)?).ok()?;
        return NaiveDate::from_isoywd_opt(year, number(week, 2)?, Weekday::try_from(day).ok()?);
    }
    match rest.split_once('-') {
        Some((month, day)) => NaiveDate::from_ymd_opt(year, number(month, 2)?, number(day, 2)?),
        None if rest.len() == 3 => NaiveDate::from_yo_opt(year, number(rest, 3)?),
        None => NaiveDate::from_ymd_opt(year, number(rest, 2)?, 1),
    }
}

/// A time of ISO 8601: `10`, `10:20`, `10:20:30`, `10:20:30.25`; and the digits of its fraction.
fn iso_time(text: &str) -> Option<(NaiveTime, &str)> {
    let (clock, fraction) = match text.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, ""),
    };
    let mut numbers = [0; 3];
    let mut count = 0;
    for part in clock.split(':') {
        if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *numbers.get_mut(count)? = part.parse().ok()?;
        count += 1;
    }
    let whole = fraction.bytes().all(|b| b.is_ascii_digit());
    // A fraction is one of seconds.
    if !whole || count < 3 && text.len() != clock.len() {
        return None;
    }
    let [hour, minute, second] = numbers;
    Some((NaiveTime::from_hms_opt(hour, minute, second)?, fraction))
}

/// A timestamp of ISO 8601, with or without time and zone.
fn iso_timestamp(text: &str) -> Option<Written> {
    let (date, rest) = match text.split_once('T') {
        Some((date, rest)) => (date, Some(rest)),
        None => (text, None),
    };
    let local = |time| iso_date(date).map(|date| NaiveDateTime::new(date, time));
    let Some(rest) = rest else {
        return Some(Written {
            local: local(NaiveTime::MIN)?,
            fraction: String::new(),
            zone: None,
        });
    };
    let end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let (time, fraction) = if clock.is_empty() { (NaiveTime::MIN, "") } else { iso_time(clock)? };
    let zone = if zone.is_empty() { None } else { Some(Zone::parse(zone).ok()?) };
    Some(Written { local: local(time)?, fraction: fraction.to_owned(), zone })
}

fn from_iso_type(call: &Call<'_>, precision: u8) -> Result<DataType, Failure> {
    if call.count() != 2 || !call.is_text(0) {
        return Err(call.mismatch());
    }
    let written = call.text(0).and_then(|text| iso_timestamp(text)?.zone);
    let zone = written.map_or_else(|| zone(call, 1), Ok)?;
    Ok(Kind::Zoned(precision, zone).data_type())
}

fn from_iso(rows: &Rows<'_>) -> Result<ArrayRef, Failure> {
    let texts = rows.text(0)?;
    let Some(kind) = Kind::of(rows.result) else { return rows.ticks(|_| Ok(None)) };
    rows.ticks(|row| {
        if texts.is_null(row) {
            return Ok(None);
        }
        let text = texts.value(row);
        let written = iso_timestamp(text)
            .ok_or_else(|| bad_argument(format!("Invalid format: \"{text}\"")))?;
        convert::in_zone(&kind, written.zone.as_ref())?;
        timestamp_ticks(&written, &kind).map(Some)
    })
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("from_unixtime", from_unixtime_type, from_unixtime),
        function(
            "from_unixtime_nanos",
            |call| match call.count() {
                2 if call.is_integer(0) => Ok(Kind::Zoned(9, zone(call, 1)?).data_type()),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let nanos = rows.integers(0)?;
                rows.ticks(|row| Ok((!nanos.is_null(row)).then(|| nanos.value(row))))
            },
        ),
        function(
            "to_unixtime",
            |call| match call.kind(0) {
                Some(Kind::Date) => Err(call.mismatch()),
                _ => has_date(call, DataType::Float64),
            },
            to_unixtime,
        ),
        function("at_timezone", at_timezone_type, at_timezone),
        function("with_timezone", with_timezone_type, with_timezone),
        function("to_iso8601", |call| has_date(call, DataType::Utf8), to_iso8601),
        function("from_iso8601_timestamp", |call| from_iso_type(call, 3), from_iso),
        function("from_iso8601_timestamp_nanos", |call| from_iso_type(call, 9), from_iso),
        function(
            "from_iso8601_date",
            |call| match call.count() {
                1 if call.is_text(0) => Ok(DataType::Date32),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let texts = rows.text(0)?;
                rows.ticks(|row| {
                    if texts.is_null(row) {
                        return Ok(None);
                    }
                    let text = texts.value(row);
                    let failure = || bad_argument(format!("Invalid format: \"{text}\""));
                    iso_date(text).map(|date| Some(days(date))).ok_or_else(failure)
                })
            },
        ),
        function(
            "timezone",
            |call| match call.kind(0) {
                Some(Kind::Zoned(..)) if call.count() == 1 => Ok(DataType::Utf8),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let column = rows.temporal(0, &Kind::Timestamp(3))?;
                rows.texts(|row| match (column.get(row), &column.kind) {
                    (Some(_), Kind::Zoned(_, zone)) => Ok(Some(zone.name().to_string())),
                    _ => Ok(None),
                })
            },
        ),
    ]
}
