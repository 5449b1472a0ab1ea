//! Trino's lexical rules over sqlparser's tokenizer.

use std::any::TypeId;
use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, TokenizerError,
};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use super::parameters::Parameters;

/// Operators in a row at one level of brackets: each makes the tree one deeper, and trees are
/// walked, copied and dropped recursively.
const MAX_CHAIN: usize = 1_000;

/// The dialect that sqlparser is given. Constructs of others that it lets through all the same
/// are refused when the tree is checked.
#[derive(Debug)]
pub(super) struct TrinoDialect;

impl Dialect for TrinoDialect {
    /// The parser lets `a IS DISTINCT FROM b AND c` compare `a` with `b AND c`.
    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        use Keyword as K;
        let distinct = parser.parse_keywords(&[K::IS, K::DISTINCT, K::FROM]);
        if !distinct && !parser.parse_keywords(&[K::IS, K::NOT, K::DISTINCT, K::FROM]) {
            return None;
        }
        let one = Box::new(expr.clone());
        Some(parser.parse_subexpr(precedence).map(|other| match distinct {
            true => Expr::IsDistinctFrom(one, Box::new(other)),
            false => Expr::IsNotDistinctFrom(one, Box::new(other)),
        }))
    }

    fn dialect(&self) -> TypeId {
        // Some constructs (UNNEST as a table) hang on the dialect's identity.
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    // `row(…)` as a type comes as STRUCT.
    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }
}

/// A statement's tokens, without white space and comments.
#[derive(Debug, Clone)]
pub(super) struct Lexed {
    pub tokens: Vec<TokenWithSpan>,
    /// Quoted identifiers as they were written, where that is not lower case.
    pub written: HashMap<Location, String>,
    /// The place behind the last character.
    pub end: ErrorLocation,
    /// What stands for each `?`.
    pub parameters: Parameters,
}

/// A place as the client sees it.
pub(super) fn place(location: Location) -> Option<ErrorLocation> {
    let line_number = u32::try_from(location.line).ok().filter(|line| *line > 0)?;
    let column_number = u32::try_from(location.column).ok().filter(|column| *column > 0)?;
    Some(ErrorLocation { line_number, column_number })
}

/// A failure at a place, with the place in front of its message as Trino has it.
pub fn failure_at(
    location: Option<ErrorLocation>,
    code: ErrorCode,
    message: impl std::fmt::Display,
) -> Failure {
    match location {
        None => Failure::new(code, message.to_string()),
        Some(at) => {
            let text = format!("line {}:{}: {message}", at.line_number, at.column_number);
            Failure::new(code, text).at(at)
        }
    }
}

/// `mismatched input 'x'. Expecting: …`
pub(super) fn mismatched(token: &TokenWithSpan, end: ErrorLocation, expecting: &str) -> Failure {
    let (text, location) = match &token.token {
        Token::EOF => ("<EOF>".to_owned(), Some(end)),
        other => (other.to_string(), place(token.span.start)),
    };
    let message = format!("mismatched input '{text}'. Expecting: {expecting}");
    failure_at(location, ErrorCode::SYNTAX_ERROR, message)
}

/// Divides a statement into tokens. Quoted identifiers become lower case: Trino's are
/// case-insensitive too.
///
/// # Errors
/// SYNTAX_ERROR with its place.
pub(super) fn lex(sql: &str) -> Result<Lexed, Failure> {
    let raw = Tokenizer::new(&TrinoDialect, sql).tokenize_with_location().map_err(
        |TokenizerError { message, location }| {
            failure_at(place(location), ErrorCode::SYNTAX_ERROR, message)
        },
    )?;
    let end = raw
        .last()
        .and_then(|token| place(token.span.end))
        .unwrap_or(ErrorLocation { line_number: 1, column_number: 1 });
    let mut lexed = Lexed {
        tokens: Vec::with_capacity(raw.len() / 2),
        written: HashMap::new(),
        end,
        parameters: Parameters::default(),
    };
    for token in raw {
        if !matches!(token.token, Token::Whitespace(_)) {
            lexed.push(token)?;
        }
    }
    check_depth(&lexed.tokens)?;
    Ok(lexed)
}

impl Lexed {
    fn push(&mut self, mut token: TokenWithSpan) -> Result<(), Failure> {
        let start = token.span.start;
        if let Some(last) = self.tokens.last_mut()
            && matches!(last.token, Token::Number(..))
            && last.span.end == start
            && let Token::Word(word) = &token.token
        {
            // `0b11` and `0o17` come as a zero and a name; all else is a name with a digit first.
            last.token = prefixed_number(&last.token, &word.value)
                .ok_or_else(|| failure_at(place(last.span.start), ErrorCode::SYNTAX_ERROR,
                    "identifiers must not start with a digit; surround the identifier with double quotes"))?;
            last.span.end = token.span.end;
            return Ok(());
        }
        match &mut token.token {
            Token::Word(word) if word.quote_style.is_some() => {
                let lower = word.value.to_lowercase();
                if lower != word.value {
                    self.written.insert(start, std::mem::replace(&mut word.value, lower));
                }
            }
            Token::Number(digits, long) => {
                if *long {
                    let message = "identifiers must not start with a digit; surround the identifier with double quotes";
                    return Err(failure_at(place(start), ErrorCode::SYNTAX_ERROR, message));
                }
                digits.retain(|digit| digit != '_');
            }
            // The same token stands for x'1f' and 0x1f; the second is one character shorter.
            Token::HexStringLiteral(digits)
                if token.span.end.column.saturating_sub(start.column)
                    == digits.len() as u64 + 2 =>
            {
                token.token = radix_number(digits, 16)
                    .ok_or_else(|| invalid_number(place(start), &format!("0x{digits}")))?;
            }
            Token::HexStringLiteral(digits) => {
                digits.retain(|digit| !digit.is_ascii_whitespace());
                let message = if digits.len() % 2 == 1 {
                    "Binary literal must contain an even number of digits"
                } else if digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
                    ""
                } else {
                    "Binary literal can only contain hexadecimal digits"
                };
                if !message.is_empty() {
                    return Err(failure_at(place(start), ErrorCode::INVALID_LITERAL, message));
                }
            }
            Token::AtSign => {
                let message = "mismatched input '@'. Expecting: <expression>";
                return Err(failure_at(place(start), ErrorCode::SYNTAX_ERROR, message));
            }
            Token::UnicodeStringLiteral(text) => {
                token.token = Token::SingleQuotedString(std::mem::take(text));
            }
            // Others name or number their parameters.
            Token::Placeholder(text) if text != "?" => {
                let message = format!("mismatched input '{text}'. Expecting: <expression>");
                return Err(failure_at(place(start), ErrorCode::SYNTAX_ERROR, message));
            }
            other if is_foreign_string(other) => {
                let message = format!("mismatched input '{other}'. Expecting: <expression>");
                return Err(failure_at(place(start), ErrorCode::SYNTAX_ERROR, message));
            }
            _ => {}
        }
        self.tokens.push(token);
        Ok(())
    }
}

/// `Invalid numeric literal: x`
pub(super) fn invalid_number(location: Option<ErrorLocation>, text: &str) -> Failure {
    failure_at(location, ErrorCode::INVALID_LITERAL, format!("Invalid numeric literal: {text}"))
}

fn radix_number(digits: &str, radix: u32) -> Option<Token> {
    let digits: String = digits.chars().filter(|digit| *digit != '_').collect();
    let value = i64::from_str_radix(&digits, radix).ok()?;
    Some(Token::Number(value.to_string(), false))
}

fn prefixed_number(zero: &Token, rest: &str) -> Option<Token> {
    if !matches!(zero, Token::Number(digits, false) if digits == "0") {
        return None;
    }
    let digits = rest.get(1..)?;
    match rest.chars().next()? {
        'b' | 'B' => radix_number(digits, 2),
        'o' | 'O' => radix_number(digits, 8),
        _ => None,
    }
}

/// Kinds of strings that Trino does not have.
fn is_foreign_string(token: &Token) -> bool {
    matches!(
        token,
        Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::EscapedStringLiteral(_)
    )
}

/// Refuses chains of operators that would make a tree too deep to walk.
fn check_depth(tokens: &[TokenWithSpan]) -> Result<(), Failure> {
    let mut levels = vec![(0usize, 0usize)];
    for token in tokens {
        let depth = levels.len();
        let Some((operators, sets)) = levels.last_mut() else { return Ok(()) };
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => levels.push((0, 0)),
            Token::RParen | Token::RBracket | Token::RBrace => {
                if depth > 1 {
                    levels.pop();
                }
            }
            Token::Comma => *operators = 0,
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::JOIN => *sets += 1,
                Keyword::SELECT
                | Keyword::FROM
                | Keyword::WHERE
                | Keyword::ON
                | Keyword::HAVING => {
                    *operators = 0;
                }
                Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::IS => *operators += 1,
                _ => {}
            },
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => {}
            _ => *operators += 1,
        }
        if levels.last().is_some_and(|(operators, sets)| operators.max(sets) > &MAX_CHAIN) {
            let message = "statement is too large (stack overflow while parsing)";
            return Err(failure_at(place(token.span.start), ErrorCode::SYNTAX_ERROR, message));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tokens(sql: &str) -> Vec<String> {
        lex(sql).unwrap().tokens.iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn numbers_of_all_bases_are_numbers() {
        assert_eq!(
            tokens("0x1F 0b11 0o17 1_000 1.5e3 x'1F' X'61 62'"),
            ["31", "3", "15", "1000", "1.5e3", "X'1F'", "X'6162'"]
        );
    }

    #[test]
    fn quoted_names_become_lower_case_and_are_remembered() {
        let lexed = lex("SELECT \"A b\", \"c\"").unwrap();
        assert_eq!(lexed.tokens[1].token.to_string(), "\"a b\"");
        assert_eq!(lexed.written[&Location::new(1, 8)], "A b");
        assert_eq!(lexed.written.len(), 1);
    }

    #[test]
    fn what_is_no_token_is_a_syntax_error_with_its_place() {
        for (sql, at) in [
            ("SELECT 'a", 8),
            ("SELECT 12abc", 8),
            ("SELECT 10L", 8),
            ("SELECT N'x'", 8),
            ("SELECT 1, 0xffffffffffffffffff", 11),
            ("SELECT X'6'", 8),
            ("SELECT X'gg'", 8),
            ("SELECT @x", 8),
        ] {
            let failure = lex(sql).unwrap_err();
            assert_eq!(failure.location.unwrap().column_number, at, "{failure}");
            assert!(failure.message.starts_with(&format!("line 1:{at}: ")), "{failure}");
        }
    }

    #[test]
    fn endless_chains_are_refused() {
        let chain = format!("SELECT 1{}", "+1".repeat(MAX_CHAIN + 1));
        assert!(lex(&chain).unwrap_err().message.contains("too large"));
        let unions = "SELECT 1".to_owned() + &" UNION ALL SELECT 1".repeat(MAX_CHAIN + 1);
        assert!(lex(&unions).unwrap_err().message.contains("too large"));
        let flat = format!("SELECT * FROM t WHERE a IN (1{})", ", 1+1".repeat(10_000));
        assert!(lex(&flat).is_ok());
    }
}
