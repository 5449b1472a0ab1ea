//! Aggregations and window functions where Trino has none: in conditions, in GROUP BY, in each
//! other.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, JoinConstraint, JoinOperator, OrderBy, Query, Select, SelectItem,
    Spanned, Value, ValueWithSpan, Visit, Visitor,
};
use waterbear_functions::{Availability, FunctionKind, availability};
use waterbear_protocol::{ErrorCode, Failure};

use super::check::Checked;
use super::lexer::{failure_at, place};

/// Checks the clauses of a SELECT.
///
/// # Errors
/// EXPRESSION_NOT_SCALAR, NESTED_AGGREGATION, NESTED_WINDOW with the place of the function.
pub(super) fn select(select: &Select) -> Checked {
    for table in &select.from {
        for join in &table.joins {
            if let JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) = &join.join_operator
                && let JoinConstraint::On(condition) = constraint
            {
                check(condition, Some("JOIN"))?;
            }
        }
    }
    check(&select.selection, Some("WHERE"))?;
    if let GroupByExpr::Expressions(items, _) = &select.group_by {
        for item in items {
            check(item, Some("GROUP BY"))?;
            if let Some(selected) = selected(item, &select.projection) {
                check(selected, Some("GROUP BY"))?;
            }
        }
    }
    check(&select.projection, None)?;
    check(&select.having, None)
}

/// Checks ORDER BY.
///
/// # Errors
/// As [`select`].
pub(super) fn order_by(order: &OrderBy) -> Checked {
    check(order, None)
}

/// The item of SELECT that a number in GROUP BY stands for.
fn selected<'a>(item: &Expr, projection: &'a [SelectItem]) -> Option<&'a Expr> {
    let Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) = item else {
        return None;
    };
    let mut front = projection.get(..number.parse::<usize>().ok()?)?.iter();
    let star = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    match front.next_back()? {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }
            if !front.any(star) =>
        {
            Some(expr)
        }
        _ => None,
    }
}

fn check(node: &impl Visit, clause: Option<&'static str>) -> Checked {
    match node.visit(&mut Calls { clause, around: Vec::new(), queries: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Aggregation,
    Window,
}

fn kind(expr: &Expr) -> Option<(&Function, Kind)> {
    let Expr::Function(function) = expr else { return None };
    if function.over.is_some() {
        return Some((function, Kind::Window));
    }
    let name = function.name.to_string().replace('"', "").to_lowercase();
    match availability(&name) {
        Availability::Supported(FunctionKind::Aggregate) => Some((function, Kind::Aggregation)),
        _ => None,
    }
}

struct Calls {
    /// The clause that has none of them.
    clause: Option<&'static str>,
    /// Those around this place, with their names.
    around: Vec<(String, Kind)>,
    /// Queries around this place; they have clauses of their own.
    queries: usize,
}

impl Visitor for Calls {
    type Break = Failure;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Failure> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Failure> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Failure> {
        let (0, Some((function, kind))) = (self.queries, kind(expr)) else {
            return ControlFlow::Continue(());
        };
        let refused = match (self.clause, self.around.last()) {
            (Some(clause), _) => Some((
                ErrorCode::EXPRESSION_NOT_SCALAR,
                format!(
                    "{clause} clause cannot contain aggregations, window functions or grouping \
                     operations: [{function}]"
                ),
            )),
            (None, Some((name, Kind::Aggregation))) => Some(match kind {
                Kind::Aggregation => (
                    ErrorCode::NESTED_AGGREGATION,
                    format!("Cannot nest aggregations inside aggregation '{name}': [{function}]"),
                ),
                Kind::Window => (
                    ErrorCode::NESTED_WINDOW,
                    format!(
                        "Cannot nest window functions or row pattern measures inside aggregation \
                         '{name}': [{function}]"
                    ),
                ),
            }),
            (None, Some((_, Kind::Window))) if kind == Kind::Window => Some((
                ErrorCode::NESTED_WINDOW,
                "Cannot nest window functions or row pattern measures inside window function \
                 arguments"
                    .to_owned(),
            )),
            (None, _) => None,
        };
        if let Some((code, message)) = refused {
            let at = place(function.name.span().start);
            return ControlFlow::Break(failure_at(at, code, message));
        }
        self.around.push((function.name.to_string(), kind));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Failure> {
        if self.queries == 0 && kind(expr).is_some() {
            self.around.pop();
        }
        ControlFlow::Continue(())
    }
}
