//! Casts between types in time, and to them from text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::{ErrorCode, Failure};

use super::literal::named_type;
use super::udf::{Call, Rows, function, listing, unsupported};
use super::units::with_precision;
use super::value::{Column, Kind, out_of_range};
use super::zone::Zone;
use super::{parse, text};

/// `CAST(x AS type)`: `$temporal_cast(x, type)`. A type with a zone has the session's.
pub const CAST: &str = "$temporal_cast";
/// `TRY_CAST(x AS type)`: NULL where the cast fails.
pub const TRY_CAST: &str = "$temporal_try_cast";

/// `CAST(x AS varchar)`: `$temporal_text(x)`.
pub const TEXT: &str = "$temporal_text";

/// The type that a cast gives; `None` if Trino has no such cast.
pub fn cast_type(from: &Kind, to: &Kind) -> Option<Kind> {
    match (from, to) {
        (Kind::Zoned(_, zone), Kind::Zoned(precision, _)) => {
            Some(Kind::Zoned(*precision, zone.clone()))
        }
        (Kind::Date, Kind::Date | Kind::Timestamp(_) | Kind::Zoned(..))
        | (Kind::Timestamp(_), _)
        | (Kind::Zoned(..), _)
            if !to.is_interval() =>
        {
            Some(to.clone())
        }
        (Kind::Time(_), Kind::Time(_))
        | (Kind::DaySecond, Kind::DaySecond)
        | (Kind::YearMonth, Kind::YearMonth) => Some(to.clone()),
        _ => None,
    }
}

/// A value in another type that [`cast_type`] allows.
///
/// # Errors
/// NUMERIC_VALUE_OUT_OF_RANGE.
pub fn cast_ticks(from: &Kind, ticks: i64, to: &Kind) -> Result<i64, Failure> {
    if from == to {
        return Ok(ticks);
    }
    match (from, to) {
        (Kind::Zoned(..), Kind::Zoned(precision, _))
        | (Kind::Timestamp(_), Kind::Timestamp(precision))
        | (Kind::Time(_), Kind::Time(precision)) => with_precision(from, ticks, *precision),
        // In the finer precision first: rounding may reach into the next day.
        _ => {
            let middle = to.with_precision(to.precision().max(from.precision()));
            let ticks = middle.ticks(&from.local(ticks)?)?;
            with_precision(&middle, ticks, to.precision())
        }
    }
}

/// The values of an array in time in another type that [`cast_type`] allows.
///
/// # Errors
/// NUMERIC_VALUE_OUT_OF_RANGE.
pub fn cast_array(array: &ArrayRef, to: &Kind) -> Result<ArrayRef, Failure> {
    let column = Column::new(array)?;
    let cast = |row| column.get(row).map(|ticks| cast_ticks(&column.kind, ticks, to)).transpose();
    let ticks = (0..array.len()).map(cast).collect::<Result<Int64Array, Failure>>()?;
    to.array(&ticks)
}

/// A value from its text; `None` if the text is not one.
fn from_text(text: &str, to: &Kind) -> Option<Result<i64, Failure>> {
    let text = text.trim();
    match to {
        Kind::Date => parse::date(text).map(Ok),
        Kind::Time(precision) => {
            let (time, fraction) = parse::time(text)?;
            Some(parse::time_ticks(time, &fraction, *precision))
        }
        Kind::Timestamp(_) => {
            let written = parse::timestamp(text).filter(|written| written.zone.is_none())?;
            Some(parse::timestamp_ticks(&written, to))
        }
        Kind::Zoned(..) => {
            let written = parse::timestamp(text)?;
            let checked = in_zone(to, written.zone.as_ref());
            Some(checked.and_then(|()| parse::timestamp_ticks(&written, to)))
        }
        Kind::DaySecond | Kind::YearMonth => None,
    }
}

/// A column has one zone: a text with another one cannot be shown in it.
pub(super) fn in_zone(column: &Kind, written: Option<&Zone>) -> Result<(), Failure> {
    match (column, written) {
        (Kind::Zoned(_, zone), Some(other)) if other != zone => Err(unsupported(format!(
            "Values of the time zones {} and {} in one column are not supported",
            zone.name(),
            other.name()
        ))),
        _ => Ok(()),
    }
}

fn typing(call: &Call<'_>) -> Result<DataType, Failure> {
    let to = named_type(call, 1)?;
    if call.is_null(0) {
        return Ok(to.data_type());
    }
    if call.is_text(0) && !to.is_interval() {
        let zone = call.text(0).and_then(|text| parse::timestamp(text.trim())?.zone);
        return Ok(match (&to, zone) {
            (Kind::Zoned(precision, _), Some(zone)) => Kind::Zoned(*precision, zone).data_type(),
            _ => to.data_type(),
        });
    }
    let result = call.kind(0).and_then(|from| cast_type(&from, &to));
    result.map(|kind| kind.data_type()).ok_or_else(|| {
        let (from, to) = (call.listing(0), listing(&to.data_type()));
        Failure::new(ErrorCode::TYPE_MISMATCH, format!("Cannot cast {from} to {to}"))
    })
}

fn cast(rows: &Rows<'_>, tried: bool) -> Result<ArrayRef, Failure> {
    let to = Kind::of(rows.result).ok_or_else(|| {
        Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, "a cast to a type that is not in time")
    })?;
    let settle = |value: Result<i64, Failure>| match value {
        // What is not supported is no failure of the value.
        Err(failure) if tried && failure.code != ErrorCode::NOT_SUPPORTED => Ok(None),
        other => other.map(Some),
    };
    if rows.is_text(0) {
        let texts = rows.text(0)?;
        return rows.ticks(|row| {
            if texts.is_null(row) {
                return Ok(None);
            }
            let text = texts.value(row);
            settle(from_text(text, &to).unwrap_or_else(|| {
                let name = listing(&to.data_type()).replace(['(', ')'], " ");
                let base = name.split(' ').next().unwrap_or_default();
                let zoned = if matches!(to, Kind::Zoned(..)) { " with time zone" } else { "" };
                let message = format!("Value cannot be cast to {base}{zoned}: {text}");
                Err(Failure::new(ErrorCode::INVALID_CAST_ARGUMENT, message))
            }))
        });
    }
    let column = rows.temporal(0, &to)?;
    rows.ticks(|row| match column.get(row) {
        None => Ok(None),
        Some(ticks) => settle(cast_ticks(&column.kind, ticks, &to)),
    })
}

/// The texts of values in time, as CAST to varchar gives them. `None` for an array of another type.
///
/// # Errors
/// NUMERIC_VALUE_OUT_OF_RANGE for values out of the calendar's range.
pub fn to_varchar(array: &ArrayRef) -> Option<Result<StringArray, Failure>> {
    Kind::of(array.data_type())?;
    let texts = || {
        let column = Column::new(array)?;
        let text = |row| column.get(row).map(|ticks| text::print(&column.kind, ticks)).transpose();
        (0..array.len()).map(text).collect()
    };
    Some(texts())
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            TEXT,
            |call| match call.kind(0) {
                Some(_) if call.count() == 1 => Ok(DataType::Utf8),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let column = rows.temporal(0, &Kind::Date)?;
                rows.texts(|row| {
                    column.get(row).map(|ticks| text::print(&column.kind, ticks)).transpose()
                })
            },
        ),
        function(CAST, typing, |rows| cast(rows, false)),
        function(TRY_CAST, typing, |rows| cast(rows, true)),
        function(
            "date",
            |call| match call.kind(0) {
                _ if call.count() != 1 => Err(call.mismatch()),
                Some(kind) if kind.has_date() => Ok(DataType::Date32),
                None if call.is_text(0) => Ok(DataType::Date32),
                _ => Err(call.mismatch()),
            },
            |rows| cast(rows, false),
        ),
    ]
}

/// Ticks of an instant in another precision, for functions that count milliseconds.
pub(super) fn millis(kind: &Kind, ticks: i64) -> Result<i64, Failure> {
    match kind {
        Kind::Date => cast_ticks(kind, ticks, &Kind::Timestamp(3)),
        _ => with_precision(kind, ticks, 3).map_err(|_| out_of_range(kind)),
    }
}
