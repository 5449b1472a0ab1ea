//! JSON texts: their parts as slices of the text, so that numbers stay as they are written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep values may be nested.
const MAX_DEPTH: usize = 500;

/// A value, one level deep.
pub(super) enum Kind<'a> {
    /// The texts of the elements.
    Array(Vec<&'a str>),
    /// Keys and the texts of their values, in their order.
    Object(Vec<(Cow<'a, str>, &'a str)>),
    /// A string, a number, a boolean or null.
    Scalar,
}

impl<'a> Kind<'a> {
    /// The parts of a value; nothing if the text is no JSON.
    pub fn of(json: &'a str) -> Option<Self> {
        match json.bytes().next()? {
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
                Some(Self::Array(elements.into_iter().map(RawValue::get).collect()))
            }
            b'{' => {
                let entries: Entries<'a> = serde_json::from_str(json).ok()?;
                Some(Self::Object(entries.0))
            }
            _ => Some(Self::Scalar),
        }
    }
}

/// An object's entries with repeated keys.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a str)>);

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(Cow<'de, str>, &'de str)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key.0, value.get()));
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Reader).map(Entries)
    }
}

/// The first value of a text, whatever stands behind it.
pub(super) fn first_value(text: &str) -> Option<&str> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    values.next()?.ok().map(RawValue::get)
}

/// The one value of a text.
pub(super) fn whole_value(text: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
}

/// A scalar as text: a string without its quotes. Nothing for null, arrays and objects.
pub(super) fn text_of(json: &str) -> Option<String> {
    match json.bytes().next()? {
        b'"' => serde_json::from_str(json).ok(),
        b'[' | b'{' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

/// The value without blanks.
pub(super) fn compact(json: &str) -> Option<String> {
    let mut text = String::with_capacity(json.len());
    write(json, false, 0, &mut text)?;
    Some(text)
}

/// The value without blanks and with its keys in order; of repeated keys the last one stays.
pub(super) fn canonical(text: &str) -> Option<String> {
    let mut canonical = String::with_capacity(text.len());
    write(whole_value(text)?, true, 0, &mut canonical)?;
    Some(canonical)
}

fn write(json: &str, sorted: bool, depth: usize, to: &mut String) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match Kind::of(json)? {
        Kind::Scalar if json.starts_with('"') => {
            let text: Cow<'_, str> = serde_json::from_str::<Key<'_>>(json).ok()?.0;
            to.push_str(&serde_json::to_string(&text).ok()?);
        }
        Kind::Scalar => to.push_str(json),
        Kind::Array(elements) => {
            to.push('[');
            for (index, element) in elements.into_iter().enumerate() {
                if index > 0 {
                    to.push(',');
                }
                write(element, sorted, depth + 1, to)?;
            }
            to.push(']');
        }
        Kind::Object(entries) => {
            let entries: Vec<(Cow<'_, str>, &str)> = match sorted {
                true => entries.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
                false => entries,
            };
            to.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    to.push(',');
                }
                to.push_str(&serde_json::to_string(&key).ok()?);
                to.push(':');
                write(value, sorted, depth + 1, to)?;
            }
            to.push('}');
        }
    }
    Some(())
}
