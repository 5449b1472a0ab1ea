//! The columns of CSV and JSON files, from their first rows.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use serde_json::Value;

/// Rows of each file that are looked at to find the types of its columns.
pub(super) const ROWS: usize = 1000;

/// What some editors put before a text.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads the columns of a CSV file off its header and first rows. DataFusion's own way stumbles
/// over line breaks inside of quotes.
///
/// # Errors
/// If the file cannot be read, or is no CSV.
pub(super) fn csv(path: &Path) -> Result<SchemaRef, String> {
    let file = || File::open(path).map(BufReader::new).map_err(|error| error.to_string());
    let format = Format::default().with_header(true);
    let (schema, _) =
        format.infer_schema(file()?, Some(ROWS)).map_err(|error| error.to_string())?;
    if schema.fields().is_empty() {
        return Err("it has no header".to_owned());
    }
    let schema = Arc::new(schema);
    // What looks like a date may be none, such as the 30th of February.
    let reads = |index: usize| {
        let reader = ReaderBuilder::new(Arc::clone(&schema))
            .with_header(true)
            .with_batch_size(ROWS)
            .with_projection(vec![index])
            .build(file()?);
        let first = reader.map_err(|error| error.to_string())?.next();
        Ok::<_, String>(first.is_none_or(|rows| rows.is_ok()))
    };
    let mut fields = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let is_text = field.data_type() == &DataType::Date32 && !reads(index)?;
        let data_type = if is_text { DataType::Utf8 } else { field.data_type().clone() };
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Reads the columns of a JSON file off its first objects, one a line; in the order of their names.
///
/// # Errors
/// If the file cannot be read, or its rows do not go together: the line and the column.
pub(super) fn json(path: &Path) -> Result<SchemaRef, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut columns = DataType::Struct(Fields::empty());
    let mut rows = 0;
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| error.to_string())?;
        let line = match index {
            0 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line),
            _ => line.as_slice(),
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = |reason: String| format!("line {}: {reason}", index + 1);
        let row: Value = serde_json::from_slice(line).map_err(|error| place(error.to_string()))?;
        if !row.is_object() {
            return Err(place("it is no JSON object".to_owned()));
        }
        columns = type_of(&row).and_then(|row| wider(&columns, &row)).map_err(place)?;
        rows += 1;
        if rows == ROWS {
            break;
        }
    }
    match columns {
        DataType::Struct(fields) => Ok(Arc::new(Schema::new(fields))),
        other => Err(format!("its rows are {other}")),
    }
}

fn type_of(value: &Value) -> Result<DataType, String> {
    Ok(match value {
        Value::Null => DataType::Null,
        Value::Bool(_) => DataType::Boolean,
        Value::Number(number) if number.is_i64() => DataType::Int64,
        Value::Number(_) => DataType::Float64,
        Value::String(_) => DataType::Utf8,
        Value::Array(items) => {
            let mut item = DataType::Null;
            for value in items {
                item = wider(&item, &type_of(value)?)?;
            }
            DataType::new_list(item, true)
        }
        Value::Object(members) => {
            let field = |(name, value): (&String, &Value)| {
                Ok::<_, String>(Field::new(name, type_of(value)?, true))
            };
            let fields: Result<Vec<Field>, String> = members.iter().map(field).collect();
            DataType::Struct(fields?.into())
        }
    })
}

/// Returns the type that has the values of both: a text, if they have nothing else in common.
///
/// # Errors
/// If one is an array or an object, and the other is none.
pub(super) fn wider(one: &DataType, other: &DataType) -> Result<DataType, String> {
    Ok(match (one, other) {
        _ if one == other => one.clone(),
        (DataType::Null, known) | (known, DataType::Null) => known.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
            DataType::Float64
        }
        (DataType::List(one), DataType::List(other)) => {
            DataType::new_list(wider(one.data_type(), other.data_type())?, true)
        }
        (DataType::Struct(one), DataType::Struct(other)) => DataType::Struct(together(one, other)?),
        _ if one.is_nested() || other.is_nested() => {
            return Err(format!("{} here and {} in another row", kind(other), kind(one)));
        }
        _ => DataType::Utf8,
    })
}

fn kind(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::List(_) => "an array",
        DataType::Struct(_) => "an object",
        _ => "a scalar",
    }
}

/// The fields of both, those that only the second has last.
fn together(one: &Fields, other: &Fields) -> Result<Fields, String> {
    let mut fields: Vec<FieldRef> = one.iter().cloned().collect();
    for field in other {
        match fields.iter_mut().find(|known| known.name() == field.name()) {
            Some(known) => {
                let data_type = wider(known.data_type(), field.data_type())
                    .map_err(|reason| format!("{}: {reason}", field.name()))?;
                *known = Arc::new(Field::new(field.name(), data_type, true));
            }
            None => fields.push(Arc::clone(field)),
        }
    }
    Ok(fields.into())
}
