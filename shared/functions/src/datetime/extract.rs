//! Fields of values in time: `year(x)`, `EXTRACT(year FROM x)`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::Failure;

use super::udf::{Call, Evaluation, function};
use super::value::{DAY_MILLIS, Kind};

fn typed(call: &Call<'_>, allowed: fn(&Kind) -> bool) -> Result<DataType, Failure> {
    match call.kind(0) {
        _ if call.count() != 1 => Err(call.mismatch()),
        Some(kind) if allowed(&kind) => Ok(DataType::Int64),
        None if call.is_null(0) => Ok(DataType::Int64),
        _ => Err(call.mismatch()),
    }
}

/// A field of the date: `(name, field)`.
macro_rules! date_field {
    ($name:literal, $field:expr) => {
        function(
            $name,
            |call| typed(call, Kind::has_date),
            |rows| {
                let column = rows.temporal(0, &Kind::Date)?;
                let field: fn(&NaiveDateTime) -> i64 = $field;
                rows.ticks(|row| match column.get(row) {
                    None => Ok(None),
                    Some(ticks) => column.kind.local(ticks).map(|local| Some(field(&local))),
                })
            },
        )
    };
}

/// A field that dates and intervals year to month have.
macro_rules! month_field {
    ($name:literal, $field:expr, $of_months:expr) => {
        function(
            $name,
            |call| typed(call, |kind| kind.has_date() || *kind == Kind::YearMonth),
            |rows| {
                let column = rows.temporal(0, &Kind::Date)?;
                let field: fn(&NaiveDateTime) -> i64 = $field;
                let of_months: fn(i64) -> i64 = $of_months;
                rows.ticks(|row| match (column.get(row), &column.kind) {
                    (None, _) => Ok(None),
                    (Some(months), Kind::YearMonth) => Ok(Some(of_months(months))),
                    (Some(ticks), kind) => kind.local(ticks).map(|local| Some(field(&local))),
                })
            },
        )
    };
}

/// A field that `$base` kinds and intervals day to second have: `$of_millis` of an interval.
macro_rules! clock_field {
    ($name:literal, $base:expr, $field:expr, $of_millis:expr) => {
        function(
            $name,
            |call| typed(call, |kind| $base(kind) || *kind == Kind::DaySecond),
            |rows| {
                let column = rows.temporal(0, &Kind::Timestamp(3))?;
                let field: fn(&NaiveDateTime) -> i64 = $field;
                let of_millis: fn(i64) -> i64 = $of_millis;
                rows.ticks(|row| match (column.get(row), &column.kind) {
                    (None, _) => Ok(None),
                    (Some(millis), Kind::DaySecond) => Ok(Some(of_millis(millis))),
                    (Some(ticks), kind) => kind.local(ticks).map(|local| Some(field(&local))),
                })
            },
        )
    };
}

/// A part of the offset of a value with a zone, from the offset in minutes.
fn offset_field(
    rows: &super::udf::Rows<'_>,
    part: fn(i64) -> i64,
) -> Result<arrow::array::ArrayRef, Failure> {
    let column = rows.temporal(0, &Kind::Timestamp(3))?;
    rows.ticks(|row| match (column.get(row), &column.kind) {
        (Some(ticks), kind @ Kind::Zoned(_, zone)) => {
            let offset = zone.offset_at(&kind.instant(ticks)?);
            Ok(Some(part(i64::from(offset) / 60)))
        }
        _ => Ok(None),
    })
}

fn is_zoned(kind: &Kind) -> bool {
    matches!(kind, Kind::Zoned(..))
}

const HOUR_PART: Evaluation = |rows| offset_field(rows, |minutes| minutes / 60);
const MINUTE_PART: Evaluation = |rows| offset_field(rows, |minutes| minutes % 60);

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let day = |name| {
        function(
            name,
            |call| typed(call, |kind| kind.has_date() || *kind == Kind::DaySecond),
            |rows| {
                let column = rows.temporal(0, &Kind::Date)?;
                rows.ticks(|row| match (column.get(row), &column.kind) {
                    (None, _) => Ok(None),
                    (Some(millis), Kind::DaySecond) => Ok(Some(millis / DAY_MILLIS)),
                    (Some(ticks), kind) => {
                        kind.local(ticks).map(|local| Some(i64::from(local.day())))
                    }
                })
            },
        )
    };
    vec![
        month_field!("year", |at| i64::from(at.year()), |months| months / 12),
        month_field!("month", |at| i64::from(at.month()), |months| months % 12),
        date_field!("quarter", |at| i64::from(at.month0() / 3 + 1)),
        date_field!("week", |at| i64::from(at.iso_week().week())),
        date_field!("week_of_year", |at| i64::from(at.iso_week().week())),
        date_field!("year_of_week", |at| i64::from(at.iso_week().year())),
        date_field!("yow", |at| i64::from(at.iso_week().year())),
        date_field!("day_of_week", |at| i64::from(at.weekday().number_from_monday())),
        date_field!("dow", |at| i64::from(at.weekday().number_from_monday())),
        date_field!("day_of_year", |at| i64::from(at.ordinal())),
        date_field!("doy", |at| i64::from(at.ordinal())),
        day("day"),
        day("day_of_month"),
        clock_field!("hour", Kind::has_time, |at| i64::from(at.hour()), |ms| ms % DAY_MILLIS
            / 3_600_000),
        clock_field!("minute", Kind::has_time, |at| i64::from(at.minute()), |ms| ms % 3_600_000
            / 60_000),
        clock_field!("second", Kind::has_time, |at| i64::from(at.second()), |ms| ms % 60_000
            / 1_000),
        clock_field!(
            "millisecond",
            Kind::has_time,
            |at| i64::from(at.nanosecond() / 1_000_000),
            |ms| ms % 1_000
        ),
        function("timezone_hour", |call| typed(call, is_zoned), HOUR_PART),
        function("timezone_minute", |call| typed(call, is_zoned), MINUTE_PART),
    ]
}
