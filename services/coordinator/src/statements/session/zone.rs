//! SET TIME ZONE.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use waterbear_dialect::{ClientContext, check_time_zone};
use waterbear_protocol::{ErrorCode, Failure};

use super::constant::Constant;

const NANOS_PER_MINUTE: i128 = 60_000_000_000;
/// The offsets that Trino has.
const MAX_MINUTES: i128 = 14 * 60;

/// The zone that the session began with.
pub(super) fn local(context: &ClientContext) -> String {
    context.client_time_zone.clone().unwrap_or_else(|| "UTC".to_owned())
}

/// The id of the zone that a value names: its id or offset, or an interval as the offset.
///
/// # Errors
/// NOT_SUPPORTED for zones that nobody knows, TYPE_MISMATCH for other types, INVALID_LITERAL for
/// intervals that are no offset.
pub(super) fn id(value: &Constant) -> Result<String, Failure> {
    if let Some(name) = value.text() {
        check_time_zone(&name)?;
        return Ok(name);
    }
    let Some(nanos) = nanoseconds(&value.value) else {
        let message = format!(
            "Expected expression of varchar or interval day-time type, but expression has {} type",
            value.trino_type.listing()
        );
        return Err(Failure::new(ErrorCode::TYPE_MISMATCH, message));
    };
    let minutes = nanos / NANOS_PER_MINUTE;
    let invalid = |text: &str| Err(Failure::new(ErrorCode::INVALID_LITERAL, text));
    if nanos % NANOS_PER_MINUTE != 0 {
        return invalid("Invalid time zone offset interval: interval contains seconds");
    }
    if minutes.abs() > MAX_MINUTES {
        return invalid("Invalid offset minutes: it must be between -14 and 14 hours");
    }
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.abs();
    Ok(format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
}

/// The length of an interval day to second.
fn nanoseconds(value: &ArrayRef) -> Option<i128> {
    if value.is_null(0) {
        return None;
    }
    let days = |days: i32| i128::from(days) * 1_440 * NANOS_PER_MINUTE;
    match value.data_type() {
        DataType::Interval(IntervalUnit::DayTime) => {
            let value = value.as_primitive::<IntervalDayTimeType>().value(0);
            Some(days(value.days) + i128::from(value.milliseconds) * 1_000_000)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = value.as_primitive::<IntervalMonthDayNanoType>().value(0);
            (value.months == 0).then(|| days(value.days) + i128::from(value.nanoseconds))
        }
        DataType::Duration(unit) => {
            let (value, nanos) = match unit {
                TimeUnit::Second => {
                    (value.as_primitive::<DurationSecondType>().value(0), 1_000_000_000)
                }
                TimeUnit::Millisecond => {
                    (value.as_primitive::<DurationMillisecondType>().value(0), 1_000_000)
                }
                TimeUnit::Microsecond => {
                    (value.as_primitive::<DurationMicrosecondType>().value(0), 1_000)
                }
                TimeUnit::Nanosecond => {
                    (value.as_primitive::<DurationNanosecondType>().value(0), 1)
                }
            };
            Some(i128::from(value) * nanos)
        }
        _ => None,
    }
}
