//! Casts to varchar and char.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use waterbear_protocol::Failure;

use super::source::Source;
use super::{Rows, invalid};

impl Rows<'_> {
    pub(super) fn to_varchar(&self, length: Option<u32>) -> Result<ArrayRef, Failure> {
        let limit = length.map_or(usize::MAX, |length| length as usize);
        // What is no text is never cut.
        let whole = |text: String, shown: &str| {
            if text.len() <= limit {
                return Ok(text);
            }
            Err(invalid(format!("Value {shown} cannot be represented as varchar({limit})")))
        };
        let plain = |text: String| {
            let shown = text.clone();
            whole(text, &shown)
        };
        let float = |plain: String, scientific: String| {
            let text = scientific_text(&plain, &scientific);
            let shown = format!("{} ({text})", java_text(&plain, &scientific));
            whole(text, &shown)
        };
        let array: StringArray = match self.source {
            Source::Boolean(array) => self.map(array.iter(), |value| plain(value.to_string()))?,
            Source::Integer(array, _) => {
                self.map(array.iter(), |value| plain(value.to_string()))?
            }
            Source::Real(array) => {
                self.map(array.iter(), |value| float(value.to_string(), format!("{value:e}")))?
            }
            Source::Double(array) => {
                self.map(array.iter(), |value| float(value.to_string(), format!("{value:e}")))?
            }
            Source::Decimal(array, _, scale) => {
                self.map(array.iter(), |value| plain(decimal_text(value, *scale)))?
            }
            Source::Text(array) => match length {
                None => array.clone(),
                Some(_) => self.map(array.iter(), |text| Ok(cut(text, limit).to_owned()))?,
            },
            Source::Temporal(array) => self.map(array.iter(), |text| plain(text.to_owned()))?,
        };
        Ok(Arc::new(array))
    }

    /// A char is kept without the blanks at its end.
    pub(super) fn to_char(&self, length: u32) -> Result<ArrayRef, Failure> {
        let Source::Text(array) = self.source else {
            return Err(invalid(format!("Only texts can be cast to char({length})")));
        };
        let array: StringArray = self.map(array.iter(), |text| {
            Ok(cut(text, length as usize).trim_end_matches(' ').to_owned())
        })?;
        Ok(Arc::new(array))
    }
}

/// The first characters of a text.
fn cut(text: &str, length: usize) -> &str {
    match text.char_indices().nth(length) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

/// A text without the blanks and control characters around it.
pub(super) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// A decimal's text: always all digits of its scale.
pub(super) fn decimal_text(value: i128, scale: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let scale = usize::from(scale);
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// `1.0E0`, from Rust's plain and scientific texts of a float.
fn scientific_text(plain: &str, scientific: &str) -> String {
    match plain {
        "NaN" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        "0" | "-0" => format!("{plain}E0"),
        _ => match scientific.split_once('e') {
            Some((mantissa, exponent)) if mantissa.contains('.') => {
                format!("{mantissa}E{exponent}")
            }
            Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
            None => scientific.to_owned(),
        },
    }
}

/// A float as Java's `toString` shows it, from Rust's plain and scientific texts.
pub(super) fn java_text(plain: &str, scientific: &str) -> String {
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok());
    match exponent {
        Some(-3..=6) if plain.contains('.') => plain.to_owned(),
        Some(-3..=6) => format!("{plain}.0"),
        Some(_) | None => scientific_text(plain, scientific),
    }
}
