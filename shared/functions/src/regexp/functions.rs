//! The functions of regular expressions.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::Int32Type;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use regex::{Captures, Regex};

use super::pattern::{Patterns, matches};
use crate::functions::Functions;
use crate::scalar::{Call, Evaluated, function, invalid, raise};

pub(crate) fn functions() -> Functions {
    Functions::of_scalars(vec![
        like(),
        count(),
        extract(),
        extract_all(),
        position(),
        replace(),
        split(),
    ])
}

/// Gives what is in a row's `Option<Evaluated<_>>`, or the row's NULL or failure.
macro_rules! evaluated {
    ($value:expr) => {
        match $value? {
            Ok(value) => value,
            Err(failure) => return Some(Err(failure)),
        }
    };
}

fn like() -> Arc<ScalarUDF> {
    function("regexp_like", |call| {
        let (text, mut patterns) = (call.text(0)?, Patterns::new(call.text(1)?));
        call.make_booleans(|row| {
            let text = text.get(row)?;
            Some(Ok(evaluated!(patterns.get(row)).is_match(text)))
        })
    })
}

fn count() -> Arc<ScalarUDF> {
    function("regexp_count", |call| {
        let (text, mut patterns) = (call.text(0)?, Patterns::new(call.text(1)?));
        call.make_integers(|row| {
            let text = text.get(row)?;
            let regex = evaluated!(patterns.get(row));
            Some(Ok(matches(&regex, text, 0).count() as i64))
        })
    })
}

/// The group that a call names, if the pattern has it.
fn checked_group(regex: &Regex, group: i64) -> Evaluated<usize> {
    let groups = regex.captures_len() - 1;
    match usize::try_from(group) {
        Err(_) => Err(invalid("Group cannot be negative")),
        Ok(group) if group <= groups => Ok(group),
        Ok(group) => {
            Err(invalid(format!("Pattern has {groups} groups. Cannot access group {group}")))
        }
    }
}

fn extract() -> Arc<ScalarUDF> {
    function("regexp_extract", |call| {
        let (text, mut patterns) = (call.text(0)?, Patterns::new(call.text(1)?));
        let groups = call.optional_integers(2)?;
        call.make_texts(|row| {
            let text = text.get(row)?;
            let group = match &groups {
                Some(groups) => groups.get(row)?,
                None => 0,
            };
            let regex = evaluated!(patterns.get(row));
            let group = evaluated!(Some(checked_group(&regex, group)));
            let captures = regex.captures(text)?;
            Some(Ok(captures.get(group)?.as_str()))
        })
    })
}

/// An array of texts for each row.
fn make_lists(
    call: &Call<'_>,
    mut row: impl FnMut(usize, &mut StringBuilder) -> Option<Evaluated<()>>,
) -> Result<ArrayRef> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for index in 0..call.rows {
        let filled = row(index, lists.values()).transpose().map_err(raise)?;
        lists.append(filled.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

fn extract_all() -> Arc<ScalarUDF> {
    function("regexp_extract_all", |call| {
        let (text, mut patterns) = (call.text(0)?, Patterns::new(call.text(1)?));
        let groups = call.optional_integers(2)?;
        make_lists(call, |row, values| {
            let text = text.get(row)?;
            let group = match &groups {
                Some(groups) => groups.get(row)?,
                None => 0,
            };
            let regex = evaluated!(patterns.get(row));
            let group = evaluated!(Some(checked_group(&regex, group)));
            for captures in matches(&regex, text, 0) {
                values.append_option(captures.get(group).map(|group| group.as_str()));
            }
            Some(Ok(()))
        })
    })
}

fn split() -> Arc<ScalarUDF> {
    function("regexp_split", |call| {
        let (text, mut patterns) = (call.text(0)?, Patterns::new(call.text(1)?));
        make_lists(call, |row, values| {
            let text = text.get(row)?;
            let regex = evaluated!(patterns.get(row));
            let mut last = 0;
            for whole in
                matches(&regex, text, 0).filter_map(|captures| captures.get(0).map(|m| m.range()))
            {
                values.append_value(&text[last..whole.start]);
                last = whole.end;
            }
            values.append_value(&text[last..]);
            Some(Ok(()))
        })
    })
}

fn position() -> Arc<ScalarUDF> {
    function("regexp_position", |call| {
        let (text, mut patterns) = (call.text(0)?, Patterns::new(call.text(1)?));
        let (starts, occurrences) = (call.optional_integers(2)?, call.optional_integers(3)?);
        call.make_numbers::<Int32Type>(|row| {
            let text = text.get(row)?;
            let start = starts.as_ref().map_or(Some(1), |starts| starts.get(row))?;
            let occurrence = occurrences.as_ref().map_or(Some(1), |nth| nth.get(row))?;
            let regex = evaluated!(patterns.get(row));
            Some(nth_position(&regex, text, start, occurrence))
        })
    })
}

/// Where the n-th match begins, in characters from one; -1 if there is none.
fn nth_position(regex: &Regex, text: &str, start: i64, occurrence: i64) -> Evaluated<i32> {
    if start < 1 {
        return Err(invalid("start position cannot be smaller than 1"));
    }
    if occurrence < 1 {
        return Err(invalid("occurrence cannot be smaller than 1"));
    }
    let Some((from, _)) = text.char_indices().nth(start as usize - 1) else { return Ok(-1) };
    let nth = matches(regex, text, from).nth(occurrence as usize - 1);
    let at = nth.as_ref().and_then(|captures| captures.get(0));
    Ok(at.map_or(-1, |at| text[..at.start()].chars().count() as i32 + 1))
}

fn replace() -> Arc<ScalarUDF> {
    function("regexp_replace", |call| {
        let (text, mut patterns) = (call.text(0)?, Patterns::new(call.text(1)?));
        let by = call.optional_text(2)?;
        call.make_texts(|row| {
            let text = text.get(row)?;
            let by = match &by {
                Some(by) => by.get(row)?,
                None => "",
            };
            let regex = evaluated!(patterns.get(row));
            Some(replaced(&regex, text, by))
        })
    })
}

fn replaced(regex: &Regex, text: &str, by: &str) -> Evaluated<String> {
    let mut whole = String::with_capacity(text.len());
    let (mut last, mut parts) = (0, None);
    for captures in matches(regex, text, 0) {
        let Some(range) = captures.get(0).map(|found| found.range()) else { continue };
        // Only now: without a match nobody complains of the replacement.
        let parts = match &parts {
            Some(parts) => parts,
            None => parts.insert(replacement(regex, by)?),
        };
        whole.push_str(&text[last..range.start]);
        parts.iter().for_each(|part| part.append(&captures, &mut whole));
        last = range.end;
    }
    whole.push_str(&text[last..]);
    Ok(whole)
}

enum Part {
    Literal(String),
    Group(usize),
}

impl Part {
    fn append(&self, captures: &Captures<'_>, whole: &mut String) {
        match self {
            Self::Literal(text) => whole.push_str(text),
            Self::Group(group) => {
                whole.push_str(captures.get(*group).map_or("", |group| group.as_str()));
            }
        }
    }
}

/// `$1` and `${name}` are groups; a backslash makes the next character plain.
fn replacement(regex: &Regex, by: &str) -> Evaluated<Vec<Part>> {
    let illegal = || invalid(format!("Illegal replacement sequence: {by}"));
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = by.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => literal.push(rest.next().ok_or_else(illegal)?),
            '$' => {
                let group = match rest.next().ok_or_else(illegal)? {
                    '{' => {
                        let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                        let names = regex.capture_names().position(|known| known == Some(&name));
                        names.ok_or_else(|| {
                            let text = "Illegal replacement sequence: unknown group";
                            invalid(format!("{text} {{ {name} }}"))
                        })?
                    }
                    digit => {
                        let first = digit.to_digit(10).ok_or_else(illegal)? as usize;
                        if first >= regex.captures_len() {
                            let text = "Illegal replacement sequence: unknown group";
                            return Err(invalid(format!("{text} {first}")));
                        }
                        // The largest group that there is.
                        let mut group = first;
                        while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                            let longer = group * 10 + digit as usize;
                            if longer >= regex.captures_len() {
                                break;
                            }
                            group = longer;
                            rest.next();
                        }
                        group
                    }
                };
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                parts.push(Part::Group(group));
            }
            c => literal.push(c),
        }
    }
    parts.push(Part::Literal(literal));
    Ok(parts)
}
