//! What sqlparser reads and Trino's grammar has not.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use waterbear_protocol::{ErrorLocation, Failure};

use super::lexer::mismatched;

/// Words that are no names without quotes.
const RESERVED: &[&str] = &[
    "ALTER",
    "AND",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "CUBE",
    "DEALLOCATE",
    "DELETE",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXECUTE",
    "EXISTS",
    "EXTRACT",
    "FALSE",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "NATURAL",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "PREPARE",
    "RIGHT",
    "SELECT",
    "TABLE",
    "THEN",
    "TRUE",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Checks the tokens of a query.
///
/// # Errors
/// SYNTAX_ERROR with its place.
pub(super) fn check(tokens: &[TokenWithSpan], end: ErrorLocation) -> Result<(), Failure> {
    for (at, token) in tokens.iter().enumerate() {
        let next = |by: usize| tokens.get(at + by);
        let (Some(one), two) = (next(1), next(2)) else { continue };
        let expecting = match word(token).as_deref() {
            Some("AS") if word(one).is_some_and(|word| RESERVED.contains(&word.as_str())) => {
                Some((one, "<identifier>"))
            }
            Some("LIMIT") if one.token == Token::Minus => Some((one, "'ALL', '?', <integer>")),
            Some("LIMIT") if matches!(one.token, Token::Number(..)) => two
                .filter(|two| word(two).as_deref() == Some("OFFSET"))
                .map(|two| (two, "')', <EOF>")),
            Some("DISTINCT") if one.token == Token::Mul => {
                let before = at.checked_sub(1).and_then(|before| tokens.get(before));
                let in_call = before.is_some_and(|before| before.token == Token::LParen);
                in_call.then_some((one, "<expression>"))
            }
            _ => None,
        };
        if let Some((token, expecting)) = expecting {
            return Err(mismatched(token, end, expecting));
        }
    }
    Ok(())
}

/// A word without quotes, in upper case.
fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::parse;

    #[test]
    fn what_trino_does_not_read_is_a_syntax_error_with_its_place() {
        for (text, column) in [
            ("SELECT 1 AS select", 13),
            ("SELECT 1 LIMIT -1", 16),
            ("SELECT x FROM t LIMIT 1 OFFSET 1", 25),
            ("SELECT count(DISTINCT *) FROM t", 23),
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.code.name(), "SYNTAX_ERROR", "{text}");
            assert_eq!(failure.location.unwrap().column_number, column, "{text}: {failure}");
        }
        for text in ["SELECT 1 AS \"select\"", "SELECT x FROM t OFFSET 1 LIMIT 1"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}
