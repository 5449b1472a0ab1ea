//! JSON: text that keeps its numbers as they are written.

mod document;
mod path;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::functions::Functions;
use crate::scalar::{Call, Evaluated, TextArgument, function, invalid};
use document::{Kind, canonical, compact, first_value, text_of};
use path::{JsonPath, Paths};

pub(crate) fn functions() -> Functions {
    Functions::of_scalars(vec![
        function("is_json_scalar", is_scalar),
        function("json_array_contains", array_contains),
        function("json_array_length", |call| {
            let json = call.text(0)?;
            call.make_integers(|row| match Kind::of(first_value(json.get(row)?)?)? {
                Kind::Array(elements) => Some(Ok(elements.len() as i64)),
                _ => None,
            })
        }),
        function("json_extract", |call| extract(call, |found| compact(found).map(Ok))),
        function("json_extract_scalar", |call| extract(call, |found| text_of(found).map(Ok))),
        function("json_format", |call| {
            let json = call.text(0)?;
            call.make_texts(|row| Some(Ok(json.get(row)?)))
        }),
        function("json_parse", |call| {
            let text = call.text(0)?;
            call.make_texts(|row| Some(parse(text.get(row)?)))
        }),
        function("json_size", size),
        cast_to_varchar(),
    ])
}

fn parse(text: &str) -> Evaluated<String> {
    canonical(text).ok_or_else(|| invalid(format!("Cannot convert value to JSON: '{text}'")))
}

/// `$json_to_varchar`: the cast of a JSON value; a JSON null is NULL.
fn cast_to_varchar() -> Arc<ScalarUDF> {
    function("$json_to_varchar", |call| {
        let json = call.text(0)?;
        call.make_texts(|row| {
            let json = json.get(row)?;
            match Kind::of(first_value(json)?)? {
                Kind::Array(_) | Kind::Object(_) => Some(Err(cannot_cast(json))),
                _ => text_of(json).map(Ok),
            }
        })
    })
}

fn cannot_cast(json: &str) -> waterbear_protocol::Failure {
    let code = waterbear_protocol::ErrorCode::INVALID_CAST_ARGUMENT;
    waterbear_protocol::Failure::new(code, format!("Cannot cast '{json}' to varchar"))
}

fn is_scalar(call: &Call<'_>) -> Result<ArrayRef> {
    let json = call.text(0)?;
    call.make_booleans(|row| {
        let json = json.get(row)?;
        let kind = document::whole_value(json).and_then(Kind::of);
        Some(match kind {
            Some(kind) => Ok(!matches!(kind, Kind::Array(_) | Kind::Object(_))),
            None => Err(invalid(format!("Invalid JSON value: {json}"))),
        })
    })
}

/// What `of` makes of the value at a path; NULL when there is none or the text is no JSON.
fn extract(call: &Call<'_>, of: impl Fn(&str) -> Option<Evaluated<String>>) -> Result<ArrayRef> {
    let (json, mut paths) = (call.text(0)?, Paths::new(call.text(1)?));
    call.make_texts(|row| {
        let json = json.get(row)?;
        match paths.get(row)? {
            Ok(path) => of(find(json, &path)?),
            Err(failure) => Some(Err(failure)),
        }
    })
}

fn find<'a>(json: &'a str, path: &JsonPath) -> Option<&'a str> {
    let mut value = first_value(json)?;
    for step in path.steps() {
        value = match Kind::of(value)? {
            Kind::Object(entries) => {
                entries.into_iter().find(|(key, _)| key == step).map(|(_, value)| value)?
            }
            Kind::Array(elements) => elements.get(step.parse::<usize>().ok()?).copied()?,
            Kind::Scalar => return None,
        };
    }
    Some(value)
}

fn size(call: &Call<'_>) -> Result<ArrayRef> {
    let (json, mut paths) = (call.text(0)?, Paths::new(call.text(1)?));
    call.make_integers(|row| {
        let json = json.get(row)?;
        let path = match paths.get(row)? {
            Ok(path) => path,
            Err(failure) => return Some(Err(failure)),
        };
        Some(Ok(match Kind::of(find(json, &path)?)? {
            Kind::Array(elements) => elements.len() as i64,
            Kind::Object(entries) => entries.len() as i64,
            Kind::Scalar => 0,
        }))
    })
}

fn array_contains(call: &Call<'_>) -> Result<ArrayRef> {
    let json = call.text(0)?;
    match call.array(1)?.0.data_type() {
        DataType::Boolean => {
            let (wanted, constant) = call.array(1)?;
            let wanted = wanted.as_boolean().clone();
            contains(call, &json, |row, element| {
                let row = if constant { 0 } else { row };
                let wanted = wanted.is_valid(row).then(|| wanted.value(row))?;
                Some(element == if wanted { "true" } else { "false" })
            })
        }
        DataType::Int64 => {
            let wanted = call.integers(1)?;
            contains(call, &json, |row, element| {
                let wanted = wanted.get(row)?;
                Some(element.parse::<i64>().is_ok_and(|number| number == wanted))
            })
        }
        DataType::Float64 => {
            let wanted = call.doubles(1)?;
            contains(call, &json, |row, element| {
                let wanted = wanted.get(row)?;
                let fraction = element.contains(['.', 'e', 'E']) && !element.starts_with('"');
                Some(fraction && element.parse::<f64>().is_ok_and(|number| number == wanted))
            })
        }
        _ => {
            let wanted = call.text(1)?;
            contains(call, &json, |row, element| {
                let wanted = wanted.get(row)?;
                let is_text = element.starts_with('"');
                Some(is_text && text_of(element).is_some_and(|text| text == wanted))
            })
        }
    }
}

/// Whether an element is the wanted value; NULL when that is NULL or the JSON is no array.
fn contains(
    call: &Call<'_>,
    json: &TextArgument,
    is_wanted: impl Fn(usize, &str) -> Option<bool>,
) -> Result<ArrayRef> {
    call.make_booleans(|row| {
        // Also tells whether the wanted value is NULL.
        is_wanted(row, "")?;
        match Kind::of(first_value(json.get(row)?)?)? {
            Kind::Array(elements) => {
                Some(Ok(elements.iter().any(|element| is_wanted(row, element) == Some(true))))
            }
            _ => None,
        }
    })
}
