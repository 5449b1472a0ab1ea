//! Patterns, checked for what Java's syntax and the engine's read differently.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use regex::{Captures, Regex};
use waterbear_protocol::{ErrorCode, Failure};

use crate::scalar::{Evaluated, TextArgument, invalid};

/// The patterns of one call: compiled once each.
pub(super) struct Patterns {
    texts: TextArgument,
    compiled: HashMap<String, Arc<Regex>>,
}

/// Where patterns come from a column, this many are kept.
const KEPT: usize = 1_000;

impl Patterns {
    pub fn new(texts: TextArgument) -> Self {
        Self { texts, compiled: HashMap::new() }
    }

    /// A row's pattern.
    pub fn get(&mut self, row: usize) -> Option<Evaluated<Arc<Regex>>> {
        let text = self.texts.get(row)?;
        if let Some(regex) = self.compiled.get(text) {
            return Some(Ok(Arc::clone(regex)));
        }
        let regex = match compile(text) {
            Ok(regex) => Arc::new(regex),
            Err(failure) => return Some(Err(failure)),
        };
        if self.compiled.len() >= KEPT {
            self.compiled.clear();
        }
        self.compiled.insert(text.to_owned(), Arc::clone(&regex));
        Some(Ok(regex))
    }
}

/// Compiles a pattern of Java's syntax.
///
/// # Errors
/// INVALID_FUNCTION_ARGUMENT for what is malformed, NOT_SUPPORTED for what the engine has not.
pub(super) fn compile(pattern: &str) -> Evaluated<Regex> {
    let translated = translate(pattern)?;
    Regex::new(&translated).map_err(|error| match error {
        regex::Error::Syntax(text) => {
            let reason = text.lines().last().unwrap_or_default();
            let reason = reason.trim().trim_start_matches("error: ");
            invalid(format!("Invalid regular expression '{pattern}': {reason}"))
        }
        other => invalid(format!("Invalid regular expression '{pattern}': {other}")),
    })
}

/// What means one thing in Java and another to the engine becomes the same, or is refused.
fn translate(pattern: &str) -> Evaluated<String> {
    let refuse = |what: &str| {
        let text = format!("Regular expression '{pattern}': {what} is not supported");
        Err(Failure::new(ErrorCode::NOT_SUPPORTED, text))
    };
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut class_depth = 0_u32;
    let mut after_quantifier = false;
    while let Some(c) = rest.next() {
        let quantifier = class_depth == 0 && matches!(c, '*' | '+' | '?' | '}');
        if quantifier && after_quantifier && matches!(c, '+' | '*') {
            return refuse("a possessive quantifier");
        }
        match c {
            '\\' => escape(&mut rest, class_depth, &mut translated, &refuse)?,
            '[' => {
                if class_depth > 0 && rest.peek() == Some(&':') {
                    return refuse("a POSIX class in brackets");
                }
                class_depth += 1;
                translated.push(c);
            }
            ']' => {
                class_depth = class_depth.saturating_sub(1);
                translated.push(c);
            }
            '-' | '~' if class_depth > 0 && rest.peek() == Some(&c) => {
                return refuse("a doubled '-' or '~' in a character class");
            }
            '(' if class_depth == 0 && rest.peek() == Some(&'?') => {
                group(&mut rest, &mut translated, &refuse)?;
            }
            c => translated.push(c),
        }
        // `??`, `*?`: the second mark only makes the first one lazy.
        after_quantifier = quantifier && !(after_quantifier && c == '?');
    }
    Ok(translated)
}

/// What stands behind a backslash.
fn escape(
    rest: &mut Peekable<Chars<'_>>,
    class_depth: u32,
    translated: &mut String,
    refuse: &dyn Fn(&str) -> Evaluated<String>,
) -> Evaluated<()> {
    let Some(escaped) = rest.next() else {
        translated.push('\\');
        return Ok(());
    };
    match escaped {
        // Literal text up to \E.
        'Q' if class_depth == 0 => {
            let mut literal = String::new();
            while let Some(c) = rest.next() {
                if c == '\\' && rest.peek() == Some(&'E') {
                    rest.next();
                    break;
                }
                literal.push(c);
            }
            translated.push_str(&regex::escape(&literal));
        }
        // Borders of words to the engine, plain characters in Java.
        '<' | '>' => translated.push(escaped),
        'b' | 'B' if rest.peek() == Some(&'{') => {
            refuse("\\b{...}")?;
        }
        '1'..='9' | 'k' => {
            refuse("a back-reference")?;
        }
        escaped => {
            translated.push('\\');
            translated.push(escaped);
        }
    }
    Ok(())
}

/// A group that begins with `(?`.
fn group(
    rest: &mut Peekable<Chars<'_>>,
    translated: &mut String,
    refuse: &dyn Fn(&str) -> Evaluated<String>,
) -> Evaluated<()> {
    let mut head = String::from("(");
    while let Some(c) = rest.peek().copied() {
        let ends = matches!(c, ')' | ':' | '=' | '!' | '>' | '<' | '\'' | 'P');
        head.push(c);
        rest.next();
        if ends {
            break;
        }
    }
    match head.as_str() {
        "(?=" | "(?!" => {
            refuse("look-ahead")?;
        }
        "(?>" => {
            refuse("an atomic group")?;
        }
        "(?<" => {
            if matches!(rest.peek(), Some('=' | '!')) {
                refuse("look-behind")?;
            }
        }
        "(?P" | "(?'" => {
            refuse("this kind of group")?;
        }
        flags if flags.contains(['U', 'u', 'R', 'd']) => {
            refuse("this flag")?;
        }
        _ => {}
    }
    translated.push_str(&head);
    Ok(())
}

/// The matches of a text from a byte on. An empty match may follow another match; the next
/// search begins one character behind it.
pub(super) fn matches<'t>(
    regex: &'t Regex,
    text: &'t str,
    from: usize,
) -> impl Iterator<Item = Captures<'t>> {
    let mut start = from;
    std::iter::from_fn(move || {
        if start > text.len() {
            return None;
        }
        let captures = regex.captures_at(text, start)?;
        let whole = captures.get(0)?;
        start = whole.end();
        if whole.is_empty() {
            start += text[start..].chars().next().map_or(1, char::len_utf8);
        }
        Some(captures)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_java_reads_otherwise_is_translated_or_refused() {
        for (pattern, text, found) in [
            (r"\Qa.b\E+", "a.bb", "a.bb"),
            (r"\<b\>", "<b>", "<b>"),
            (r"a+?", "aaa", "a"),
            (r"a??b", "ab", "ab"),
            (r"a{2}?", "aaa", "aa"),
            (r"(?i)É", "é", "é"),
            (r"(?<word>\w+)", "x y", "x"),
            (r"[a-c&&[b]]+", "abb", "bb"),
        ] {
            let regex = compile(pattern).unwrap();
            assert_eq!(regex.find(text).unwrap().as_str(), found, "{pattern}");
        }
        let unsupported = [
            "a++",
            "a*+",
            "a{2}+",
            "(?=a)",
            "(?!a)",
            "(?<=a)b",
            "(?<!a)b",
            "(?>a)",
            r"(a)\1",
            "(?U)a+",
            "[a--b]",
            "[[:alpha:]]",
            r"\b{start}",
        ];
        for pattern in unsupported {
            let failure = compile(pattern).unwrap_err();
            assert_eq!(failure.code.name(), "NOT_SUPPORTED", "{pattern}: {}", failure.message);
        }
        for pattern in ["(", "[", "*a"] {
            let failure = compile(pattern).unwrap_err();
            assert_eq!(failure.code.name(), "INVALID_FUNCTION_ARGUMENT", "{pattern}");
        }
    }
}
