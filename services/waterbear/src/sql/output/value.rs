//! The text of a value.

use std::borrow::Cow;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The text of a value in the protocol's JSON, or none for NULL. Numbers stay as they were sent;
/// arrays and maps read as in Trino's CLI: `[1, 2]`, `{k=v}`.
pub fn text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') => Some(string(json).into()),
        Some(b'[') => Some(array(json).into()),
        Some(b'{') => Some(map(json).into()),
        _ => Some(json.into()),
    }
}

/// The text of a value for people, who must tell NULL from nothing.
pub fn shown(json: &str) -> Cow<'_, str> {
    text(json).unwrap_or(Cow::Borrowed("NULL"))
}

/// A JSON object of names and values in JSON.
pub fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let fields = fields.map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn string(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

fn array(json: &str) -> String {
    let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    let elements: Vec<_> = elements.into_iter().map(|element| shown(element.get())).collect();
    format!("[{}]", elements.join(", "))
}

fn map(json: &str) -> String {
    let entries = serde_json::Deserializer::from_str(json).deserialize_map(Entries);
    let entries = entries.unwrap_or_default().into_iter();
    let entries: Vec<_> = entries.map(|(key, v)| format!("{key}={}", shown(v.get()))).collect();
    format!("{{{}}}", entries.join(", "))
}

/// Reads an object's entries in their order.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Box<RawValue>)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
