//! Token sequences that sqlparser does not read, as those that it does: `array(T)`, `map(K, V)`
//! and `row(name T, …)` behind AS, `VALUES 1, 2`, also as a value, and `trim(BOTH FROM x)`.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use waterbear_types::anonymous_field;

/// The statement's tokens with those sequences replaced.
pub(super) fn rewrite(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if keyword(tokens, at, "AS") && opens_type(tokens, at + 1) {
            out.push(tokens[at].clone());
            at = push_type(tokens, at + 1, &mut out);
        } else if keyword(tokens, at, "VALUES") && !after_dot(tokens, at) {
            let in_expression = is_value(tokens, at);
            if in_expression {
                let token = |token: Token| TokenWithSpan::new(token, tokens[at].span);
                for keyword in ["SELECT", "*", "FROM"] {
                    out.push(token(match keyword {
                        "*" => Token::Mul,
                        keyword => Token::make_keyword(keyword),
                    }));
                }
                out.push(token(Token::LParen));
            }
            out.push(tokens[at].clone());
            at = push_values(tokens, at + 1, &mut out);
            if in_expression {
                out.push(TokenWithSpan::new(Token::RParen, tokens[at - 1].span));
            }
        } else if keyword(tokens, at, "FROM") && trims_blanks(tokens, at) {
            at += 1;
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

fn word(tokens: &[TokenWithSpan], at: usize) -> Option<&Word> {
    match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    }
}

fn keyword(tokens: &[TokenWithSpan], at: usize, text: &str) -> bool {
    word(tokens, at)
        .is_some_and(|word| word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

fn is(tokens: &[TokenWithSpan], at: usize, token: &Token) -> bool {
    tokens.get(at).is_some_and(|found| found.token == *token)
}

fn after_dot(tokens: &[TokenWithSpan], at: usize) -> bool {
    at > 0 && is(tokens, at - 1, &Token::Period)
}

/// `(VALUES …)` as a part of an expression, where the parser reads a call.
fn is_value(tokens: &[TokenWithSpan], at: usize) -> bool {
    const BEFORE_QUERIES: &[&str] =
        &["FROM", "JOIN", "LATERAL", "AS", "EXISTS", "UNION", "INTERSECT", "EXCEPT", "DISTINCT"];
    if at < 2 || !is(tokens, at - 1, &Token::LParen) {
        return false;
    }
    let of_set = keyword(tokens, at - 2, "ALL")
        && at > 2
        && BEFORE_QUERIES[5..8].iter().any(|word| keyword(tokens, at - 3, word));
    !of_set && !BEFORE_QUERIES.iter().any(|word| keyword(tokens, at - 2, word))
}

/// The FROM of `trim(LEADING FROM x)`, which the parser reads without it.
fn trims_blanks(tokens: &[TokenWithSpan], at: usize) -> bool {
    at > 2
        && ["LEADING", "TRAILING", "BOTH"].iter().any(|side| keyword(tokens, at - 1, side))
        && is(tokens, at - 2, &Token::LParen)
        && keyword(tokens, at - 3, "TRIM")
}

fn opens_type(tokens: &[TokenWithSpan], at: usize) -> bool {
    let known = ["ARRAY", "MAP", "ROW"].iter().any(|name| keyword(tokens, at, name));
    known && is(tokens, at + 1, &Token::LParen)
}

/// Writes the type that begins at a token; gives the place behind it.
fn push_type(tokens: &[TokenWithSpan], at: usize, out: &mut Vec<TokenWithSpan>) -> usize {
    if !opens_type(tokens, at) {
        return push_plain(tokens, at, out);
    }
    let first = &tokens[at];
    let token = |token: Token| TokenWithSpan::new(token, first.span);
    let (name, open, close) = if keyword(tokens, at, "MAP") {
        ("MAP", Token::LParen, Token::RParen)
    } else if keyword(tokens, at, "ARRAY") {
        ("ARRAY", Token::Lt, Token::Gt)
    } else {
        ("STRUCT", Token::Lt, Token::Gt)
    };
    out.push(token(Token::make_keyword(name)));
    out.push(token(open));
    let (mut at, mut position) = (at + 2, 0);
    while at < tokens.len() && !is(tokens, at, &Token::RParen) {
        if is(tokens, at, &Token::Comma) {
            out.push(tokens[at].clone());
            at += 1;
            position += 1;
            continue;
        }
        if name == "STRUCT" {
            if names_field(tokens, at) {
                out.push(tokens[at].clone());
                at += 1;
            } else {
                let value = anonymous_field(position);
                let name = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
                out.push(TokenWithSpan::new(Token::Word(name), tokens[at].span));
            }
        }
        at = push_type(tokens, at, out);
    }
    out.push(token(close));
    at + 1
}

/// A type of one name, with what stands in brackets and behind it.
fn push_plain(tokens: &[TokenWithSpan], mut at: usize, out: &mut Vec<TokenWithSpan>) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::Comma if depth == 0 => break,
            Token::RParen if depth == 0 => break,
            Token::RParen => depth -= 1,
            _ => {}
        }
        out.push(token.clone());
        at += 1;
    }
    at
}

/// Two words are a field's name and its type, unless both are of the type.
fn names_field(tokens: &[TokenWithSpan], at: usize) -> bool {
    let (Some(first), Some(second)) = (word(tokens, at), word(tokens, at + 1)) else {
        return false;
    };
    let pairs = [
        ("double", "precision"),
        ("time", "with"),
        ("time", "without"),
        ("timestamp", "with"),
        ("timestamp", "without"),
        ("interval", "year"),
        ("interval", "day"),
    ];
    let both = |(a, b): &(&str, &str)| {
        first.value.eq_ignore_ascii_case(a) && second.value.eq_ignore_ascii_case(b)
    };
    first.quote_style.is_some() || !pairs.iter().any(both)
}

/// Writes the rows of VALUES, each in brackets; gives the place behind them.
fn push_values(tokens: &[TokenWithSpan], mut at: usize, out: &mut Vec<TokenWithSpan>) -> usize {
    loop {
        let end = row_end(tokens, at);
        if end == at {
            return at;
        }
        let bracketed = is(tokens, at, &Token::LParen) && closing(tokens, at) == Some(end - 1);
        let row = keyword(tokens, at, "ROW") && closing(tokens, at + 1) == Some(end - 1);
        let inside = rewrite(&tokens[at..end]);
        if bracketed || row {
            // `ROW (1, 2)` is a row of VALUES like `(1, 2)`.
            out.extend(inside.into_iter().skip(usize::from(row)));
        } else {
            out.push(TokenWithSpan::new(Token::LParen, tokens[at].span));
            out.extend(inside);
            out.push(TokenWithSpan::new(Token::RParen, tokens[end - 1].span));
        }
        if !is(tokens, end, &Token::Comma) {
            return end;
        }
        out.push(tokens[end].clone());
        at = end + 1;
    }
}

/// Where a row of VALUES ends.
fn row_end(tokens: &[TokenWithSpan], from: usize) -> usize {
    const BEHIND: &[&str] = &["ORDER", "LIMIT", "OFFSET", "FETCH", "UNION", "INTERSECT", "EXCEPT"];
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return at,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma | Token::EOF if depth == 0 => return at,
            Token::Word(_) if depth == 0 && BEHIND.iter().any(|word| keyword(tokens, at, word)) => {
                return at;
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The bracket that closes the one at a place.
fn closing(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    if !is(tokens, from, &Token::LParen) {
        return None;
    }
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    #[test]
    fn types_and_values_become_what_the_parser_reads() {
        let cases = [
            ("CAST(x AS array(bigint))", "CAST ( x AS ARRAY < bigint >"),
            (
                "CAST(x AS map(varchar(3), array(double)))",
                "MAP ( varchar ( 3 ) , ARRAY < double > )",
            ),
            (
                "CAST(x AS row(a bigint, \"b c\" double precision))",
                "STRUCT < a bigint , \"b c\" double precision >",
            ),
            ("CAST(x AS row(timestamp(3) with time zone))", "timestamp ( 3 ) with time zone >"),
            ("VALUES 1, 2 ORDER BY 1", "VALUES ( 1 ) , ( 2 ) ORDER BY 1"),
            ("VALUES (1, 2), (3, 4)", "VALUES ( 1 , 2 ) , ( 3 , 4 )"),
            ("VALUES (1 + 2) * 3, f(4, 5)", "VALUES ( ( 1 + 2 ) * 3 ) , ( f ( 4 , 5 ) )"),
            ("VALUES ROW(1, 2)", "VALUES ( 1 , 2 )"),
            ("x IN (VALUES 1, 2)", "x IN ( SELECT * FROM ( VALUES ( 1 ) , ( 2 ) ) )"),
            ("= ANY (VALUES 1)", "ANY ( SELECT * FROM ( VALUES ( 1 ) ) )"),
            ("UNION ALL (VALUES 1)", "UNION ALL ( VALUES ( 1 ) )"),
            ("FROM (VALUES 1)", "FROM ( VALUES ( 1 ) )"),
            ("trim(LEADING FROM x)", "trim ( LEADING x )"),
        ];
        for (text, expected) in cases {
            let rewritten = rewrite(&lex(text).unwrap().tokens);
            let rewritten: Vec<String> =
                rewritten.iter().map(|token| token.token.to_string()).collect();
            let rewritten = rewritten.join(" ");
            assert!(rewritten.contains(expected), "{text}: {rewritten}");
        }
    }
}
