//! JSON paths: `$`, `.key`, `[0]`, `["key"]`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::scalar::{Evaluated, TextArgument, invalid};

/// The keys and positions that lead to a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<String>);

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// INVALID_FUNCTION_ARGUMENT.
    pub fn new(text: &str) -> Evaluated<Self> {
        Self::read(text).ok_or_else(|| invalid(format!("Invalid JSON path: '{text}'")))
    }

    fn read(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$')?;
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix('.') {
                let (step, behind) = word(behind, |c| c == ':' || is_plain(c))?;
                steps.push(step.to_owned());
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix("[\"") {
                let (step, behind) = quoted(behind)?;
                steps.push(step);
                rest = behind.strip_prefix(']')?;
            } else {
                let (step, behind) = word(rest.strip_prefix('[')?, is_plain)?;
                steps.push(step.to_owned());
                rest = behind.strip_prefix(']')?;
            }
        }
        Some(Self(steps))
    }

    pub fn steps(&self) -> &[String] {
        &self.0
    }
}

fn is_plain(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The characters that fit, of which there must be one, and what stands behind them.
fn word(text: &str, fits: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Up to the closing quote; a backslash escapes a quote or itself.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut step = String::new();
    let mut rest = text.char_indices();
    loop {
        match rest.next()? {
            (at, '"') => return Some((step, &text[at + 1..])),
            (_, '\\') => match rest.next()? {
                (_, c @ ('"' | '\\')) => step.push(c),
                _ => return None,
            },
            (_, c) => step.push(c),
        }
    }
}

/// The paths of one call, read once each.
pub(super) struct Paths {
    texts: TextArgument,
    read: HashMap<String, Arc<JsonPath>>,
}

impl Paths {
    pub fn new(texts: TextArgument) -> Self {
        Self { texts, read: HashMap::new() }
    }

    /// A row's path.
    pub fn get(&mut self, row: usize) -> Option<Evaluated<Arc<JsonPath>>> {
        let text = self.texts.get(row)?;
        if let Some(path) = self.read.get(text) {
            return Some(Ok(Arc::clone(path)));
        }
        Some(JsonPath::new(text).map(|path| {
            let path = Arc::new(path);
            self.read.insert(text.to_owned(), Arc::clone(&path));
            path
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_trinos() {
        for (text, steps) in [
            ("$", vec![]),
            ("$.a.b:c[0]", vec!["a", "b:c", "0"]),
            (r#"$["a b"]["\"\\"]"#, vec!["a b", "\"\\"]),
        ] {
            assert_eq!(JsonPath::new(text).unwrap().steps(), steps, "{text}");
        }
        for text in ["", "a", "$.", "$..a", "$.*", "$[", "$[]", "$[\"a]", "$[-1]", "$.a b"] {
            assert!(JsonPath::new(text).is_err(), "{text}");
        }
    }
}
