//! Names as users know them: without the planner's marks.

use arrow::datatypes::{Field, Schema};
use waterbear_types::TrinoType;

/// The text of an expression or a name without the marks that tell namesakes apart.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Between a name and the number that tells it from its namesakes.
            '\u{1f}' if clean.ends_with(|c: char| c.is_alphanumeric()) => clean.push('_'),
            '\u{1f}' => clean.push_str("expr_"),
            c => clean.push(c),
        }
    }
    clean
}

/// The text of a physical expression: `n_name@1 = x` is `n_name = x`.
pub(super) fn without_positions(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        clean.push_str(before);
        let digits = after.chars().take_while(char::is_ascii_digit).count();
        if digits == 0 {
            clean.push('@');
        }
        rest = after.get(digits..).unwrap_or_default();
    }
    clean.push_str(rest);
    self::clean(&clean)
}

/// Names and types of a schema's columns.
pub(super) fn outputs(schema: &Schema) -> Vec<(String, String)> {
    schema.fields().iter().map(|field| (clean(field.name()), type_of(field))).collect()
}

fn type_of(field: &Field) -> String {
    match TrinoType::of_field(field) {
        Ok(known) => known.listing(),
        Err(_) => field.data_type().to_string(),
    }
}
