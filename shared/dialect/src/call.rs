//! CALL: a procedure and its arguments.

use datafusion::sql::sqlparser::tokenizer::Token;
use waterbear_protocol::{ErrorLocation, Failure};

use crate::QualifiedName;
use crate::lexer::{Lexed, place};
use crate::metadata::Cursor;

/// CALL of a procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub procedure: QualifiedName,
    /// What it is given, in the order written.
    pub arguments: Vec<CallArgument>,
    /// Where the statement begins.
    pub location: Option<ErrorLocation>,
}

/// An argument of a procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallArgument {
    /// The name before `=>`, lower case; none when it goes by its place.
    pub name: Option<String>,
    /// What is given.
    pub value: CallValue,
    /// Where it begins.
    pub location: Option<ErrorLocation>,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallValue {
    /// NULL.
    Null,
    /// A string.
    Text(String),
    /// A number, as written.
    Number(String),
    /// Any other expression.
    Expression,
}

/// Parses CALL.
///
/// # Errors
/// SYNTAX_ERROR with its place.
pub(super) fn parse(lexed: &Lexed) -> Result<Call, Failure> {
    let mut cursor = Cursor::new(lexed);
    let location = place(cursor.peek().span.start);
    cursor.take("CALL");
    let procedure = cursor.name(3)?;
    if !cursor.take_token(&Token::LParen) {
        return Err(cursor.mismatched("'(', '.'"));
    }
    let mut arguments = Vec::new();
    if !cursor.take_token(&Token::RParen) {
        loop {
            arguments.push(argument(&mut cursor)?);
            if cursor.take_token(&Token::RParen) {
                break;
            }
            if !cursor.take_token(&Token::Comma) {
                return Err(cursor.mismatched("')', ','"));
            }
        }
    }
    cursor.finish()?;
    Ok(Call { procedure, arguments, location })
}

fn argument(cursor: &mut Cursor<'_>) -> Result<CallArgument, Failure> {
    let location = place(cursor.peek().span.start);
    let name = match (&cursor.peek().token, &cursor.peek_at(1).token) {
        (Token::Word(word), Token::RArrow) => Some(word.value.to_lowercase()),
        _ => None,
    };
    if name.is_some() {
        cursor.next();
        cursor.next();
    }
    let alone = matches!(cursor.peek_at(1).token, Token::Comma | Token::RParen);
    let value = match &cursor.peek().token {
        Token::SingleQuotedString(text) if alone => CallValue::Text(text.clone()),
        Token::Number(digits, _) if alone => CallValue::Number(digits.clone()),
        Token::Word(word)
            if alone && word.quote_style.is_none() && word.value.eq_ignore_ascii_case("NULL") =>
        {
            CallValue::Null
        }
        Token::Comma | Token::RParen | Token::EOF => {
            return Err(cursor.mismatched("<expression>"));
        }
        _ => CallValue::Expression,
    };
    skip_expression(cursor);
    Ok(CallArgument { name, value, location })
}

/// Goes to the comma or bracket behind an expression.
fn skip_expression(cursor: &mut Cursor<'_>) {
    let mut depth = 0usize;
    loop {
        match cursor.peek().token {
            Token::EOF => return,
            Token::Comma | Token::RParen if depth == 0 => return,
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        cursor.next();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    #[test]
    fn arguments_have_names_or_places() {
        let call = parse(&lex("CALL a.b.C('x', N => NULL, 1 + f(2, 3), 7)").unwrap()).unwrap();
        assert_eq!(call.procedure.parts, ["a", "b", "c"]);
        let found: Vec<_> =
            call.arguments.into_iter().map(|argument| (argument.name, argument.value)).collect();
        let expected = [
            (None, CallValue::Text("x".into())),
            (Some("n".into()), CallValue::Null),
            (None, CallValue::Expression),
            (None, CallValue::Number("7".into())),
        ];
        assert_eq!(found, expected);
        assert!(parse(&lex("CALL a()").unwrap()).unwrap().arguments.is_empty());
        for (sql, at) in [("CALL a", 7), ("CALL a(", 8), ("CALL a(1,)", 10), ("CALL a(1) x", 11)] {
            let failure = parse(&lex(sql).unwrap()).unwrap_err();
            assert_eq!(failure.location.unwrap().column_number, at, "{sql}: {failure}");
        }
    }
}
