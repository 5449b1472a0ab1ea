//! The text of a value.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use waterbear_protocol::client::{Column, TypeArgument, TypeSignature};

use crate::sql::protocol::Value;

/// Bytes of a varbinary on a line for people.
const BYTES_A_LINE: usize = 16;

/// The texts of a row's values.
pub fn texts<'a>(columns: &'a [Column], row: &'a [Value]) -> impl Iterator<Item = Cow<'a, str>> {
    let text = |(column, value): (&'a Column, &'a Value)| {
        text(value.get(), &column.type_signature).unwrap_or_default()
    };
    columns.iter().zip(row).map(text)
}

/// The texts of a row's values for people, who must tell NULL from nothing, and see long
/// varbinaries on several lines.
pub fn shown_row(columns: &[Column], row: &[Value]) -> Vec<String> {
    let shown = |(column, value): (&Column, &Value)| {
        let of = &column.type_signature;
        match bytes(value.get(), of) {
            Some(bytes) => bytes.chunks(BYTES_A_LINE).map(hex).collect::<Vec<_>>().join("\n"),
            None => shown(value.get(), of).into_owned(),
        }
    };
    columns.iter().zip(row).map(shown).collect()
}

/// The text of a value in the protocol's JSON, or none for NULL. Numbers stay as they were sent;
/// the others read as in Trino's CLI: arrays `[1, 2]`, maps `{k=v}`, rows `{name=1, 2}`,
/// varbinaries `00 ff`.
fn text<'a>(json: &'a str, of: &TypeSignature) -> Option<Cow<'a, str>> {
    if let Some(bytes) = bytes(json, of) {
        return Some(hex(&bytes).into());
    }
    match json.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') => Some(string(json).into()),
        Some(b'[') if of.raw_type == "row" => Some(row(json, of).into()),
        Some(b'[') => Some(array(json, of).into()),
        Some(b'{') => Some(map(json, of).into()),
        _ => Some(json.into()),
    }
}

fn shown<'a>(json: &'a str, of: &TypeSignature) -> Cow<'a, str> {
    text(json, of).unwrap_or(Cow::Borrowed("NULL"))
}

/// The bytes of a varbinary.
fn bytes(json: &str, of: &TypeSignature) -> Option<Vec<u8>> {
    if of.raw_type != "varbinary" || !json.starts_with('"') {
        return None;
    }
    STANDARD.decode(string(json)).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// A JSON object of names and values in JSON.
pub fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let fields = fields.map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn string(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

/// The type of an argument, and its name if it is a field with one.
fn argument(of: &TypeSignature, index: usize) -> (TypeSignature, Option<&str>) {
    match of.arguments.get(index) {
        Some(TypeArgument::Type(inner)) => (inner.clone(), None),
        Some(TypeArgument::NamedType(field)) => {
            let name = field.field_name.as_ref().map(|name| name.name.as_str());
            (field.type_signature.clone(), name)
        }
        _ => (TypeSignature::plain("unknown"), None),
    }
}

fn elements(json: &str) -> Vec<&RawValue> {
    serde_json::from_str(json).unwrap_or_default()
}

fn array(json: &str, of: &TypeSignature) -> String {
    let (item, _) = argument(of, 0);
    let texts: Vec<_> = elements(json).into_iter().map(|v| shown(v.get(), &item)).collect();
    format!("[{}]", texts.join(", "))
}

fn row(json: &str, of: &TypeSignature) -> String {
    let field = |(index, value): (usize, &RawValue)| {
        let (inner, name) = argument(of, index);
        let text = shown(value.get(), &inner).into_owned();
        name.map_or(text.clone(), |name| format!("{name}={text}"))
    };
    let fields: Vec<_> = elements(json).into_iter().enumerate().map(field).collect();
    format!("{{{}}}", fields.join(", "))
}

fn map(json: &str, of: &TypeSignature) -> String {
    let (inner, _) = argument(of, 1);
    let entries = serde_json::Deserializer::from_str(json).deserialize_map(Entries);
    let entries = entries.unwrap_or_default().into_iter();
    let entries: Vec<_> =
        entries.map(|(key, v)| format!("{key}={}", shown(v.get(), &inner))).collect();
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
