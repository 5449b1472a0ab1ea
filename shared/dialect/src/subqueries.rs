//! `x IN (SELECT …)` where NULL is not the same as false.
//!
//! The planner makes a join of it that says true or false, never NULL. In a condition that is
//! right as long as nothing turns false into true: `x IN (…)` below AND and OR; and for
//! `x NOT IN (…)` as one of the condition's conjuncts there is a join of its own. Below anything
//! else NOT IN becomes NOT EXISTS with the three-valued comparison inside, and a condition that
//! looks at the value itself is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, Select, SetExpr, TableFactor, UnaryOperator, Visit, Visitor,
};
use datafusion::sql::sqlparser::parser::Parser;
use waterbear_protocol::Failure;

use super::check::unsupported;
use super::lexer::TrinoDialect;

/// The name of the column that the subquery gives.
const COLUMN: &str = "$in";

/// Rewrites the conditions of a SELECT.
///
/// # Errors
/// NOT_SUPPORTED with the place of a subquery whose NULL matters.
pub(super) fn conditions(select: &mut Select) -> Result<(), Failure> {
    for condition in [&mut select.selection, &mut select.having].into_iter().flatten() {
        rewrite(condition, Where { conjunct: true, negated: false })?;
    }
    Ok(())
}

/// Where an expression stands in its condition.
#[derive(Clone, Copy)]
struct Where {
    /// The condition holds only if this one holds.
    conjunct: bool,
    /// An odd number of NOTs is above.
    negated: bool,
}

fn rewrite(expr: &mut Expr, at: Where) -> Result<(), Failure> {
    match expr {
        Expr::Nested(inner) => rewrite(inner, at),
        Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => {
            rewrite(inner, Where { negated: !at.negated, ..at })
        }
        Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
            // NOT (a OR b) is NOT a AND NOT b.
            let is_and = (*op == BinaryOperator::And) != at.negated;
            let at = Where { conjunct: at.conjunct && is_and, ..at };
            rewrite(left, at)?;
            rewrite(right, at)
        }
        Expr::InSubquery { expr: value, subquery, negated } => {
            refuse_inside(value)?;
            if *negated == at.negated || at.conjunct {
                return Ok(());
            }
            let exists = exists(value, subquery, *negated)?;
            *expr = exists;
            Ok(())
        }
        other => refuse_inside(other),
    }
}

/// `EXISTS` that is true where `value IN (subquery)` is true or NULL.
fn exists(value: &Expr, subquery: &Query, negated: bool) -> Result<Expr, Failure> {
    let text = format!(r#"SELECT 1 FROM (SELECT 1) AS "{COLUMN}"("{COLUMN}") WHERE true"#);
    let parsed =
        Parser::new(&TrinoDialect).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    let Ok(mut template) = parsed else {
        return Err(unsupported(value, "NOT IN with a subquery below OR"));
    };
    let SetExpr::Select(select) = template.body.as_mut() else {
        return Err(unsupported(value, "NOT IN with a subquery below OR"));
    };
    for table in &mut select.from {
        if let TableFactor::Derived { subquery: inner, .. } = &mut table.relation {
            **inner = subquery.clone();
        }
    }
    let column = || Ident::with_quote('"', COLUMN);
    let comparison = Expr::BinaryOp {
        left: Box::new(Expr::CompoundIdentifier(vec![column(), column()])),
        op: BinaryOperator::Eq,
        right: Box::new(Expr::Nested(Box::new(value.clone()))),
    };
    select.selection = Some(Expr::IsNotFalse(Box::new(Expr::Nested(Box::new(comparison)))));
    Ok(Expr::Exists { subquery: template, negated })
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
    use super::*;

    fn condition(text: &str) -> Result<String, Failure> {
        let mut expr = Parser::new(&TrinoDialect).try_with_sql(text).unwrap().parse_expr().unwrap();
        rewrite(&mut expr, Where { conjunct: true, negated: false })?;
        Ok(expr.to_string())
    }

    #[test]
    fn only_what_turns_null_into_true_is_rewritten() {
        for kept in [
            "a NOT IN (SELECT b FROM t) AND c",
            "NOT (a IN (SELECT b FROM t))",
            "NOT (a IN (SELECT b FROM t) OR c)",
            "a IN (SELECT b FROM t) OR c",
            "EXISTS (SELECT 1 FROM t WHERE b NOT IN (SELECT c FROM u) OR d) OR c",
        ] {
            assert_eq!(condition(kept).unwrap(), kept);
        }
        let rewritten = r#"EXISTS (SELECT 1 FROM (SELECT b FROM t) AS "$in" ("$in") WHERE ("$in"."$in" = (a)) IS NOT FALSE)"#;
        for (text, becomes) in [
            ("a NOT IN (SELECT b FROM t) OR c", format!("NOT {rewritten} OR c")),
            ("NOT (a IN (SELECT b FROM t) AND c)", format!("NOT ({rewritten} AND c)")),
        ] {
            assert_eq!(condition(text).unwrap(), becomes);
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
                condition(text).unwrap_err().code,
                waterbear_protocol::ErrorCode::NOT_SUPPORTED
            );
        }
    }
}
