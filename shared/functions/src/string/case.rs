//! Single characters: their case, their numbers.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Call, function, invalid};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("lower", |call| map_characters(call, lower)),
        function("upper", |call| map_characters(call, upper)),
        function("chr", chr),
        function("codepoint", codepoint),
    ]
}

fn map_characters(call: &Call<'_>, map: fn(char) -> char) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.make_texts(|row| Some(Ok(text.get(row)?.chars().map(map).collect::<String>())))
}

/// One character for one: what becomes several in a full mapping stays as it is.
fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => {
            // Greek with iota below: the simple mapping gives the title case.
            let distance = match c {
                '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
                '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
                _ => 0,
            };
            char::from_u32(c as u32 + distance).unwrap_or(c)
        }
    }
}

fn lower(c: char) -> char {
    // The only one that the full mapping makes two characters of is İ.
    c.to_lowercase().next().unwrap_or(c)
}

fn chr(call: &Call<'_>) -> Result<ArrayRef> {
    let numbers = call.integers(0)?;
    call.make_texts(|row| {
        let number = numbers.get(row)?;
        let character = u32::try_from(number).ok().and_then(char::from_u32);
        Some(
            character
                .map(String::from)
                .ok_or_else(|| invalid(format!("Not a valid Unicode code point: {number}"))),
        )
    })
}

fn codepoint(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.make_numbers::<Int32Type>(|row| {
        let mut characters = text.get(row)?.chars();
        Some(match (characters.next(), characters.next()) {
            (Some(one), None) => Ok(one as i32),
            _ => Err(invalid("Input string must be a single character string")),
        })
    })
}
