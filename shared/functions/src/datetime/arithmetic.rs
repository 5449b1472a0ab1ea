//! Sums, differences and products of values in time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use chrono::{Datelike, Months, NaiveDateTime};
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::{ErrorCode, Failure};

use super::udf::{Call, Rows, bad_argument, function};
use super::value::{DAY, DAY_MILLIS, Kind, out_of_range, per_second, rescaled};

/// `left + right`.
pub const PLUS: &str = "$temporal_plus";
/// `left - right`.
pub const MINUS: &str = "$temporal_minus";
/// An interval times a number.
pub const TIMES: &str = "$interval_times";
/// An interval divided by a number.
pub const DIVIDED: &str = "$interval_divided";
/// An interval with the other sign.
pub const NEGATED: &str = "$interval_negated";

/// The type of a value plus or minus an interval; `None` if Trino has no such operator.
fn moved(kind: &Kind, interval: &Kind) -> Option<Kind> {
    match (kind, interval) {
        (Kind::Date, Kind::DaySecond | Kind::YearMonth) => Some(Kind::Date),
        (Kind::Timestamp(_) | Kind::Zoned(..), Kind::YearMonth) => Some(kind.clone()),
        (
            Kind::Time(precision) | Kind::Timestamp(precision) | Kind::Zoned(precision, _),
            Kind::DaySecond,
        ) => Some(kind.with_precision((*precision).max(3))),
        (Kind::DaySecond, Kind::DaySecond) | (Kind::YearMonth, Kind::YearMonth) => {
            Some(kind.clone())
        }
        _ => None,
    }
}

/// The type of `left + right`; `None` if Trino has no such operator.
pub fn plus_type(left: &Kind, right: &Kind) -> Option<Kind> {
    moved(left, right).or_else(|| moved(right, left))
}

/// The type of `left - right`; `None` if Trino has no such operator.
pub fn minus_type(left: &Kind, right: &Kind) -> Option<Kind> {
    let dates = left.has_date() && right.has_date();
    let zones = matches!(left, Kind::Zoned(..)) == matches!(right, Kind::Zoned(..));
    if dates && zones || matches!((left, right), (Kind::Time(_), Kind::Time(_))) {
        return Some(Kind::DaySecond);
    }
    moved(left, right)
}

fn typing(call: &Call<'_>, result: fn(&Kind, &Kind) -> Option<Kind>) -> Result<DataType, Failure> {
    let (Some(left), Some(right)) = (call.kind(0), call.kind(1)) else {
        return Err(call.mismatch());
    };
    result(&left, &right).map(|kind| kind.data_type()).ok_or_else(|| call.mismatch())
}

/// A value `months` later; the day is at most the month's last. `None` out of range.
pub(super) fn add_months(local: &NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { local.checked_sub_months(count) } else { local.checked_add_months(count) }
}

/// `ticks` of a type plus an interval, in ticks of the type that [`moved`] gives.
fn add(kind: &Kind, ticks: i64, interval: &Kind, amount: i64) -> Result<i64, Failure> {
    let failure = || out_of_range(kind);
    match (kind, interval) {
        (Kind::DaySecond | Kind::YearMonth, _) => ticks.checked_add(amount).ok_or_else(failure),
        (Kind::Date, Kind::DaySecond) => {
            if amount % DAY_MILLIS != 0 {
                return Err(bad_argument("Cannot add hour, minutes or seconds to a date"));
            }
            ticks.checked_add(amount / DAY_MILLIS).ok_or_else(failure)
        }
        (_, Kind::YearMonth) => {
            let local = add_months(&kind.local(ticks)?, amount).ok_or_else(failure)?;
            kind.ticks(&local)
        }
        _ => {
            let precision = kind.precision().max(3);
            let ticks = rescaled(ticks, kind.precision(), precision).ok_or_else(failure)?;
            let amount = rescaled(amount, 3, precision).ok_or_else(failure)?;
            let sum = ticks.checked_add(amount).ok_or_else(failure)?;
            Ok(match kind {
                Kind::Time(_) => sum.rem_euclid(DAY * per_second(precision)),
                _ => sum,
            })
        }
    }
}

fn plus(rows: &Rows<'_>, sign: i64) -> Result<ArrayRef, Failure> {
    let (left, right) = (rows.temporal(0, &Kind::DaySecond)?, rows.temporal(1, &Kind::DaySecond)?);
    // The interval stands on either side of a plus; of two intervals the second is added.
    let (base, interval) = if right.kind.is_interval() { (left, right) } else { (right, left) };
    rows.ticks(|row| {
        let (Some(ticks), Some(amount)) = (base.get(row), interval.get(row)) else {
            return Ok(None);
        };
        let amount = amount.checked_mul(sign).ok_or_else(|| out_of_range(&interval.kind))?;
        add(&base.kind, ticks, &interval.kind, amount).map(Some)
    })
}

fn minus(rows: &Rows<'_>) -> Result<ArrayRef, Failure> {
    let (left, right) = (rows.temporal(0, &Kind::Date)?, rows.temporal(1, &Kind::Date)?);
    if right.kind.is_interval() {
        return plus(rows, -1);
    }
    let instant = |kind: &Kind, ticks: i64| match kind {
        Kind::Date => i128::from(ticks) * i128::from(DAY) * 1_000_000_000,
        _ => super::text::rescale(i128::from(ticks), kind.precision(), 9),
    };
    rows.ticks(|row| {
        let (Some(from), Some(to)) = (right.get(row), left.get(row)) else { return Ok(None) };
        let nanos = instant(&left.kind, to) - instant(&right.kind, from);
        let millis = super::text::rescale(nanos, 9, 3);
        i64::try_from(millis).map(Some).map_err(|_| out_of_range(&Kind::DaySecond))
    })
}

fn interval_typing(call: &Call<'_>) -> Result<DataType, Failure> {
    match call.kind(0) {
        Some(kind) if kind.is_interval() && (call.count() == 1 || call.is_number(1)) => {
            Ok(kind.data_type())
        }
        _ => Err(call.mismatch()),
    }
}

fn value_at<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    (!array.is_null(row)).then(|| array.value(row))
}

fn scaled(rows: &Rows<'_>, divide: bool) -> Result<ArrayRef, Failure> {
    let left = rows.temporal(0, &Kind::DaySecond)?;
    let failure = || out_of_range(&left.kind);
    if rows.is_integer(1) && !divide {
        let right = rows.integers(1)?;
        return rows.ticks(|row| match (left.get(row), value_at(&right, row)) {
            (Some(amount), Some(by)) => amount.checked_mul(by).map(Some).ok_or_else(failure),
            _ => Ok(None),
        });
    }
    let right = rows.doubles(1)?;
    rows.ticks(|row| {
        let (Some(amount), Some(by)) = (left.get(row), value_at(&right, row)) else {
            return Ok(None);
        };
        if divide && by == 0.0 {
            return Err(Failure::new(ErrorCode::DIVISION_BY_ZERO, "Division by zero"));
        }
        let result = if divide { amount as f64 / by } else { amount as f64 * by };
        // Exactly the doubles that fit a bigint when they are cut.
        if !(-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&result) {
            return Err(failure());
        }
        Ok(Some(result as i64))
    })
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(PLUS, |call| typing(call, plus_type), |rows| plus(rows, 1)),
        function(MINUS, |call| typing(call, minus_type), minus),
        function(TIMES, interval_typing, |rows| scaled(rows, false)),
        function(DIVIDED, interval_typing, |rows| scaled(rows, true)),
        function(NEGATED, interval_typing, |rows| {
            let interval = rows.temporal(0, &Kind::DaySecond)?;
            rows.ticks(|row| match interval.get(row) {
                None => Ok(None),
                Some(amount) => {
                    amount.checked_neg().map(Some).ok_or_else(|| out_of_range(&interval.kind))
                }
            })
        }),
    ]
}

/// Whole months from one value to another: the last day of a month is a month behind any day of
/// the month before that its month has not.
pub(super) fn months_between(from: &NaiveDateTime, to: &NaiveDateTime) -> i64 {
    if to < from {
        return -months_between(to, from);
    }
    let month = |at: &NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
    let months = month(to) - month(from);
    let last = to.date().succ_opt().is_none_or(|next| next.month() != to.month());
    let day = if last { from.day().min(to.day()) } else { from.day() };
    if (to.day(), to.time()) < (day, from.time()) { months - 1 } else { months }
}
