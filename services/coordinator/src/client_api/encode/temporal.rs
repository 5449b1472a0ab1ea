//! Dates, times, timestamps and intervals as JSON text.

use arrow::array::timezone::Tz;
use arrow::array::{Array, AsArray};
use arrow::datatypes::*;
use chrono::{DateTime, Offset as _, TimeZone as _};
use waterbear_protocol::{ErrorCode, Failure};

use super::{Cell, quoted, unsupported};
use waterbear_functions::datetime::text;

/// Dates, times, timestamps and intervals.
pub(super) fn temporal<'a>(array: &'a dyn Array, parametric: bool) -> Result<Cell<'a>, Failure> {
    let ticks = |from: u8| (from, if parametric { from } else { 3 });
    macro_rules! time {
        ($type:ty, $digits:literal) => {{
            let (from, to) = ticks($digits);
            quoted::<$type>(array, move |value, out| {
                let ticks = text::rescale(i128::from(value), from, to);
                text::push_time(out, u64::try_from(ticks).unwrap_or(0), to);
            })
        }};
    }
    macro_rules! timestamp {
        ($type:ty, $digits:literal, $zone:expr) => {{
            let (from, to) = ticks($digits);
            let zone = Zone::parse($zone.as_deref())?;
            quoted::<$type>(array, move |value, out| zone.push(out, value, from, to))
        }};
    }
    macro_rules! duration {
        ($type:ty, $digits:literal) => {
            quoted::<$type>(array, |value, out| {
                text::push_day_second(out, text::rescale(i128::from(value), $digits, 3));
            })
        };
    }
    Ok(match array.data_type() {
        DataType::Date32 => {
            quoted::<Date32Type>(array, |days, out| text::push_date(out, i64::from(days)))
        }
        DataType::Date64 => quoted::<Date64Type>(array, |millis, out| {
            text::push_date(out, millis.div_euclid(86_400_000))
        }),
        DataType::Time32(TimeUnit::Second) => time!(Time32SecondType, 0),
        DataType::Time32(_) => time!(Time32MillisecondType, 3),
        DataType::Time64(TimeUnit::Microsecond) => time!(Time64MicrosecondType, 6),
        DataType::Time64(_) => time!(Time64NanosecondType, 9),
        DataType::Timestamp(TimeUnit::Second, zone) => timestamp!(TimestampSecondType, 0, zone),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            timestamp!(TimestampMillisecondType, 3, zone)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            timestamp!(TimestampMicrosecondType, 6, zone)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            timestamp!(TimestampNanosecondType, 9, zone)
        }
        DataType::Duration(TimeUnit::Second) => duration!(DurationSecondType, 0),
        DataType::Duration(TimeUnit::Millisecond) => duration!(DurationMillisecondType, 3),
        DataType::Duration(TimeUnit::Microsecond) => duration!(DurationMicrosecondType, 6),
        DataType::Duration(TimeUnit::Nanosecond) => duration!(DurationNanosecondType, 9),
        DataType::Interval(IntervalUnit::YearMonth) => {
            quoted::<IntervalYearMonthType>(array, |months, out| text::push_year_month(out, months))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            quoted::<IntervalDayTimeType>(array, |value, out| {
                let millis = i128::from(value.days) * 86_400_000 + i128::from(value.milliseconds);
                text::push_day_second(out, millis);
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => month_day_nano(array),
        other => return Err(unsupported(other)),
    })
}

fn month_day_nano(array: &dyn Array) -> Cell<'_> {
    let array = array.as_primitive::<IntervalMonthDayNanoType>();
    Box::new(move |row, rows| {
        let value = array.value(row);
        if value.months != 0 {
            let message = "Intervals of years and months are not supported as results";
            return Err(Failure::new(ErrorCode::NOT_SUPPORTED, message));
        }
        let nanos = i128::from(value.days) * 86_400_000_000_000 + i128::from(value.nanoseconds);
        rows.text.push('"');
        text::push_day_second(&mut rows.text, text::rescale(nanos, 9, 3));
        rows.text.push('"');
        Ok(())
    })
}

/// How a column's time zone shows.
enum Zone<'a> {
    None,
    Utc,
    Named(Tz, &'a str),
}

impl<'a> Zone<'a> {
    fn parse(name: Option<&'a str>) -> Result<Self, Failure> {
        match name {
            None => Ok(Self::None),
            // Trino knows all these as one zone.
            Some("UTC" | "Z" | "+00:00" | "-00:00" | "+00" | "Etc/UTC") => Ok(Self::Utc),
            Some(name) => name.parse().map(|zone| Self::Named(zone, name)).map_err(|_| {
                let message = format!("Time zone not supported: {name}");
                Failure::new(ErrorCode::NOT_SUPPORTED, message)
            }),
        }
    }

    fn push(&self, out: &mut String, value: i64, from: u8, to: u8) {
        let ticks = text::rescale(i128::from(value), from, to);
        match self {
            Self::None => text::push_timestamp(out, ticks, to),
            Self::Utc => {
                text::push_timestamp(out, ticks, to);
                out.push_str(" UTC");
            }
            Self::Named(zone, name) => {
                let unit = 10i128.pow(u32::from(to));
                let instant = i64::try_from(ticks.div_euclid(unit))
                    .ok()
                    .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
                let offset = instant.map_or(0, |instant| {
                    zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()
                });
                text::push_timestamp(out, ticks + i128::from(offset) * unit, to);
                out.push(' ');
                out.push_str(name);
            }
        }
    }
}
