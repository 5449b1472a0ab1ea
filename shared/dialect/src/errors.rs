//! The planner's errors as Trino's, with their places in the text.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::{Column, SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, SetExpr, Spanned, UnaryOperator, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Token};
use waterbear_functions::failure_of;
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use super::lexer::{Lexed, failure_at, place};
use waterbear_types::TrinoType;

/// The failure that the client sees for an error of planning `query`.
pub(super) fn planning_failure(error: &DataFusionError, lexed: &Lexed, query: &Query) -> Failure {
    let failure = at_span(error, None, lexed);
    if let Some(failure) = wrong_arguments(&failure, lexed) {
        return failure;
    }
    if failure.message.contains("Cannot access field at argument") {
        let message = "The expression before a field's name is not of type ROW";
        return failure_at(None, ErrorCode::TYPE_MISMATCH, message);
    }
    if failure.location.is_some() || failure.code != ErrorCode::TYPE_MISMATCH {
        return failure;
    }
    let mut blamed = Blamed { message: &failure.message, found: None };
    let _ = query.visit(&mut blamed);
    match blamed.found {
        Some(at) => failure_at(Some(at), failure.code, &failure.message),
        None => failure,
    }
}

/// A call with arguments that the function does not take. The planner puts its own words around
/// the message.
fn wrong_arguments(failure: &Failure, lexed: &Lexed) -> Option<Failure> {
    let start = failure.message.find("Unexpected parameters (")?;
    let message = first_line(&failure.message[start..]);
    let message = message.split(". No function matches").next().unwrap_or(message);
    let name = between(message, ") for function ", ".").unwrap_or_default();
    // Operators that are planned as calls.
    let types = between(message, "Unexpected parameters (", ") for function ").unwrap_or_default();
    let operator = [
        ("for function $array", "All ARRAY elements must be the same type"),
        ("for function $equal", "Cannot apply operator ="),
        ("for function $less", "Cannot apply operator <"),
    ];
    if let Some((_, text)) = operator.iter().find(|(call, _)| message.ends_with(call)) {
        return Some(failure_at(None, ErrorCode::TYPE_MISMATCH, format!("{text}: {types}")));
    }
    let at = find(name, lexed);
    Some(failure_at(at, ErrorCode::FUNCTION_NOT_FOUND, message))
}

/// Finds the first construct that a message without a place can be about.
struct Blamed<'a> {
    message: &'a str,
    found: Option<ErrorLocation>,
}

impl Visitor for Blamed<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let about = match query.body.as_ref() {
            SetExpr::SetOperation { .. } => self.message.contains(" query has incompatible types"),
            SetExpr::Values(_) => self.message.starts_with("Values rows"),
            _ => false,
        };
        self.blame(about, query)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let starts = |start: &str| self.message.starts_with(start);
        match expr {
            Expr::InList { .. } => self.blame(starts("IN value"), expr),
            Expr::InSubquery { .. } => self.blame(starts("Value expression and result"), expr),
            Expr::Between { .. } => self.blame(starts("Cannot check if"), expr),
            Expr::Case { .. } => self.blame(starts("All CASE") || starts("CASE "), expr),
            Expr::Like { .. } => {
                self.blame(starts("Left side of LIKE") || starts("Pattern for LIKE"), expr)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr: operand } => {
                self.blame(starts("Value of logical NOT"), operand.as_ref())
            }
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } => {
                self.blame(starts("Logical expression term"), expr)
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_uppercase();
                let about = starts(&format!("All {name} operands"));
                self.blame(about || name == "IF" && starts("All CASE"), &function.name)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Blamed<'_> {
    fn blame(&mut self, about: bool, node: &impl Spanned) -> ControlFlow<()> {
        if !about {
            return ControlFlow::Continue(());
        }
        self.found = place(node.span().start);
        ControlFlow::Break(())
    }
}

fn at_span(error: &DataFusionError, span: Option<Span>, lexed: &Lexed) -> Failure {
    match error {
        DataFusionError::Context(_, inner) => at_span(inner, span, lexed),
        DataFusionError::Shared(inner) => at_span(inner, span, lexed),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            at_span(inner, diagnostic.span.or(span), lexed)
        }
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => at_span(first, span, lexed),
            None => failure_of(error),
        },
        DataFusionError::SchemaError(schema, _) => schema_failure(schema, span, lexed),
        DataFusionError::Plan(text) => plan_failure(text, span.and_then(start_of), lexed),
        DataFusionError::NotImplemented(text) => {
            failure_at(span.and_then(start_of), ErrorCode::NOT_SUPPORTED, first_line(text))
        }
        other => failure_of(other),
    }
}

fn start_of(span: Span) -> Option<ErrorLocation> {
    place(Location::new(span.start.line, span.start.column))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

/// Where a name stands in the text for the first time.
fn find(name: &str, lexed: &Lexed) -> Option<ErrorLocation> {
    let is_it =
        |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(name));
    lexed.tokens.iter().find(|token| is_it(&token.token)).and_then(|token| place(token.span.start))
}

fn place_of(column: &Column, span: Option<Span>, lexed: &Lexed) -> Option<ErrorLocation> {
    span.or_else(|| column.spans().first()).and_then(start_of).or_else(|| find(&column.name, lexed))
}

fn schema_failure(error: &SchemaError, span: Option<Span>, lexed: &Lexed) -> Failure {
    match error {
        SchemaError::FieldNotFound { field, .. } => {
            let message = format!("Column '{}' cannot be resolved", field.flat_name());
            failure_at(place_of(field, span, lexed), ErrorCode::COLUMN_NOT_FOUND, message)
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("Column '{}' is ambiguous", field.flat_name());
            failure_at(place_of(field, span, lexed), ErrorCode::AMBIGUOUS_NAME, message)
        }
        SchemaError::DuplicateQualifiedField { qualifier, name } => {
            let message = format!(
                "Relation '{qualifier}' is used twice without names that tell its column '{name}' apart"
            );
            failure_at(find(qualifier.table(), lexed), ErrorCode::NOT_SUPPORTED, message)
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("Column '{name}' is ambiguous");
            failure_at(find(name, lexed), ErrorCode::AMBIGUOUS_NAME, message)
        }
    }
}

/// The planner has most of its errors as text only.
fn plan_failure(text: &str, at: Option<ErrorLocation>, lexed: &Lexed) -> Failure {
    let line = first_line(text);
    if let Some(column) = between(text, "column \"", "\" must appear in the GROUP BY") {
        let name = column.rsplit('.').next().unwrap_or(column);
        let message =
            format!("'{column}' must be an aggregate expression or appear in GROUP BY clause");
        let at = at.or_else(|| find(name, lexed));
        return failure_at(at, ErrorCode::EXPRESSION_NOT_AGGREGATE, message);
    }
    if let Some(field) = between(text, "Field ", " not found in struct") {
        let message = format!("Column '{field}' cannot be resolved");
        return failure_at(at.or_else(|| find(field, lexed)), ErrorCode::COLUMN_NOT_FOUND, message);
    }
    let operands = between(text, "Cannot coerce arithmetic expression ", " to valid types")
        .or_else(|| {
            between(text, "comparison operation ", " ")
                .and_then(|_| after(line, "comparison operation "))
        });
    if let Some(operands) = operands {
        let message = format!("Cannot apply operator: {}", trino_operands(operands));
        return failure_at(at, ErrorCode::TYPE_MISMATCH, message);
    }
    if let Some(actual) = after(line, "Unary operator 'NOT' requires a boolean expression, got ") {
        let actual = trino_operands(actual);
        let message = format!(
            "Value of logical NOT expression must evaluate to a boolean (actual: {actual})"
        );
        return failure_at(at, ErrorCode::TYPE_MISMATCH, message);
    }
    let known: &[(&str, ErrorCode, Option<&str>)] = &[
        ("Invalid window frame", ErrorCode::INVALID_WINDOW_FRAME, None),
        ("Invalid function '", ErrorCode::FUNCTION_NOT_FOUND, None),
        ("No function matches", ErrorCode::FUNCTION_NOT_FOUND, None),
        ("Failed to coerce arguments", ErrorCode::FUNCTION_NOT_FOUND, None),
        ("different number of columns", ErrorCode::TYPE_MISMATCH, None),
        ("have the same number of columns", ErrorCode::TYPE_MISMATCH, None),
        (
            "not allowed in the WHERE",
            ErrorCode::EXPRESSION_NOT_SCALAR,
            Some(
                "WHERE clause cannot contain aggregations, window functions or grouping operations",
            ),
        ),
        (
            "HAVING clause references",
            ErrorCode::EXPRESSION_NOT_AGGREGATE,
            Some("HAVING must be an aggregate expression or appear in GROUP BY clause"),
        ),
        (
            "For SELECT DISTINCT, ORDER BY expressions",
            ErrorCode::EXPRESSION_NOT_IN_DISTINCT,
            Some("For SELECT DISTINCT, ORDER BY expressions must appear in select list"),
        ),
        (
            "Inconsistent data length across values list",
            ErrorCode::TYPE_MISMATCH,
            Some("Values rows have mismatched sizes"),
        ),
        (
            "Correlated scalar subquery can only be used",
            ErrorCode::NOT_SUPPORTED,
            Some("A correlated subquery in this clause is not supported"),
        ),
        (" is not defined!", ErrorCode::INVALID_WINDOW_REFERENCE, None),
        ("RANGE requires exactly one ORDER BY", ErrorCode::MISSING_ORDER_BY, None),
        ("specified more than once", ErrorCode::DUPLICATE_NAMED_QUERY, None),
        (
            "should only return one column",
            ErrorCode::NOT_SUPPORTED,
            Some("Multiple columns returned by subquery are not yet supported"),
        ),
        (
            "non-boolean predicate",
            ErrorCode::TYPE_MISMATCH,
            Some("A condition must evaluate to a boolean"),
        ),
        ("Cannot infer common", ErrorCode::TYPE_MISMATCH, None),
        ("coerc", ErrorCode::TYPE_MISMATCH, None),
        ("Projections require unique expression names", ErrorCode::NOT_SUPPORTED, None),
    ];
    match known.iter().find(|(part, _, _)| text.contains(part)) {
        Some((_, code, message)) => failure_at(at, *code, message.unwrap_or(line)),
        None => failure_at(at, ErrorCode::GENERIC_USER_ERROR, line),
    }
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.split_once(start).map(|(_, rest)| rest)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    after(text, start)?.split_once(end).map(|(inside, _)| inside)
}

/// `Utf8 + Int64` as `varchar + bigint`.
fn trino_operands(operands: &str) -> String {
    let word = |word: &str| match word.parse::<DataType>().ok().map(|t| TrinoType::of(&t)) {
        Some(Ok(trino)) => trino.listing(),
        _ => word.to_owned(),
    };
    operands.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
