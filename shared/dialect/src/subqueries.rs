//! `x IN (SELECT …)` as a part of an expression: refused.
//!
//! The planner makes a join of it that says true or false, never NULL. In a condition made of AND,
//! OR and NOT that can be mended (`correlated::three_valued`); what looks at the value itself would
//! see the difference.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, Select, UnaryOperator, Visit, Visitor,
};
use waterbear_protocol::Failure;

use super::check::unsupported;

/// Checks the conditions of a SELECT.
///
/// # Errors
/// NOT_SUPPORTED with the place of a subquery whose NULL matters.
pub(super) fn conditions(select: &Select) -> Result<(), Failure> {
    [&select.selection, &select.having].into_iter().flatten().try_for_each(condition)
}

fn condition(expr: &Expr) -> Result<(), Failure> {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => {
            condition(inner)
        }
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            condition(left)?;
            condition(right)
        }
        Expr::InSubquery { expr: value, .. } => refuse_inside(value),
        other => refuse_inside(other),
    }
}

/// Refuses an IN whose value is used.
fn refuse_inside(expr: &Expr) -> Result<(), Failure> {
    match expr.visit(&mut Values { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

/// Finds IN outside of further subqueries, which have conditions of their own.
struct Values {
    depth: usize,
}

impl Visitor for Values {
    type Break = Failure;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Failure> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Failure> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Failure> {
        match expr {
            Expr::InSubquery { expr: value, .. } if self.depth == 0 => ControlFlow::Break(
                unsupported(value.as_ref(), "IN with a subquery as a part of an expression"),
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::parser::Parser;

    use super::super::lexer::TrinoDialect;
    use super::*;

    fn checked(text: &str) -> Result<(), Failure> {
        let parsed = Parser::new(&TrinoDialect).try_with_sql(text).unwrap().parse_expr().unwrap();
        condition(&parsed)
    }

    #[test]
    fn conditions_of_and_or_and_not_are_fine() {
        for text in [
            "a NOT IN (SELECT b FROM t) AND c",
            "NOT (a IN (SELECT b FROM t) OR c)",
            "EXISTS (SELECT 1 FROM t WHERE b NOT IN (SELECT c FROM u) OR d) OR c",
        ] {
            checked(text).unwrap();
        }
    }

    #[test]
    fn a_value_that_is_looked_at_is_refused() {
        for text in [
            "(a IN (SELECT b FROM t)) = c",
            "(a IN (SELECT b FROM t)) IS NULL",
            "CASE WHEN a IN (SELECT b FROM t) THEN c END",
        ] {
            assert_eq!(
                checked(text).unwrap_err().code,
                waterbear_protocol::ErrorCode::NOT_SUPPORTED
            );
        }
    }
}
