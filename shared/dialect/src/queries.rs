//! Queries that sqlparser does not know: `TABLE t` and `VALUES 1, 2`. Their tokens become those of
//! `SELECT * FROM t` and `VALUES (1), (2)`, each at the place of what was written.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// Writes these queries in sqlparser's terms; all other tokens stay.
pub(super) fn in_plain_terms(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_written = |keyword| tokens.iter().any(|token| keyword_of(token) == Some(keyword));
    if !is_written(Keyword::TABLE) && !is_written(Keyword::VALUES) {
        return tokens;
    }
    let mut plain = Vec::with_capacity(tokens.len() + 8);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match keyword_of(token) {
            Some(Keyword::TABLE) if is_table_query(&tokens, at) => {
                for token_of_select in
                    [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")]
                {
                    plain.push(TokenWithSpan::new(token_of_select, token.span));
                }
                at += 1;
            }
            Some(Keyword::VALUES) => {
                plain.push(token.clone());
                at = rows(&tokens, at + 1, &mut plain);
            }
            _ => {
                plain.push(token.clone());
                at += 1;
            }
        }
    }
    plain
}

fn keyword_of(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// A query can begin at the first token, after a bracket and after a set operation; `TABLE (` is a
/// table function.
fn is_table_query(tokens: &[TokenWithSpan], at: usize) -> bool {
    let names_a_table = tokens.get(at + 1).is_some_and(|next| matches!(next.token, Token::Word(_)));
    let before = |back: usize| at.checked_sub(back).and_then(|index| tokens.get(index));
    let is_set_operation = |token: Option<&TokenWithSpan>| {
        token.and_then(keyword_of).is_some_and(|keyword| {
            matches!(keyword, Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT)
        })
    };
    let begins = match before(1) {
        None => true,
        Some(last) => match keyword_of(last) {
            Some(Keyword::ALL | Keyword::DISTINCT) => is_set_operation(before(2)),
            Some(_) => is_set_operation(Some(last)),
            None => matches!(last.token, Token::LParen | Token::RParen),
        },
    };
    names_a_table && begins
}

/// Copies the rows of VALUES, each in brackets; returns where they end.
fn rows(tokens: &[TokenWithSpan], from: usize, plain: &mut Vec<TokenWithSpan>) -> usize {
    let mut start = from;
    loop {
        let end = end_of_row(tokens, start);
        let row = tokens.get(start..end).unwrap_or_default();
        match (row.first(), row.last()) {
            (Some(first), Some(last)) if !is_bracketed(row) => {
                let bracket = |token, span: Span| TokenWithSpan::new(token, span);
                plain.push(bracket(Token::LParen, first.span));
                plain.extend_from_slice(row);
                plain.push(bracket(Token::RParen, last.span));
            }
            _ => plain.extend_from_slice(row),
        }
        match tokens.get(end) {
            Some(comma) if comma.token == Token::Comma => {
                plain.push(comma.clone());
                start = end + 1;
            }
            _ => return end,
        }
    }
}

fn end_of_row(tokens: &[TokenWithSpan], start: usize) -> usize {
    let mut depth = 0usize;
    for (offset, token) in tokens.iter().enumerate().skip(start) {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth > 0 => depth -= 1,
            Token::RParen | Token::RBracket => return offset,
            Token::Comma | Token::SemiColon if depth == 0 => return offset,
            _ if depth == 0 && ends_values(token) => return offset,
            _ => {}
        }
    }
    tokens.len()
}

fn ends_values(token: &TokenWithSpan) -> bool {
    matches!(
        keyword_of(token),
        Some(
            Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::OFFSET
                | Keyword::FETCH
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
        )
    )
}

/// True when one pair of brackets, or of ROW's, holds the whole row.
fn is_bracketed(row: &[TokenWithSpan]) -> bool {
    let from = usize::from(row.first().and_then(keyword_of) == Some(Keyword::ROW));
    let mut depth = 0usize;
    for (offset, token) in row.iter().enumerate().skip(from) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return offset > from && offset + 1 == row.len();
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    #[test]
    fn tables_and_bare_rows_are_queries() {
        let plain = |sql: &str| {
            let tokens = in_plain_terms(lex(sql).unwrap().tokens);
            tokens.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ")
        };
        for (sql, expected) in [
            ("TABLE a.b", "SELECT * FROM a . b"),
            ("(TABLE a) UNION ALL TABLE b", "( SELECT * FROM a ) UNION ALL SELECT * FROM b"),
            ("WITH x AS (TABLE a) TABLE x", "WITH x AS ( SELECT * FROM a ) SELECT * FROM x"),
            ("SELECT * FROM TABLE(f(1))", "SELECT * FROM TABLE ( f ( 1 ) )"),
            ("VALUES 1, 2", "VALUES ( 1 ) , ( 2 )"),
            ("VALUES (1, 2), (3, 4)", "VALUES ( 1 , 2 ) , ( 3 , 4 )"),
            ("VALUES (1) + (2), f(1, 2)", "VALUES ( ( 1 ) + ( 2 ) ) , ( f ( 1 , 2 ) )"),
            ("VALUES ROW(1, 2)", "VALUES ROW ( 1 , 2 )"),
            (
                "SELECT * FROM (VALUES 1, ARRAY[1, 2]) t",
                "SELECT * FROM ( VALUES ( 1 ) , ( ARRAY [ 1 , 2 ] ) ) t",
            ),
            ("VALUES 1 UNION VALUES 2 ORDER BY 1", "VALUES ( 1 ) UNION VALUES ( 2 ) ORDER BY 1"),
            ("SELECT table FROM t", "SELECT table FROM t"),
        ] {
            assert_eq!(plain(sql), expected, "{sql}");
        }
    }
}
