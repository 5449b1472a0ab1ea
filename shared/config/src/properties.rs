//! The format of properties files: `property=value` lines, as Trino's.
//!
//! Only the first `=` splits; white space around names and values is dropped; lines that start with
//! `#` or `!` and blank lines are skipped. Unlike in Java there are no escapes: a backslash is
//! itself, except that one at the end of a line is refused, since Java would go on reading.

use zeroize::Zeroizing;

/// One `property=value` line. The value may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from one.
    pub number: usize,
    /// The property's name; it looks like one, and is safe to print.
    pub name: String,
    /// The value as written, before expansion.
    pub value: Zeroizing<String>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("number", &self.number).field("name", &self.name).finish()
    }
}

/// Why a line cannot be read. Never quotes a line: it may be a part of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Neither a property, nor a comment, nor blank.
    #[error(
        "expected 'property=value': a value stands on one line, or in a file of its own, with ${{FILE:path}}"
    )]
    NotAProperty,
    /// Java's continuation lines.
    #[error("'\\' at the end of a line does not continue it here: write the value on one line")]
    Continuation,
    /// The name was set before in the same file.
    #[error("{name}: is already set in line {first}: keep one of the two")]
    Duplicate {
        /// The property.
        name: String,
        /// The line that set it first.
        first: usize,
    },
}

/// Reads a file's text: all its properties, and each line that cannot be read with its number.
pub fn parse(text: &str) -> (Vec<Line>, Vec<(usize, LineError)>) {
    let (mut lines, mut errors) = (Vec::<Line>::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        match parse_line(line.trim()) {
            Ok(None) => {}
            Err(error) => errors.push((number, error)),
            Ok(Some((name, value))) => match lines.iter().find(|line| line.name == name) {
                Some(Line { number: first, .. }) => {
                    let error = LineError::Duplicate { name: name.to_owned(), first: *first };
                    errors.push((number, error));
                }
                None => {
                    let value = Zeroizing::new(value.to_owned());
                    lines.push(Line { number, name: name.to_owned(), value });
                }
            },
        }
    }
    (lines, errors)
}

fn parse_line(line: &str) -> Result<Option<(&str, &str)>, LineError> {
    if line.is_empty() || line.starts_with(['#', '!']) {
        return Ok(None);
    }
    if line.ends_with('\\') {
        return Err(LineError::Continuation);
    }
    let (name, value) = line.split_once('=').ok_or(LineError::NotAProperty)?;
    let name = name.trim();
    if !looks_like_a_name(name) {
        return Err(LineError::NotAProperty);
    }
    Ok(Some((name, value.trim())))
}

/// Whether a text may be printed as a property's name. The last line of a secret in base64 ends with
/// `=`, and so what stands before it is not printed unless it has what only names have.
pub(crate) fn looks_like_a_name(text: &str) -> bool {
    let separators = |c: char| matches!(c, '.' | '-' | '_');
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || separators(c)) || text.len() > 128 {
        return false;
    }
    let word = (1..=20).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase());
    word || text.contains(separators)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_equals_sign_splits_a_line() {
        let (lines, errors) = parse("\u{feff}# c\n! c\r\n\n  a.b = x=y = z \r\nempty=\n");
        assert_eq!(errors, []);
        let read: Vec<_> =
            lines.iter().map(|l| (l.number, l.name.as_str(), l.value.as_str())).collect();
        assert_eq!(read, [(4, "a.b", "x=y = z"), (5, "empty", "")]);
    }

    #[test]
    fn every_bad_line_is_reported_with_its_number() {
        let (lines, errors) = parse("a.b=1\nnonsense\na.b=2\n=3\nx.y=a\\\nz y=1\n");
        assert_eq!(lines.len(), 1);
        let duplicate = LineError::Duplicate { name: "a.b".to_owned(), first: 1 };
        let expected = [
            (2, LineError::NotAProperty),
            (3, duplicate),
            (4, LineError::NotAProperty),
            (5, LineError::Continuation),
            (6, LineError::NotAProperty),
        ];
        assert_eq!(errors, expected);
    }

    #[test]
    fn lines_of_a_secret_are_not_taken_for_names() {
        for line in ["q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=", "AbC9dEfG==", "a/b+c="] {
            let (lines, errors) = parse(line);
            assert_eq!((lines.len(), errors.len()), (0, 1), "{line}");
            assert!(!errors[0].1.to_string().contains(&line[..6]), "{line}");
        }
    }
}
