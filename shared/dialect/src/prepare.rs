//! PREPARE, EXECUTE, EXECUTE IMMEDIATE, DEALLOCATE PREPARE, DESCRIBE INPUT and OUTPUT. The client
//! keeps prepared statements and sends them with each request: here they are looked up and get
//! their parameters.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use super::explain::{self, Explain};
use super::lexer::{Lexed, TrinoDialect, failure_at, lex, place};
use super::metadata::Cursor;
use super::parameters::{Binding, check_constant};
use super::{ClientContext, MAX_NESTING, SessionStatement, Statement, parse_lexed, syntax_error};

/// Statements that cannot be prepared.
const UNPREPARED: [&str; 3] = ["PREPARE", "EXECUTE", "DEALLOCATE"];

/// The statement about prepared statements that a text is, or nothing.
///
/// # Errors
/// SYNTAX_ERROR in the text or in what is prepared, NOT_FOUND for a name that nothing was prepared
/// under, INVALID_PARAMETER_USAGE for too many or too few parameters.
pub(super) fn parse(
    sql: &str,
    lexed: &Lexed,
    context: &ClientContext,
) -> Result<Option<Statement>, Failure> {
    let mut cursor = Cursor::new(lexed);
    if cursor.take("PREPARE") {
        let name = name(&mut cursor, lexed)?;
        if !cursor.take("FROM") {
            return Err(cursor.mismatched("'FROM'"));
        }
        return prepare(sql, lexed, cursor.position(), name).map(Some);
    }
    if cursor.take("EXECUTE") {
        return execute(&mut cursor, lexed, context).map(Some);
    }
    if cursor.take("EXPLAIN") {
        let (kind, format, rest) = explain::options(lexed)?;
        let mut cursor = Cursor::new(&rest);
        if !cursor.take("EXECUTE") {
            return Ok(None);
        }
        let statement = Box::new(execute(&mut cursor, &rest, context)?);
        return Ok(Some(Statement::Explain(Explain { kind, format, statement })));
    }
    if cursor.take("DEALLOCATE") {
        if !cursor.take("PREPARE") {
            return Err(cursor.mismatched("'PREPARE'"));
        }
        let name = name(&mut cursor, lexed)?;
        cursor.finish()?;
        prepared(&name, context)?;
        return Ok(Some(Statement::Session(SessionStatement::Deallocate { name })));
    }
    if !cursor.take("DESCRIBE") {
        return Ok(None);
    }
    let input = cursor.take("INPUT");
    if !input && !cursor.take("OUTPUT") {
        return Ok(None);
    }
    let statement = match cursor.peek().token {
        Token::LParen => in_brackets(&mut cursor, lexed)?,
        Token::Word(_) => {
            let name = name(&mut cursor, lexed)?;
            cursor.finish()?;
            lex(&prepared(&name, context)?)?
        }
        // A table may have such a name.
        _ => return Ok(None),
    };
    describe(&statement, input).map(Some)
}

/// The statement in the brackets that are the rest of a text.
fn in_brackets(cursor: &mut Cursor<'_>, lexed: &Lexed) -> Result<Lexed, Failure> {
    let last = lexed.tokens.len().saturating_sub(1);
    match lexed.tokens.get(cursor.position() + 1..last) {
        Some(inside) if lexed.tokens[last].token == Token::RParen => {
            Ok(Lexed { tokens: inside.to_vec(), ..lexed.clone() })
        }
        _ => Err(failure_at(Some(lexed.end), ErrorCode::SYNTAX_ERROR, "')' is expected here")),
    }
}

fn describe(lexed: &Lexed, input: bool) -> Result<Statement, Failure> {
    let described = |binding: Binding| {
        let statement = lexed.clone().bound(binding).and_then(parse_lexed)?;
        Ok::<_, Failure>(Box::new(statement))
    };
    let with_nulls = described(Binding::Nulls)?;
    Ok(Statement::Session(match input {
        false => SessionStatement::DescribeOutput { statement: with_nulls },
        true => SessionStatement::DescribeInput {
            parameters: lexed.parameter_count(),
            statement: described(Binding::Positions)?,
            with_nulls,
        },
    }))
}

/// Names of prepared statements are as they are written.
fn name(cursor: &mut Cursor<'_>, lexed: &Lexed) -> Result<String, Failure> {
    let token = cursor.peek().clone();
    match token.token {
        Token::Word(word) => {
            cursor.next();
            let written = lexed.written.get(&token.span.start).cloned();
            Ok(written.unwrap_or(word.value))
        }
        _ => Err(cursor.mismatched("<identifier>")),
    }
}

fn prepared(name: &str, context: &ClientContext) -> Result<String, Failure> {
    context.prepared_statements.get(name).cloned().ok_or_else(|| {
        Failure::new(ErrorCode::NOT_FOUND, format!("Prepared statement not found: {name}"))
    })
}

fn prepare(sql: &str, lexed: &Lexed, from: usize, name: String) -> Result<Statement, Failure> {
    let tokens = lexed.tokens.get(from..).unwrap_or_default().to_vec();
    let eof = TokenWithSpan::new_eof();
    let first = tokens.first().unwrap_or(&eof).clone();
    if let Token::Word(word) = &first.token
        && UNPREPARED.contains(&word.value.to_uppercase().as_str())
    {
        let message = format!("Invalid statement type for prepared statement: {}", word.value);
        return Err(failure_at(place(first.span.start), ErrorCode::NOT_SUPPORTED, message));
    }
    parse_lexed(Lexed { tokens, ..lexed.clone() })?;
    let text = text_from(sql, first.span.start).to_owned();
    Ok(Statement::Session(SessionStatement::Prepare { name, sql: text }))
}

/// The text from a place on.
fn text_from(sql: &str, from: Location) -> &str {
    let line = usize::try_from(from.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(from.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let start: usize = sql.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = sql.get(start..).unwrap_or_default();
    let at = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    rest.get(at..).unwrap_or_default().trim_end()
}

fn execute(
    cursor: &mut Cursor<'_>,
    lexed: &Lexed,
    context: &ClientContext,
) -> Result<Statement, Failure> {
    let immediate = cursor.take("IMMEDIATE");
    let inner = if immediate {
        let at = cursor.peek().span.start;
        let text = cursor.string()?;
        moved(lex(&text).map_err(|failure| moved_failure(failure, at))?, at)
    } else {
        lex(&prepared(&name(cursor, lexed)?, context)?)?
    };
    let mut values = Vec::new();
    if cursor.take("USING") {
        let from = cursor.position();
        let tokens = lexed.tokens.get(from..).unwrap_or_default();
        values = expressions(tokens, lexed)?;
        if !immediate {
            // Places in this text would be taken for places in the other.
            let tokens: Vec<_> =
                tokens.iter().map(|t| TokenWithSpan::wrap(t.token.clone())).collect();
            values = expressions(&tokens, lexed)?;
        }
    } else {
        cursor.finish()?;
    }
    if let Some(Token::Word(word)) = inner.tokens.first().map(|token| &token.token)
        && UNPREPARED.contains(&word.value.to_uppercase().as_str())
    {
        let message = format!("Invalid statement type for prepared statement: {}", word.value);
        return Err(Failure::new(ErrorCode::NOT_SUPPORTED, message));
    }
    parse_lexed(inner.bound(Binding::Values(values))?)
}

/// Expressions between commas.
fn expressions(tokens: &[TokenWithSpan], lexed: &Lexed) -> Result<Vec<Expr>, Failure> {
    let mut parser = Parser::new(&TrinoDialect)
        .with_recursion_limit(MAX_NESTING)
        .with_tokens_with_locations(tokens.to_vec());
    let failure = |error| syntax_error(&error, lexed.end);
    let mut values = Vec::new();
    loop {
        let value = parser.parse_expr().map_err(failure)?;
        check_constant(&value)?;
        values.push(value);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    match parser.peek_token() {
        next if next.token == Token::EOF => Ok(values),
        next => Err(super::mismatched(&next, lexed.end, "',', <EOF>")),
    }
}

/// Where a place within a string literal is in the text around it. A doubled quote counts once.
fn moved_place(place: Location, string: Location) -> Location {
    match place.line {
        // No place at all.
        0 => place,
        1 => Location::new(string.line, string.column + place.column),
        line => Location::new(string.line + line - 1, place.column),
    }
}

fn moved(mut lexed: Lexed, string: Location) -> Lexed {
    for token in &mut lexed.tokens {
        let Span { start, end } = token.span;
        token.span = Span::new(moved_place(start, string), moved_place(end, string));
    }
    let written = std::mem::take(&mut lexed.written);
    lexed.written = written.into_iter().map(|(at, text)| (moved_place(at, string), text)).collect();
    let end = Location::new(u64::from(lexed.end.line_number), u64::from(lexed.end.column_number));
    lexed.end = place(moved_place(end, string)).unwrap_or(lexed.end);
    lexed
}

/// A failure within a string literal, at its place in the text around it.
fn moved_failure(failure: Failure, string: Location) -> Failure {
    let Some(ErrorLocation { line_number, column_number }) = failure.location else {
        return failure;
    };
    let old = format!("line {line_number}:{column_number}: ");
    let message = failure.message.strip_prefix(&old).unwrap_or(&failure.message);
    let at = Location::new(u64::from(line_number), u64::from(column_number));
    failure_at(place(moved_place(at, string)), failure.code, message)
}
