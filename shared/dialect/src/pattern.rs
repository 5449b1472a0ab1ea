//! LIKE patterns: `%`, `_` and an escape character that there is none of unless one is named.

use waterbear_protocol::{ErrorCode, Failure};

/// The pattern of a LIKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikePattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Literal(char),
    One,
    Any,
}

impl LikePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// INVALID_FUNCTION_ARGUMENT when the escape is not one character, or does not escape.
    pub fn new(pattern: &str, escape: Option<&str>) -> Result<Self, Failure> {
        let invalid = |text: &str| Failure::new(ErrorCode::INVALID_FUNCTION_ARGUMENT, text);
        let escape = match escape {
            None => None,
            Some(text) => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(escape), None) => Some(escape),
                    _ => return Err(invalid("Escape string must be a single character")),
                }
            }
        };
        let mut items = Vec::with_capacity(pattern.len());
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            items.push(match c {
                c if Some(c) == escape => match chars.next() {
                    Some(next) if next == '%' || next == '_' || Some(next) == escape => {
                        Item::Literal(next)
                    }
                    _ => {
                        return Err(invalid(
                            "Escape character must be followed by '%', '_' or the escape character itself",
                        ));
                    }
                },
                '%' => Item::Any,
                '_' => Item::One,
                c => Item::Literal(c),
            });
        }
        Ok(Self { items })
    }

    /// True when the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut item) = (0, 0);
        // Where to go on when a literal does not fit: the last `%` takes one character more.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.items.get(item) {
                Some(Item::Any) => {
                    retry = Some((at, item + 1));
                    item += 1;
                }
                Some(Item::One) => (at, item) = (at + 1, item + 1),
                Some(Item::Literal(c)) if *c == text[at] => (at, item) = (at + 1, item + 1),
                _ => match retry {
                    None => return false,
                    Some((from, after)) => {
                        retry = Some((from + 1, after));
                        (at, item) = (from + 1, after);
                    }
                },
            }
        }
        self.items[item..].iter().all(|item| *item == Item::Any)
    }

    /// The same pattern for an engine whose escape character is always the backslash.
    pub(super) fn with_backslashes(&self) -> String {
        let mut pattern = String::new();
        for item in &self.items {
            match item {
                Item::Any => pattern.push('%'),
                Item::One => pattern.push('_'),
                Item::Literal(c) => {
                    if matches!(c, '%' | '_' | '\\') {
                        pattern.push('\\');
                    }
                    pattern.push(*c);
                }
            }
        }
        pattern
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_trinos() {
        let cases = [
            ("sf%", None, "sf10", true),
            ("sf%", None, "tiny", false),
            ("%a%b", None, "xaybab", true),
            ("_", None, "é", true),
            ("", None, "", true),
            ("%", None, "", true),
            (r"a\_b", None, r"a\xb", true),
            (r"a\_b", Some("\\"), "a_b", true),
            (r"a\_b", Some("\\"), "axb", false),
            ("a#%#%", Some("#"), "a%%", true),
        ];
        for (pattern, escape, text, expected) in cases {
            let like = LikePattern::new(pattern, escape).unwrap();
            assert_eq!(like.matches(text), expected, "{pattern} {text}");
        }
        assert!(LikePattern::new("a#b", Some("#")).is_err());
        assert!(LikePattern::new("a#", Some("#")).is_err());
        assert!(LikePattern::new("a", Some("##")).is_err());
    }

    #[test]
    fn backslashes_are_literal_without_an_escape() {
        let like = |pattern, escape| LikePattern::new(pattern, escape).unwrap().with_backslashes();
        assert_eq!(like(r"a\b%", None), r"a\\b%");
        assert_eq!(like("a#%b_", Some("#")), r"a\%b_");
    }
}
