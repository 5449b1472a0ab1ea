//! `date_trunc`, `date_add`, `date_diff`, `last_day_of_month`.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::Failure;

use super::arithmetic::{add_months, months_between};
use super::udf::{Call, Rows, bad_argument, function, listing, unsupported};
use super::value::{DAY, Kind, days, out_of_range, per_second, rescaled};

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    /// The unit of a name in any case, if values of this type have it.
    fn parse(name: &str, kind: &Kind) -> Result<Self, Failure> {
        let unit = match name.to_ascii_lowercase().as_str() {
            "millisecond" => Some(Self::Millisecond),
            "second" => Some(Self::Second),
            "minute" => Some(Self::Minute),
            "hour" => Some(Self::Hour),
            "day" => Some(Self::Day),
            "week" => Some(Self::Week),
            "month" => Some(Self::Month),
            "quarter" => Some(Self::Quarter),
            "year" => Some(Self::Year),
            _ => None,
        };
        let has = |unit: &Self| match kind {
            Kind::Date => *unit >= Self::Day,
            Kind::Time(_) => *unit <= Self::Hour,
            _ => true,
        };
        unit.filter(has).ok_or_else(|| {
            let name_of_type = listing(&kind.data_type()).to_uppercase();
            let base = name_of_type.split('(').next().unwrap_or_default();
            bad_argument(format!("'{name}' is not a valid {base} field"))
        })
    }

    /// Milliseconds, for units that always have as many.
    fn millis(self) -> Option<i64> {
        match self {
            Self::Millisecond => Some(1),
            Self::Second => Some(1_000),
            Self::Minute => Some(60_000),
            Self::Hour => Some(3_600_000),
            _ => None,
        }
    }

    /// Months, for units of months.
    fn months(self) -> Option<i64> {
        match self {
            Self::Month => Some(1),
            Self::Quarter => Some(3),
            Self::Year => Some(12),
            _ => None,
        }
    }
}

/// The unit argument of each row, parsed once while it stays the same.
fn units(rows: &Rows<'_>, kind: &Kind) -> Result<Vec<Option<Unit>>, Failure> {
    let names = rows.text(0)?;
    let mut last: Option<(&str, Unit)> = None;
    (0..rows.count)
        .map(|row| {
            if names.is_null(row) {
                return Ok(None);
            }
            let name = names.value(row);
            let unit = match last {
                Some((known, unit)) if known == name => unit,
                _ => Unit::parse(name, kind)?,
            };
            last = Some((name, unit));
            Ok(Some(unit))
        })
        .collect()
}

fn truncate(kind: &Kind, ticks: i64, unit: Unit) -> Result<i64, Failure> {
    if let Some(millis) = unit.millis() {
        // What a clock shows is a whole number of seconds off: the offset at the instant stays.
        let size = match (kind.precision(), millis) {
            (0, _) => millis / 1_000,
            (precision, _) => millis * (per_second(precision) / 1_000),
        };
        if size <= 1 {
            return Ok(ticks);
        }
        let offset = match kind {
            Kind::Zoned(precision, zone) => {
                i64::from(zone.offset_at(&kind.instant(ticks)?)) * per_second(*precision)
            }
            _ => 0,
        };
        return Ok(
            ticks - (i128::from(ticks) + i128::from(offset)).rem_euclid(i128::from(size)) as i64
        );
    }
    let local = kind.local(ticks)?;
    let date = local.date();
    let first = |month: u32| NaiveDate::from_ymd_opt(date.year(), month, 1);
    let begin = match unit {
        Unit::Week => {
            let past = i64::from(date.weekday().num_days_from_monday());
            date.checked_sub_signed(TimeDelta::days(past))
        }
        Unit::Month => first(date.month()),
        Unit::Quarter => first(date.month0() / 3 * 3 + 1),
        Unit::Year => first(1),
        _ => Some(date),
    };
    let begin = begin.ok_or_else(|| out_of_range(kind))?;
    kind.ticks(&begin.and_time(NaiveTime::MIN))
}

fn add(kind: &Kind, ticks: i64, unit: Unit, amount: i64) -> Result<i64, Failure> {
    let failure = || out_of_range(kind);
    if let Some(millis) = unit.millis() {
        let amount = i128::from(amount) * i128::from(millis);
        let precision = kind.precision();
        if precision < 3 && amount % 1_000 != 0 {
            let text = format!("date_add of milliseconds to {}", listing(&kind.data_type()));
            return Err(unsupported(format!("{text} is not supported")));
        }
        let sum = i128::from(ticks) + super::text::rescale(amount, 3, precision);
        if let Kind::Time(precision) = kind {
            let day = i128::from(DAY * per_second(*precision));
            return i64::try_from(sum.rem_euclid(day)).map_err(|_| failure());
        }
        return i64::try_from(sum).map_err(|_| failure());
    }
    let local = kind.local(ticks)?;
    let moved = match unit.months() {
        Some(months) => amount.checked_mul(months).and_then(|by| add_months(&local, by)),
        None => {
            let days = if unit == Unit::Week { 7 } else { 1 };
            let by = amount.checked_mul(days).and_then(TimeDelta::try_days);
            by.and_then(|by| local.checked_add_signed(by))
        }
    };
    kind.ticks(&moved.ok_or_else(failure)?)
}

/// Whole units from one value to another, both on the clock of `kind`'s zone.
fn difference(kind: &Kind, from: &Point, to: &Point, unit: Unit) -> Result<i64, Failure> {
    let millis = |point: &Point| point.instant.and_utc().timestamp_millis();
    if let Some(size) = unit.millis() {
        return Ok((millis(to) - millis(from)) / size);
    }
    let cut = |local: &NaiveDateTime| {
        let millis = local.and_utc().timestamp_millis();
        chrono::DateTime::from_timestamp_millis(millis).map(|at| at.naive_utc())
    };
    let (Some(start), Some(end)) = (cut(&from.local), cut(&to.local)) else {
        return Err(out_of_range(kind));
    };
    Ok(match unit.months() {
        Some(months) => months_between(&start, &end) / months,
        None => {
            let days = if unit == Unit::Week { 7 } else { 1 };
            (end - start).num_milliseconds() / (DAY * 1_000) / days
        }
    })
}

/// A moment: as an instant and on a clock.
struct Point {
    instant: NaiveDateTime,
    local: NaiveDateTime,
}

impl Point {
    fn new(kind: &Kind, clock: &Kind, ticks: i64) -> Result<Self, Failure> {
        let instant = kind.instant(ticks)?;
        let local = match clock {
            Kind::Zoned(_, zone) => zone.local(&instant).ok_or_else(|| out_of_range(kind))?,
            _ => instant,
        };
        Ok(Self { instant, local })
    }
}

fn unit_typing(call: &Call<'_>, value: usize) -> Result<DataType, Failure> {
    let fits = call.count() == value + 1 && call.is_text(0) && (value == 1 || call.is_integer(1));
    match call.kind(value) {
        Some(kind) if fits && !kind.is_interval() => Ok(kind.data_type()),
        None if fits && call.is_null(value) => Ok(DataType::Date32),
        _ => Err(call.mismatch()),
    }
}

fn difference_typing(call: &Call<'_>) -> Result<DataType, Failure> {
    if call.count() != 3 || !call.is_text(0) {
        return Err(call.mismatch());
    }
    let zoned = |kind: &Kind| matches!(kind, Kind::Zoned(..));
    match (call.kind(1), call.kind(2)) {
        (Some(from), Some(to)) if from.has_date() && to.has_date() => {
            if zoned(&from) != zoned(&to) {
                return Err(unsupported(
                    "date_diff of values with and without time zone is not supported: cast one",
                ));
            }
            Ok(DataType::Int64)
        }
        (Some(Kind::Time(_)), Some(Kind::Time(_))) => Ok(DataType::Int64),
        (Some(kind), None) if call.is_null(2) && !kind.is_interval() => Ok(DataType::Int64),
        (None, Some(kind)) if call.is_null(1) && !kind.is_interval() => Ok(DataType::Int64),
        (None, None) if call.is_null(1) && call.is_null(2) => Ok(DataType::Int64),
        _ => Err(call.mismatch()),
    }
}

fn date_diff(rows: &Rows<'_>) -> Result<arrow::array::ArrayRef, Failure> {
    let (from, to) = (rows.temporal(1, &Kind::Date)?, rows.temporal(2, &Kind::Date)?);
    // Dates and timestamps together are timestamps.
    let clock = if from.kind == Kind::Date { &to.kind } else { &from.kind };
    let units = units(rows, clock)?;
    rows.ticks(|row| {
        let (Some(unit), Some(start), Some(end)) = (units[row], from.get(row), to.get(row)) else {
            return Ok(None);
        };
        let start = Point::new(&from.kind, clock, start)?;
        let end = Point::new(&to.kind, clock, end)?;
        difference(clock, &start, &end, unit).map(Some)
    })
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "date_trunc",
            |call| unit_typing(call, 1),
            |rows| {
                let column = rows.temporal(1, &Kind::Date)?;
                let units = units(rows, &column.kind)?;
                rows.ticks(|row| match (units[row], column.get(row)) {
                    (Some(unit), Some(ticks)) => truncate(&column.kind, ticks, unit).map(Some),
                    _ => Ok(None),
                })
            },
        ),
        function(
            "date_add",
            |call| unit_typing(call, 2),
            |rows| {
                let column = rows.temporal(2, &Kind::Date)?;
                let amounts = rows.integers(1)?;
                let units = units(rows, &column.kind)?;
                rows.ticks(|row| match (units[row], column.get(row)) {
                    (Some(unit), Some(ticks)) if !amounts.is_null(row) => {
                        add(&column.kind, ticks, unit, amounts.value(row)).map(Some)
                    }
                    _ => Ok(None),
                })
            },
        ),
        function("date_diff", difference_typing, date_diff),
        function(
            "last_day_of_month",
            |call| match call.kind(0) {
                Some(kind) if call.count() == 1 && kind.has_date() => Ok(DataType::Date32),
                None if call.count() == 1 && call.is_null(0) => Ok(DataType::Date32),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let column = rows.temporal(0, &Kind::Date)?;
                rows.ticks(|row| {
                    let Some(ticks) = column.get(row) else { return Ok(None) };
                    let date = column.kind.local(ticks)?.date();
                    let last = date.with_day(u32::from(date.num_days_in_month()));
                    last.map(|last| Some(days(last))).ok_or_else(|| out_of_range(&Kind::Date))
                })
            },
        ),
    ]
}

/// Ticks with other digits.
///
/// # Errors
/// NUMERIC_VALUE_OUT_OF_RANGE.
pub(super) fn with_precision(kind: &Kind, ticks: i64, precision: u8) -> Result<i64, Failure> {
    let rescaled = rescaled(ticks, kind.precision(), precision);
    let rescaled = rescaled.ok_or_else(|| out_of_range(&kind.with_precision(precision)))?;
    match kind {
        // What is rounded up to midnight is midnight.
        Kind::Time(_) => Ok(rescaled % (DAY * per_second(precision))),
        _ => Ok(rescaled),
    }
}
