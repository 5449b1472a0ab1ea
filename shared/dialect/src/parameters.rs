//! Parameters: what stands for the `?` of a prepared statement. They are put into the tree as
//! expressions, never into the text.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, LimitClause, Query, Spanned, TypedString, Value, ValueWithSpan, Visit,
    VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Token};
use waterbear_protocol::{ErrorCode, Failure};

use super::lexer::{Lexed, failure_at, place};

/// What stands for each `?`.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    /// By its place in the text.
    values: Arc<HashMap<Location, Expr>>,
    /// The statement is described and never run: no value counts.
    described: bool,
}

/// What a statement's `?` stand for.
pub(super) enum Binding {
    /// These values, in their order.
    Values(Vec<Expr>),
    /// Parameters of a type that the planner finds out: `$1`, `$2`, ….
    Positions,
    /// NULL.
    Nulls,
}

impl Lexed {
    /// The places of all `?`, in their order.
    fn placeholders(&self) -> impl Iterator<Item = Location> {
        let is_one = |token: &Token| matches!(token, Token::Placeholder(_));
        self.tokens.iter().filter(move |token| is_one(&token.token)).map(|token| token.span.start)
    }

    /// How many `?` there are.
    pub fn parameter_count(&self) -> usize {
        self.placeholders().count()
    }

    /// The tokens with something for each `?`.
    ///
    /// # Errors
    /// INVALID_PARAMETER_USAGE when there are more or fewer.
    pub fn bound(mut self, binding: Binding) -> Result<Self, Failure> {
        let expected = self.parameter_count();
        let value = |value: Value| Expr::Value(value.with_empty_span());
        let described = matches!(binding, Binding::Nulls);
        let values: Vec<Expr> = match binding {
            Binding::Values(values) => values,
            Binding::Positions => {
                (1..=expected).map(|n| value(Value::Placeholder(format!("${n}")))).collect()
            }
            Binding::Nulls => (0..expected).map(|_| value(Value::Null)).collect(),
        };
        if values.len() != expected {
            let found = values.len();
            let message =
                format!("Incorrect number of parameters: expected {expected} but found {found}");
            let at = self.tokens.first().and_then(|token| place(token.span.start));
            return Err(failure_at(at, ErrorCode::INVALID_PARAMETER_USAGE, message));
        }
        let values = Arc::new(self.placeholders().zip(values).collect());
        self.parameters = Parameters { values, described };
        Ok(self)
    }
}

/// Puts what stands for each `?` into a tree that was made of these tokens.
///
/// # Errors
/// INVALID_ARGUMENTS when LIMIT, OFFSET or FETCH FIRST get something else than a number.
pub(super) fn bind(tree: &mut impl VisitMut, lexed: &Lexed) -> Result<(), Failure> {
    match tree.visit(&mut Binder(&lexed.parameters)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

struct Binder<'a>(&'a Parameters);

impl Binder<'_> {
    /// What stands for this expression, if it is a `?`.
    fn value_of(&self, expr: &Expr) -> Option<&Expr> {
        match expr {
            Expr::Value(ValueWithSpan { value: Value::Placeholder(_), span }) => {
                self.0.values.get(&span.start)
            }
            _ => None,
        }
    }

    fn number_of_rows(&self, expr: &mut Expr, clause: &str) -> Result<(), Failure> {
        let Some(value) = self.value_of(expr) else { return Ok(()) };
        let number = if self.0.described { Some("1".to_owned()) } else { rows(value) };
        match number {
            Some(number) => {
                *expr = Expr::Value(Value::Number(number, false).with_empty_span());
                Ok(())
            }
            // The planner must find out what such a parameter can be.
            None if matches!(value, Expr::Value(v) if matches!(v.value, Value::Placeholder(_))) => {
                *expr = value.clone();
                Ok(())
            }
            None => {
                let message = format!(
                    "Parameter value provided for {clause} is not a number of rows: {value}"
                );
                Err(failure_at(place(expr.span().start), ErrorCode::INVALID_ARGUMENTS, message))
            }
        }
    }

    fn limits(&self, query: &mut Query) -> Result<(), Failure> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            if let Some(limit) = limit {
                self.number_of_rows(limit, "LIMIT")?;
            }
            if let Some(offset) = offset {
                self.number_of_rows(&mut offset.value, "OFFSET")?;
            }
        }
        match query.fetch.as_mut().and_then(|fetch| fetch.quantity.as_mut()) {
            Some(quantity) => self.number_of_rows(quantity, "FETCH FIRST"),
            None => Ok(()),
        }
    }
}

/// The number that a parameter for LIMIT is: `5`, `BIGINT '5'`.
fn rows(expr: &Expr) -> Option<String> {
    let digits = |text: &str| text.parse::<u64>().ok().map(|number| number.to_string());
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => digits(text),
        Expr::TypedString(TypedString {
            data_type: DataType::BigInt(_) | DataType::Integer(_) | DataType::Int(_),
            value: ValueWithSpan { value: Value::SingleQuotedString(text), .. },
            ..
        }) => digits(text.trim()),
        _ => None,
    }
}

impl VisitorMut for Binder<'_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        match self.limits(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => ControlFlow::Break(failure),
        }
    }

    // After its children, so that what stands for a `?` is not looked at.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        if let Some(value) = self.value_of(expr) {
            *expr = value.clone();
        }
        ControlFlow::Continue(())
    }
}

/// Makes sure that an expression means the same wherever it stands.
///
/// # Errors
/// EXPRESSION_NOT_CONSTANT for columns and subqueries, INVALID_PARAMETER_USAGE for a `?`.
pub(super) fn check_constant(expr: &Expr) -> Result<(), Failure> {
    match expr.visit(&mut Constant { lambdas: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

struct Constant {
    /// Lambdas around this place: their arguments look like columns.
    lambdas: usize,
}

impl Visitor for Constant {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Failure> {
        let message = "Constant expression cannot contain a subquery";
        let at = place(query.span().start);
        ControlFlow::Break(failure_at(at, ErrorCode::EXPRESSION_NOT_CONSTANT, message))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Failure> {
        let failure = |code, message: &str| {
            ControlFlow::Break(failure_at(place(expr.span().start), code, message))
        };
        match expr {
            Expr::Lambda(_) => self.lambdas += 1,
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if self.lambdas == 0 => {
                let message = "Constant expression cannot contain column references";
                return failure(ErrorCode::EXPRESSION_NOT_CONSTANT, message);
            }
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                let message = "Incorrect number of parameters: expected 1 but found 0";
                return failure(ErrorCode::INVALID_PARAMETER_USAGE, message);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Failure> {
        if matches!(expr, Expr::Lambda(_)) {
            self.lambdas -= 1;
        }
        ControlFlow::Continue(())
    }
}
