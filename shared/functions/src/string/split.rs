//! Texts divided at a delimiter.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, MapBuilder, StringBuilder};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Call, Evaluated, function, invalid, raise};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("split", split),
        function("split_part", split_part),
        function("split_to_map", split_to_map),
        function("split_to_multimap", split_to_multimap),
    ]
}

fn not_empty(delimiter: &str) -> Evaluated<&str> {
    if delimiter.is_empty() {
        return Err(invalid("The delimiter may not be the empty string"));
    }
    Ok(delimiter)
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, delimiter, limit) = (call.text(0)?, call.text(1)?, call.optional_integers(2)?);
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let limit = match &limit {
            Some(limit) => limit.get(row),
            None => Some(i64::from(i32::MAX)),
        };
        let (Some(text), Some(delimiter), Some(limit)) = (text.get(row), delimiter.get(row), limit)
        else {
            lists.append_null();
            continue;
        };
        if limit <= 0 {
            return Err(raise(invalid("Limit must be positive")));
        }
        if limit > i64::from(i32::MAX) {
            return Err(raise(invalid("Limit is too large")));
        }
        let delimiter = not_empty(delimiter).map_err(raise)?;
        for part in text.splitn(limit as usize, delimiter) {
            lists.values().append_value(part);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn split_part(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, delimiter, index) = (call.text(0)?, call.text(1)?, call.integers(2)?);
    call.make_texts(|row| {
        let (text, delimiter, index) = (text.get(row)?, delimiter.get(row)?, index.get(row)?);
        if index <= 0 {
            return Some(Err(invalid("Index must be greater than zero")));
        }
        let nth = usize::try_from(index - 1).ok()?;
        if delimiter.is_empty() {
            // Then every character is a part.
            let (at, character) = text.char_indices().nth(nth)?;
            return Some(Ok(&text[at..at + character.len_utf8()]));
        }
        text.split(delimiter).nth(nth).map(Ok)
    })
}

/// Keys and values in the order of the text; an empty text has none.
fn entries<'a>(text: &'a str, entry: &str, pair: &str) -> Evaluated<Vec<(&'a str, &'a str)>> {
    if entry.is_empty() {
        return Err(invalid("entryDelimiter is empty"));
    }
    if pair.is_empty() {
        return Err(invalid("keyValueDelimiter is empty"));
    }
    if entry == pair {
        return Err(invalid("entryDelimiter and keyValueDelimiter must not be the same"));
    }
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut parts: Vec<&str> = text.split(entry).collect();
    if parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    let bad = || {
        let message = "Key-value delimiter must appear exactly once in each entry. Bad input: ";
        invalid(format!("{message}'{text}'"))
    };
    let divide = |part: &'a str| match part.split_once(pair) {
        Some((key, value)) if !value.contains(pair) => Ok((key, value)),
        _ => Err(bad()),
    };
    parts.into_iter().map(divide).collect()
}

/// The arguments of a row, unless one is NULL.
type Row<'a> = Option<(&'a str, &'a str, &'a str)>;

fn maps(
    call: &Call<'_>,
    mut append: impl FnMut(Option<Vec<(&str, &str)>>) -> Result<()>,
) -> Result<()> {
    let (text, entry, pair) = (call.text(0)?, call.text(1)?, call.text(2)?);
    for row in 0..call.rows {
        let arguments: Row<'_> = text
            .get(row)
            .zip(entry.get(row))
            .zip(pair.get(row))
            .map(|((text, entry), pair)| (text, entry, pair));
        append(match arguments {
            Some((text, entry, pair)) => Some(entries(text, entry, pair).map_err(raise)?),
            None => None,
        })?;
    }
    Ok(())
}

fn split_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    maps(call, |entries| {
        let valid = entries.is_some();
        let mut seen = HashMap::new();
        for (key, value) in entries.into_iter().flatten() {
            if seen.insert(key, ()).is_some() {
                let message = format!("Duplicate keys ({key}) are not allowed");
                return Err(raise(invalid(message)));
            }
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        Ok(builder.append(valid)?)
    })?;
    Ok(Arc::new(builder.finish()))
}

fn split_to_multimap(call: &Call<'_>) -> Result<ArrayRef> {
    let values = ListBuilder::new(StringBuilder::new());
    let mut builder = MapBuilder::new(None, StringBuilder::new(), values);
    maps(call, |entries| {
        let valid = entries.is_some();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for (key, value) in entries.into_iter().flatten() {
            let place = *places.entry(key).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, values)) => values.push(value),
                None => groups.push((key, vec![value])),
            }
        }
        for (key, values) in groups {
            builder.keys().append_value(key);
            values.into_iter().for_each(|value| builder.values().values().append_value(value));
            builder.values().append(true);
        }
        Ok(builder.append(valid)?)
    })?;
    Ok(Arc::new(builder.finish()))
}
