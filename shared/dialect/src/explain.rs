//! EXPLAIN: which form of a statement's plan is asked for.

use datafusion::sql::sqlparser::tokenizer::Token;
use waterbear_protocol::Failure;

use crate::lexer::Lexed;
use crate::metadata::Cursor;
use crate::{Statement, parse_lexed};

/// EXPLAIN of a statement.
#[derive(Debug, Clone)]
pub struct Explain {
    /// What of it is shown.
    pub kind: ExplainKind,
    /// How it is written. Of no meaning for IO (always JSON) and VALIDATE.
    pub format: ExplainFormat,
    /// The statement.
    pub statement: Box<Statement>,
}

/// What EXPLAIN shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainKind {
    /// The plan before it is cut.
    Logical,
    /// The fragments.
    Distributed,
    /// The tables that are read.
    Io,
    /// Whether the statement can be planned.
    Validate,
    /// The fragments with what running them has cost (EXPLAIN ANALYZE).
    Analyze {
        /// With the metrics of each operator (VERBOSE).
        verbose: bool,
    },
}

/// How EXPLAIN writes a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For `dot`.
    Graphviz,
}

/// Parses EXPLAIN.
///
/// # Errors
/// SYNTAX_ERROR with its place, and those of the statement itself.
pub(super) fn parse(lexed: &Lexed) -> Result<Explain, Failure> {
    let (kind, format, rest) = options(lexed)?;
    Ok(Explain { kind, format, statement: Box::new(parse_lexed(rest)?) })
}

/// What EXPLAIN shows and how, and the statement behind it.
///
/// # Errors
/// SYNTAX_ERROR with its place.
pub(super) fn options(lexed: &Lexed) -> Result<(ExplainKind, ExplainFormat, Lexed), Failure> {
    let mut cursor = Cursor::new(lexed);
    cursor.take("EXPLAIN");
    let mut kind = ExplainKind::Distributed;
    let mut format = ExplainFormat::Text;
    if cursor.take("ANALYZE") {
        kind = ExplainKind::Analyze { verbose: cursor.take("VERBOSE") };
    } else if has_options(&cursor) {
        cursor.take_token(&Token::LParen);
        loop {
            if cursor.take("TYPE") {
                kind = one_of(&mut cursor, &KINDS)?;
            } else if cursor.take("FORMAT") {
                format = one_of(&mut cursor, &FORMATS)?;
            } else {
                return Err(cursor.mismatched("'FORMAT', 'TYPE'"));
            }
            if cursor.take_token(&Token::RParen) {
                break;
            }
            if !cursor.take_token(&Token::Comma) {
                return Err(cursor.mismatched("')', ','"));
            }
        }
    }
    let from = cursor.position();
    let tokens = lexed.tokens.get(from..).unwrap_or_default().to_vec();
    Ok((kind, format, Lexed { tokens, ..lexed.clone() }))
}

const KINDS: [(&str, ExplainKind); 4] = [
    ("DISTRIBUTED", ExplainKind::Distributed),
    ("IO", ExplainKind::Io),
    ("LOGICAL", ExplainKind::Logical),
    ("VALIDATE", ExplainKind::Validate),
];

const FORMATS: [(&str, ExplainFormat); 3] = [
    ("GRAPHVIZ", ExplainFormat::Graphviz),
    ("JSON", ExplainFormat::Json),
    ("TEXT", ExplainFormat::Text),
];

/// A bracket can also begin a query.
fn has_options(cursor: &Cursor<'_>) -> bool {
    let is_option = |token: &Token| {
        matches!(token, Token::Word(word)
            if ["TYPE", "FORMAT"].iter().any(|option| word.value.eq_ignore_ascii_case(option)))
    };
    cursor.peek().token == Token::LParen && is_option(&cursor.peek_at(1).token)
}

fn one_of<T: Copy>(cursor: &mut Cursor<'_>, words: &[(&str, T)]) -> Result<T, Failure> {
    for (word, value) in words {
        if cursor.take(word) {
            return Ok(*value);
        }
    }
    let expecting: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
    Err(cursor.mismatched(&expecting.join(", ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    #[test]
    fn options_are_read() {
        let read = |sql: &str| {
            let explain = parse(&lex(sql).unwrap()).unwrap();
            assert!(matches!(*explain.statement, Statement::Query(_)), "{sql}");
            (explain.kind, explain.format)
        };
        use ExplainFormat::*;
        use ExplainKind::*;
        assert_eq!(read("EXPLAIN SELECT 1"), (Distributed, Text));
        assert_eq!(read("EXPLAIN (SELECT 1)"), (Distributed, Text));
        assert_eq!(read("EXPLAIN (TYPE logical, FORMAT JSON) SELECT 1"), (Logical, Json));
        assert_eq!(read("EXPLAIN (FORMAT GRAPHVIZ) SELECT 1"), (Distributed, Graphviz));
        assert_eq!(read("EXPLAIN (TYPE IO) SELECT 1"), (Io, Text));
        assert_eq!(read("explain (type validate) select 1"), (Validate, Text));
        assert_eq!(read("EXPLAIN ANALYZE SELECT 1"), (Analyze { verbose: false }, Text));
        assert_eq!(read("explain analyze verbose select 1"), (Analyze { verbose: true }, Text));
        for (sql, at) in [
            ("EXPLAIN", 8),
            ("EXPLAIN (TYPE", 14),
            ("EXPLAIN (TYPE x) SELECT 1", 15),
            ("EXPLAIN (TYPE IO FORMAT JSON) SELECT 1", 18),
            ("EXPLAIN (FORMAT YAML) SELECT 1", 17),
            ("EXPLAIN SELECT 1 FROM t WHERE", 30),
        ] {
            let failure = parse(&lex(sql).unwrap()).unwrap_err();
            assert_eq!(failure.location.unwrap().column_number, at, "{sql}: {failure}");
        }
    }
}
