//! Trino's SQL: which statement a text is, and what it means here.
//!
//! Layout: `lexer` divides text into tokens, `metadata`, `call` and `explain` parse what is no
//! query (the coordinator answers it), `ddl` what changes a catalog, `queries` are those that sqlparser does not know, `plan` plans queries after `check` has refused what would be answered
//! wrongly and `rewrite` has put it into the planner's terms; `scopes` resolves names, `names` keeps what columns are
//! called, `tables` looks up what a query reads and expands views, `hidden` what `*` leaves out, `errors` gives the planner's errors Trino's names and places, `session` checks
//! sessions, `temporal` knows dates and times.
//!
//! Only queries ever reach the planner: every other statement of its own (COPY, SET, …) is turned
//! away by its first word.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

mod aggregation;
mod attempt;
mod call;
mod casts;
mod check;
mod coercion;
mod conditional;
mod configure;
mod constructs;
mod context;
mod correlated;
mod ddl;
mod describe;
mod errors;
mod explain;
mod floats;
mod grouping;
mod hidden;
mod lexer;
mod mark;
mod metadata;
mod names;
mod nested;
mod operators;
mod parameters;
mod pattern;
mod plan;
mod prepare;
mod pushdown;
mod queries;
mod rewrite;
mod scopes;
mod session;
mod session_values;
mod sorting;
mod subqueries;
mod subquery;
mod syntax;
mod tables;
mod temporal;
mod tokens;
mod types;
mod unnest;
mod values;
mod windows;

pub use call::{Call, CallArgument, CallValue};
pub use configure::configure;
pub use context::{ClientContext, ClientTransaction};
pub use ddl::{ColumnChange, ColumnDefinition, Name, RelationKind, WriteAction, WriteStatement};
pub use describe::{DescribedColumn, describe_input, describe_output};
pub use explain::{Explain, ExplainFormat, ExplainKind};
pub use hidden::HidingTable;
pub use lexer::failure_at;
pub use metadata::{CreateKind, MetadataStatement, QualifiedName};
pub use pattern::LikePattern;
pub use plan::{PlannedQuery, full_name, plan_query, plan_view};
pub use session::statements::{IsolationLevel, Role, SessionStatement};
pub use session::{
    PropertyKind, SESSION_PROPERTIES, SessionLimits, SessionProperty, check_session,
    check_session_property, check_time_zone, is_duration, is_size, max_recursion_depth,
    retry_policy, session_property, shown_duration, shown_size,
};
pub use tables::StoredView;
pub use temporal::session_zone_name;

use lexer::{Lexed, TrinoDialect, lex, mismatched, place};
use metadata::Cursor;
use parameters::Binding;

/// How deep brackets and subqueries may be nested.
const MAX_NESTING: usize = 100;

/// A statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// SELECT, VALUES, WITH.
    Query(ParsedQuery),
    /// SHOW, DESCRIBE, USE.
    Metadata(MetadataStatement),
    /// CREATE, DROP, ALTER, COMMENT, INSERT, DELETE, TRUNCATE.
    Write(WriteStatement),
    /// EXPLAIN.
    Explain(Explain),
    /// CALL.
    Call(Call),
    /// SHOW STATS FOR a query; a table is the query of all its columns.
    ShowStats(ParsedQuery),
    /// SET, RESET, PREPARE, START TRANSACTION, …
    Session(SessionStatement),
}

/// A query with the text that its errors point into.
#[derive(Debug, Clone)]
pub struct ParsedQuery {
    query: Box<Query>,
    lexed: Lexed,
}

/// First words of statements that Trino has and that are not supported, or not in all forms.
const OTHER_STATEMENTS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "COMMENT",
    "COMMIT",
    "CREATE",
    "DEALLOCATE",
    "DELETE",
    "DENY",
    "DESC",
    "DESCRIBE",
    "DROP",
    "EXECUTE",
    "GRANT",
    "INSERT",
    "MERGE",
    "PREPARE",
    "REFRESH",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SET",
    "SHOW",
    "START",
    "TRUNCATE",
    "UPDATE",
];

/// Those of them whose second word tells more.
const TWO_WORDS: &[&str] = &[
    "ALTER", "CREATE", "DESC", "DESCRIBE", "DROP", "EXECUTE", "REFRESH", "RESET", "SET", "SHOW",
    "START",
];

/// Parses one statement. A semicolon is no part of it.
///
/// # Errors
/// SYNTAX_ERROR with its place; NOT_SUPPORTED with the statement's name for what Trino has and
/// Waterbear has not.
pub fn parse(sql: &str) -> Result<Statement, Failure> {
    parse_in(sql, &ClientContext::default())
}

/// Parses one statement in a session: EXECUTE becomes what it executes, with its parameters.
///
/// # Errors
/// As [`parse`]; and NOT_FOUND for unknown prepared statements, INVALID_PARAMETER_USAGE for
/// parameters that are missing or too many.
pub fn parse_in(sql: &str, context: &ClientContext) -> Result<Statement, Failure> {
    grow_stacks();
    let lexed = lex(sql)?;
    if let Some(statement) = prepare::parse(sql, &lexed, context)? {
        return Ok(statement);
    }
    // Syntax comes first.
    let statement = parse_lexed(lexed.clone())?;
    lexed.bound(Binding::Values(Vec::new()))?;
    Ok(statement)
}

/// Checks the text of a prepared statement, as the client sends it along.
///
/// # Errors
/// SYNTAX_ERROR.
pub fn check_prepared(sql: &str) -> Result<(), Failure> {
    match lex(sql).and_then(parse_lexed) {
        Err(failure) if failure.code == ErrorCode::SYNTAX_ERROR => Err(failure),
        _ => Ok(()),
    }
}

/// What the parser and the planner leave of a stack before they take a new one. Their own value is
/// less than unoptimised code needs from one such look to the next.
const STACK_LEFT: usize = 1 << 20;
/// What they take.
const STACK_TAKEN: usize = 16 << 20;

fn grow_stacks() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        recursive::set_minimum_stack_size(STACK_LEFT);
        recursive::set_stack_allocation_size(STACK_TAKEN);
    });
}

fn parse_lexed(lexed: Lexed) -> Result<Statement, Failure> {
    if let Some(statement) = metadata::parse(&lexed)? {
        return Ok(Statement::Metadata(statement));
    }
    if let Some(statement) = ddl::parse(&lexed)? {
        return Ok(Statement::Write(statement));
    }
    if let Some(statement) = session::statements::parse(&lexed)? {
        return Ok(Statement::Session(statement));
    }
    let eof = TokenWithSpan::new_eof();
    let first = lexed.tokens.first().unwrap_or(&eof);
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        Token::LParen => "(".to_owned(),
        _ => String::new(),
    };
    match word(first).as_str() {
        "SELECT" | "WITH" | "VALUES" | "TABLE" | "(" => parse_query(lexed).map(Statement::Query),
        "EXPLAIN" => explain::parse(&lexed).map(Statement::Explain),
        "CALL" => call::parse(&lexed).map(Statement::Call),
        "SHOW" if second_is_stats(&lexed) => parse_show_stats(lexed).map(Statement::ShowStats),
        name if OTHER_STATEMENTS.contains(&name) => {
            let replace =
                |token: &&TokenWithSpan| !matches!(word(token).as_str(), "OR" | "REPLACE");
            let second = lexed.tokens.iter().skip(1).find(replace).map(word);
            let name = match second {
                Some(second) if TWO_WORDS.contains(&name) && !second.is_empty() => {
                    format!("{name} {second}")
                }
                _ => name.to_owned(),
            };
            let at = place(first.span.start);
            let message = format!("{name} is not supported");
            Err(failure_at(at, ErrorCode::NOT_SUPPORTED, message))
        }
        _ => {
            let expecting = "'DESCRIBE', 'EXPLAIN', 'SELECT', 'SHOW', 'TABLE', 'USE', 'VALUES', 'WITH', <query>";
            Err(mismatched(first, lexed.end, expecting))
        }
    }
}

fn second_is_stats(lexed: &Lexed) -> bool {
    let mut cursor = Cursor::new(lexed);
    cursor.take("SHOW") && cursor.take("STATS")
}

fn parse_show_stats(lexed: Lexed) -> Result<ParsedQuery, Failure> {
    let mut cursor = Cursor::new(&lexed);
    for word in ["SHOW", "STATS"] {
        cursor.take(word);
    }
    if !cursor.take("FOR") {
        return Err(cursor.mismatched("'FOR'"));
    }
    let from = cursor.position();
    let mut tokens = Vec::new();
    if cursor.peek().token != Token::LParen {
        tokens.push(TokenWithSpan::new(Token::make_keyword("TABLE"), cursor.peek().span));
        cursor.name(3)?;
        cursor.finish()?;
    }
    tokens.extend_from_slice(lexed.tokens.get(from..).unwrap_or_default());
    parse_query(Lexed { tokens, ..lexed })
}

fn parse_query(lexed: Lexed) -> Result<ParsedQuery, Failure> {
    syntax::check(&lexed.tokens, lexed.end)?;
    let lexed = Lexed { tokens: queries::in_plain_terms(lexed.tokens), ..lexed };
    let mut parser = Parser::new(&TrinoDialect)
        .with_recursion_limit(MAX_NESTING)
        .with_tokens_with_locations(tokens::rewrite(&lexed.tokens));
    let mut query = parser.parse_query().map_err(|error| syntax_error(&error, lexed.end))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(mismatched(&next, lexed.end, "<EOF>"));
    }
    parameters::bind(&mut query, &lexed)?;
    Ok(ParsedQuery { query, lexed })
}

/// sqlparser has the place of an error in the error's text only.
fn syntax_error(error: &ParserError, end: ErrorLocation) -> Failure {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            let message = "statement is too large (stack overflow while parsing)";
            let start = ErrorLocation { line_number: 1, column_number: 1 };
            return failure_at(Some(start), ErrorCode::SYNTAX_ERROR, message);
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    let (text, at) = match text.rsplit_once(" at Line: ") {
        Some((text, numbers)) => (text, location(numbers)),
        None => (text.as_str(), None),
    };
    let parts = text.strip_prefix("Expected: ").and_then(|text| text.rsplit_once(", found: "));
    match parts {
        Some((expected, found)) => {
            let found = if found == "EOF" { "<EOF>" } else { found };
            let message = format!("mismatched input '{found}'. Expecting: {expected}");
            failure_at(at.or(Some(end)), ErrorCode::SYNTAX_ERROR, message)
        }
        None => failure_at(at.or(Some(end)), ErrorCode::SYNTAX_ERROR, text),
    }
}

/// The place in `7, Column: 12`.
fn location(numbers: &str) -> Option<ErrorLocation> {
    let (line, column) = numbers.split_once(", Column: ")?;
    Some(ErrorLocation {
        line_number: line.trim().parse().ok()?,
        column_number: column.trim().parse().ok()?,
    })
}
