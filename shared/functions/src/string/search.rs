//! Where a text stands in another.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Call, Evaluated, function, invalid};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("strpos", strpos),
        function("starts_with", |call| test(call, |text, part| text.starts_with(part))),
        function("ends_with", |call| test(call, |text, part| text.ends_with(part))),
    ]
}

fn test(call: &Call<'_>, holds: fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let (text, part) = (call.text(0)?, call.text(1)?);
    call.make_booleans(|row| Some(Ok(holds(text.get(row)?, part.get(row)?))))
}

fn strpos(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, part, instance) = (call.text(0)?, call.text(1)?, call.optional_integers(2)?);
    call.make_integers(|row| {
        let instance = match &instance {
            Some(instance) => instance.get(row)?,
            None => 1,
        };
        Some(position(text.get(row)?, part.get(row)?, instance))
    })
}

/// The n-th occurrence, from the end when n is negative; 0 if there is none. Occurrences may
/// overlap.
fn position(text: &str, part: &str, instance: i64) -> Evaluated<i64> {
    if instance == 0 {
        return Err(invalid("'instance' must be a positive or negative number."));
    }
    if part.is_empty() {
        return Ok(1);
    }
    let nth = usize::try_from(instance.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let found = |at: &(usize, char)| text[at.0..].starts_with(part);
    let byte = if instance > 0 {
        text.char_indices().filter(found).nth(nth)
    } else {
        text.char_indices().rev().filter(found).nth(nth)
    };
    Ok(byte.map_or(0, |(byte, _)| text[..byte].chars().count() as i64 + 1))
}
