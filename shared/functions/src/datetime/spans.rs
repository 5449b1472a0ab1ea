//! Spans of time in words: `human_readable_seconds`, `parse_duration`, `to_milliseconds`.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use waterbear_protocol::Failure;

use super::udf::{bad_argument, function};
use super::value::Kind;

/// `93784` as `1 day, 2 hours, 3 minutes, 4 seconds`.
fn human_readable(seconds: f64) -> Result<String, Failure> {
    if !seconds.is_finite() {
        return Err(bad_argument(format!("Invalid argument found: {seconds}")));
    }
    let mut rest = seconds.abs().round() as u64;
    let mut words = Vec::new();
    for (size, unit) in
        [(604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")]
    {
        let count = rest / size;
        rest %= size;
        if count > 0 || unit == "second" && words.is_empty() {
            words.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    Ok(words.join(", "))
}

/// Milliseconds of `3.5h`.
fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(end);
    let number = number.trim();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let millis = match unit {
        "ns" => 1e-6,
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 6e4,
        "h" => 3.6e6,
        "d" => 8.64e7,
        _ => return None,
    };
    let millis = number.parse::<f64>().ok()? * millis;
    (millis < 9.0e18).then(|| millis.round() as i64)
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "human_readable_seconds",
            |call| match call.count() {
                1 if call.is_number(0) => Ok(DataType::Utf8),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let seconds = rows.doubles(0)?;
                rows.texts(|row| match seconds.is_null(row) {
                    true => Ok(None),
                    false => human_readable(seconds.value(row)).map(Some),
                })
            },
        ),
        function(
            "parse_duration",
            |call| match call.count() {
                1 if call.is_text(0) => Ok(Kind::DaySecond.data_type()),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let texts = rows.text(0)?;
                rows.ticks(|row| {
                    if texts.is_null(row) {
                        return Ok(None);
                    }
                    let text = texts.value(row);
                    let failure = || {
                        bad_argument(format!(
                            "duration is not a valid data duration string: {text}"
                        ))
                    };
                    parse_duration(text).map(Some).ok_or_else(failure)
                })
            },
        ),
        function(
            "to_milliseconds",
            |call| match call.kind(0) {
                Some(Kind::DaySecond) if call.count() == 1 => Ok(DataType::Int64),
                _ => Err(call.mismatch()),
            },
            |rows| {
                let interval = rows.temporal(0, &Kind::DaySecond)?;
                rows.ticks(|row| Ok(interval.get(row)))
            },
        ),
    ]
}
