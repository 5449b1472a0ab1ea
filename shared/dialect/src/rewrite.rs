//! Turns Trino's constructs into those of the planner that mean the same.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, LimitClause, Query, Select, Spanned, TableFactor, TimezoneInfo,
    TypedString, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::aggregation;
use super::casts;
use super::check::{self, unsupported};
use super::conditional;
use super::constructs;
use super::lexer::{Lexed, failure_at, invalid_number, place};
use super::mark::Operators;
use super::names;
use super::operators;
use super::pattern::LikePattern;
use super::subqueries;
use super::temporal::SessionTime;
use super::values;
use super::windows;

/// Checks and rewrites a query in place.
///
/// # Errors
/// What is refused or malformed, with its place.
pub(super) fn rewrite(query: &mut Query, lexed: &Lexed, time: SessionTime) -> Result<(), Failure> {
    let mut rewriter = Rewriter { time, operators: Operators::new(&lexed.tokens) };
    match query.visit(&mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

struct Rewriter<'a> {
    time: SessionTime,
    operators: Operators<'a>,
}

fn flow(result: Result<(), Failure>) -> ControlFlow<Failure> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        flow(check::query(query))?;
        flow(query.order_by.as_ref().map_or(Ok(()), aggregation::order_by))?;
        values::meet(&mut query.body);
        fetch_to_limit(query);
        Operators::keep_ordinals(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Failure> {
        flow(check::select(select))?;
        flow(aggregation::select(select))?;
        flow(subqueries::conditions(select))?;
        constructs::group_by(&mut select.group_by);
        flow(self.time.select(select))?;
        Operators::keep_positions(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Failure> {
        flow(check::table_factor(factor))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        flow(self.expression(expr))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        self.operators.rewrite(expr);
        ControlFlow::Continue(())
    }
}

/// FETCH FIRST n ROWS ONLY is LIMIT n.
fn fetch_to_limit(query: &mut Query) {
    let Some(fetch) = query.fetch.take() else { return };
    let one = || Expr::Value(Value::Number("1".to_owned(), false).with_empty_span());
    let rows = fetch.quantity.unwrap_or_else(one);
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(rows),
        other => {
            *other = Some(LimitClause::LimitOffset {
                limit: Some(rows),
                offset: None,
                limit_by: Vec::new(),
            });
        }
    }
}

impl Rewriter<'_> {
    fn expression(&mut self, expr: &mut Expr) -> Result<(), Failure> {
        constructs::rewrite(expr);
        self.time.expression(expr)?;
        match expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
                if let Some(negative) = negative_number(inner) {
                    check_value(&negative)?;
                    *expr = Expr::Value(negative);
                }
            }
            Expr::Value(value) => check_value(value)?,
            Expr::Function(function) => {
                check::arguments(function)?;
                windows::rewrite(function)?;
                Operators::keep_frame(function);
                if let Some(case) = conditional::rewrite(function)? {
                    *expr = case;
                    return Ok(());
                }
                if let Some(name) = names::column_that_looks_like_a_function(function) {
                    *expr = Expr::Identifier(name.clone());
                }
            }
            Expr::Cast { .. } => cast(expr)?,
            Expr::TypedString(typed) => typed_string(typed)?,
            Expr::Like { any, pattern, escape_char, .. } => {
                if *any {
                    return Err(unsupported(pattern.as_ref(), "LIKE ANY"));
                }
                like(pattern, escape_char)?;
            }
            Expr::ILike { pattern, .. } => {
                return Err(unsupported(pattern.as_ref(), "ILIKE"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The literal that a minus makes of a number: the smallest bigint has no positive counterpart.
fn negative_number(operand: &Expr) -> Option<ValueWithSpan> {
    match operand {
        Expr::Value(ValueWithSpan { value: Value::Number(text, long), span })
            if !text.starts_with('-') =>
        {
            Some(ValueWithSpan { value: Value::Number(format!("-{text}"), *long), span: *span })
        }
        _ => None,
    }
}

fn check_value(value: &ValueWithSpan) -> Result<(), Failure> {
    let at = place(value.span.start);
    let text = match &value.value {
        Value::Number(text, _) => text,
        // Only DESCRIBE INPUT leaves these: the lexer lets no client write them.
        Value::Placeholder(text) if text.starts_with('$') => return Ok(()),
        Value::Placeholder(_) => {
            let message = "Incorrect number of parameters: expected 1 but found 0";
            return Err(failure_at(at, ErrorCode::INVALID_PARAMETER_USAGE, message));
        }
        _ => return Ok(()),
    };
    if operators::number(text).is_some() {
        return Ok(());
    }
    if text.contains('.') {
        let message = format!("Decimal literal out of range: {text}");
        return Err(failure_at(at, ErrorCode::INVALID_LITERAL, message));
    }
    Err(invalid_number(at, text))
}

/// CAST: types by Trino's names and defaults. To booleans, numbers and texts it is planned as an
/// operator; here its type is checked.
fn cast(expr: &mut Expr) -> Result<(), Failure> {
    let Expr::Cast { kind, expr: inner, data_type, format, .. } = expr else { return Ok(()) };
    let at = place(inner.span().start);
    if matches!(kind, CastKind::DoubleColon | CastKind::SafeCast) || format.is_some() {
        return Err(unsupported(inner.as_ref(), "This form of CAST"));
    }
    let failure = |(code, text)| failure_at(at, code, text);
    if casts::target(data_type).map_err(failure)?.is_none() {
        *data_type = trino_type(data_type).map_err(failure)?;
    }
    Ok(())
}

/// The planner's type for a type that Trino has.
fn trino_type(data_type: &DataType) -> Result<DataType, (ErrorCode, String)> {
    let unsupported =
        || (ErrorCode::NOT_SUPPORTED, format!("Type {} is not supported", lower(data_type)));
    let plain_zone =
        |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone);
    match data_type {
        DataType::Date => Ok(data_type.clone()),
        DataType::Timestamp(precision, zone) if plain_zone(zone) => match precision.unwrap_or(3) {
            precision @ (0 | 3 | 6 | 9) => {
                Ok(DataType::Timestamp(Some(precision), TimezoneInfo::None))
            }
            _ => Err(unsupported()),
        },
        DataType::Timestamp(..)
        | DataType::Time(..)
        | DataType::Varbinary(_)
        | DataType::JSON
        | DataType::Uuid
        | DataType::Array(_)
        | DataType::Map(..)
        | DataType::Struct(..)
        | DataType::Interval { .. } => Err(unsupported()),
        _ => Err((ErrorCode::TYPE_NOT_FOUND, format!("Unknown type: {}", lower(data_type)))),
    }
}

fn lower(data_type: &DataType) -> String {
    data_type.to_string().to_lowercase()
}

/// `BIGINT '1'` is planned as an operator; here its type is checked.
fn typed_string(typed: &mut TypedString) -> Result<(), Failure> {
    let at = place(typed.value.span.start);
    if !matches!(typed.value.value, Value::SingleQuotedString(_)) {
        return Err(failure_at(at, ErrorCode::SYNTAX_ERROR, "a literal needs a string"));
    }
    let failure = |(code, text)| failure_at(at, code, text);
    if casts::target(&typed.data_type).map_err(failure)?.is_none() {
        typed.data_type = trino_type(&typed.data_type).map_err(failure)?;
    }
    Ok(())
}

/// LIKE has no escape character unless it names one; the planner's is always the backslash.
fn like(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) -> Result<(), Failure> {
    let escape_text = match escape.as_ref().map(|escape| &escape.value) {
        None => None,
        Some(Value::SingleQuotedString(text)) => Some(text.clone()),
        Some(_) => return Err(unsupported(pattern, "ESCAPE that is not a string")),
    };
    match pattern {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => {
            let at = place(span.start);
            let like = LikePattern::new(text, escape_text.as_deref())
                .map_err(|failure| failure_at(at, failure.code, failure.message))?;
            *text = like.with_backslashes();
        }
        _ if escape_text.is_some() => {
            return Err(unsupported(pattern, "ESCAPE with a pattern that is not a literal"));
        }
        _ => {}
    }
    *escape = None;
    Ok(())
}
