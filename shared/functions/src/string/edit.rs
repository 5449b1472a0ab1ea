//! Texts made of texts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use waterbear_types::TrinoType;

use crate::scalar::{Call, Evaluated, TextArray, TrinoFunction, function, invalid};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        TrinoFunction::new("concat", concat)
            .of_type(concat_type)
            .arrays_by("$array_concat")
            .shared(),
        TrinoFunction::new("concat_ws", concat_ws).nulls_count().shared(),
        function("length", length),
        function("lpad", |call| pad(call, true)),
        function("rpad", |call| pad(call, false)),
        function("trim", |call| trim(call, true, true)),
        function("ltrim", |call| trim(call, true, false)),
        function("rtrim", |call| trim(call, false, true)),
        function("replace", replace),
        TrinoFunction::new("reverse", reverse).arrays_by("$array_reverse").shared(),
        function("substr", substr),
        function("substring", substr),
        function("translate", translate),
    ]
}

/// True when an argument is bytes.
fn is_bytes(call: &Call<'_>) -> bool {
    matches!(call.result_type(), DataType::Binary)
}

fn concat_type(arguments: &[TrinoType]) -> Option<TrinoType> {
    match arguments {
        [TrinoType::Char(left), TrinoType::Char(right)] => Some(TrinoType::Char(left + right)),
        _ => None,
    }
}

fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    if call.arity() < 2 {
        return Err(crate::scalar::raise(invalid(
            "There must be two or more concatenation arguments",
        )));
    }
    if is_bytes(call) {
        let parts = (0..call.arity()).map(|index| call.bytes(index)).collect::<Result<Vec<_>>>()?;
        return call.make_bytes(|row| {
            let mut whole = Vec::new();
            for part in &parts {
                whole.extend_from_slice(part.get(row)?);
            }
            Some(Ok(whole))
        });
    }
    let parts = (0..call.arity()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    call.make_texts(|row| {
        let mut whole = String::new();
        for part in &parts {
            whole.push_str(part.get(row)?);
        }
        Some(Ok(whole))
    })
}

/// Skips NULLs; only a NULL separator gives NULL.
fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separator = call.text(0)?;
    let (second, _) = call.array(1)?;
    if matches!(second.data_type(), DataType::List(_)) {
        let lists = call.lists(1)?;
        return call.make_texts(|row| {
            let separator = separator.get(row)?;
            let elements = match TextArray::new(&lists.get(row)?) {
                Ok(elements) => elements,
                Err(error) => return Some(Err(crate::failure_of(&error))),
            };
            let parts: Vec<&str> =
                (0..elements.len()).filter_map(|index| elements.get(index)).collect();
            Some(Ok(parts.join(separator)))
        });
    }
    let parts = (1..call.arity()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    call.make_texts(|row| {
        let separator = separator.get(row)?;
        let parts: Vec<&str> = parts.iter().filter_map(|part| part.get(row)).collect();
        Some(Ok(parts.join(separator)))
    })
}

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let (array, _) = call.array(0)?;
    if TrinoType::of(array.data_type()) == Ok(TrinoType::Plain("varbinary")) {
        let bytes = call.bytes(0)?;
        return call.make_integers(|row| Some(Ok(bytes.get(row)?.len() as i64)));
    }
    let text = call.text(0)?;
    call.make_integers(|row| Some(Ok(text.get(row)?.chars().count() as i64)))
}

/// Trino pads up to a length that fits an int.
fn pad_length(length: i64) -> Evaluated<usize> {
    match usize::try_from(length) {
        Ok(length) if length <= i32::MAX as usize => Ok(length),
        _ => Err(invalid(format!("Target length must be in the range [0..{}]", i32::MAX))),
    }
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef> {
    let lengths = call.integers(1)?;
    if is_bytes(call) {
        let (bytes, fill) = (call.bytes(0)?, call.bytes(2)?);
        return call.make_bytes(|row| {
            let (bytes, length, fill) = (bytes.get(row)?, lengths.get(row)?, fill.get(row)?);
            Some(padded::<_, Vec<u8>>(bytes.iter().copied(), length, fill.iter().copied(), left))
        });
    }
    let (text, fill) = (call.text(0)?, call.text(2)?);
    call.make_texts(|row| {
        let (text, length, fill) = (text.get(row)?, lengths.get(row)?, fill.get(row)?);
        Some(padded::<_, String>(text.chars(), length, fill.chars(), left))
    })
}

/// Too long texts are cut at the right on both sides.
fn padded<T, C: FromIterator<T>>(
    text: impl Iterator<Item = T> + Clone,
    length: i64,
    fill: impl Iterator<Item = T> + Clone,
    left: bool,
) -> Evaluated<C> {
    let length = pad_length(length)?;
    if fill.clone().next().is_none() {
        return Err(invalid("Padding string must not be empty"));
    }
    let missing = length.saturating_sub(text.clone().count());
    let fill = fill.cycle().take(missing);
    let text = text.take(length);
    Ok(if left { fill.chain(text).collect() } else { text.chain(fill).collect() })
}

/// What Trino trims without being told: Java's white space without the spaces that do not break.
fn is_space(c: char) -> bool {
    match c {
        '\t'..='\r' | '\u{1c}'..='\u{1f}' | ' ' => true,
        '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}' => false,
        c => c.is_whitespace(),
    }
}

fn trim(call: &Call<'_>, start: bool, end: bool) -> Result<ArrayRef> {
    let (text, set) = (call.text(0)?, call.optional_text(1)?);
    call.make_texts(|row| {
        let text = text.get(row)?;
        let set = match &set {
            Some(set) => Some(set.get(row)?),
            None => None,
        };
        let trims = |c: char| set.map_or_else(|| is_space(c), |set| set.contains(c));
        let text = if start { text.trim_start_matches(trims) } else { text };
        Some(Ok(if end { text.trim_end_matches(trims) } else { text }))
    })
}

/// An empty search finds itself between all characters, as in Trino.
fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, search, by) = (call.text(0)?, call.text(1)?, call.optional_text(2)?);
    call.make_texts(|row| {
        let (text, search) = (text.get(row)?, search.get(row)?);
        let by = match &by {
            Some(by) => by.get(row)?,
            None => "",
        };
        Some(Ok(text.replace(search, by)))
    })
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    if is_bytes(call) {
        let bytes = call.bytes(0)?;
        return call
            .make_bytes(|row| Some(Ok(bytes.get(row)?.iter().rev().copied().collect::<Vec<_>>())));
    }
    let text = call.text(0)?;
    call.make_texts(|row| Some(Ok(text.get(row)?.chars().rev().collect::<String>())))
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let (starts, lengths) = (call.integers(1)?, call.optional_integers(2)?);
    let length = |row| match &lengths {
        Some(lengths) => lengths.get(row),
        None => Some(i64::MAX),
    };
    if is_bytes(call) {
        let bytes = call.bytes(0)?;
        return call.make_bytes(|row| {
            let bytes = bytes.get(row)?;
            let (from, count) = window(starts.get(row)?, length(row)?, bytes.len());
            Some(Ok(&bytes[from..from + count]))
        });
    }
    let text = call.text(0)?;
    call.make_texts(|row| {
        let (text, start, length) = (text.get(row)?, starts.get(row)?, length(row)?);
        if text.is_ascii() {
            let (from, count) = window(start, length, text.len());
            return Some(Ok(Cow::Borrowed(&text[from..from + count])));
        }
        let (from, count) = window(start, length, text.chars().count());
        Some(Ok(Cow::Owned(text.chars().skip(from).take(count).collect::<String>())))
    })
}

/// Positions count from one, or from the end when they are negative; outside there is nothing.
fn window(start: i64, length: i64, whole: usize) -> (usize, usize) {
    let whole = whole as i64;
    let from = match start {
        0 => return (0, 0),
        start if start > 0 => start - 1,
        start => whole.saturating_add(start),
    };
    if !(0..whole).contains(&from) || length <= 0 {
        return (0, 0);
    }
    (from as usize, length.min(whole - from) as usize)
}

/// Characters without a counterpart go; of repeated ones the first counts.
fn translate(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let table = |from: &str, to: &str| {
        let mut table = HashMap::new();
        let mut to = to.chars();
        for character in from.chars() {
            let by = to.next();
            table.entry(character).or_insert(by);
        }
        table
    };
    let constant = match (from.constant(), to.constant()) {
        (Some(Some(from)), Some(Some(to))) => Some(table(from, to)),
        _ => None,
    };
    call.make_texts(|row| {
        let (text, from, to) = (text.get(row)?, from.get(row)?, to.get(row)?);
        let table = match &constant {
            Some(table) => Cow::Borrowed(table),
            None => Cow::Owned(table(from, to)),
        };
        let translated = text.chars().filter_map(|c| table.get(&c).copied().unwrap_or(Some(c)));
        Some(Ok(translated.collect::<String>()))
    })
}
