//! `x IN (SELECT …)` where NULL is not the same as false.
//!
//! The engine makes a join of it that says true or false, never NULL. In a condition that is
//! right as long as nothing turns false into true: `x IN (…)` below AND and OR; and for
//! `x NOT IN (…)` as one of the condition's conjuncts there is a join of its own, as long as the
//! subquery does not look at the row around it. Everything else that is below NOT becomes NOT
//! EXISTS with the three-valued comparison inside.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator};

use super::shape::is_correlated;
use super::{as_subquery, has_subquery, refused, truth};

/// Rewrites a condition over rows of `around`.
///
/// # Errors
/// NOT_SUPPORTED for a value that cannot be compared inside of the subquery.
pub(super) fn rewrite(condition: Expr, around: &DFSchema) -> Result<Expr> {
    inside(condition, Where { conjunct: true, negated: false }, around)
}

/// Where an expression stands in its condition.
#[derive(Clone, Copy)]
struct Where {
    /// The condition holds only if this one holds.
    conjunct: bool,
    /// An odd number of NOTs is above.
    negated: bool,
}

fn inside(expr: Expr, at: Where, around: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Not(inner) => {
            let at = Where { negated: !at.negated, ..at };
            Ok(Expr::Not(Box::new(inside(*inner, at, around)?)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            // NOT (a OR b) is NOT a AND NOT b.
            let is_and = (op == Operator::And) != at.negated;
            let at = Where { conjunct: at.conjunct && is_and, ..at };
            let left = inside(*left, at, around)?;
            let right = inside(*right, at, around)?;
            Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        Expr::InSubquery(within) => {
            let null_is_false = within.negated == at.negated;
            let joined = at.conjunct && !is_correlated(&within.subquery.subquery);
            if null_is_false || joined {
                return Ok(Expr::InSubquery(within));
            }
            exists(within, around)
        }
        expr => Ok(expr),
    }
}

/// `EXISTS` that is true where `IN` is true or NULL.
fn exists(within: InSubquery, around: &DFSchema) -> Result<Expr> {
    let InSubquery { expr, subquery, negated } = within;
    if has_subquery(&expr) || expr.contains_outer() {
        return refused("NOT IN with a subquery, of a value that another query computes,");
    }
    let outside = expr.transform(|expr| match expr {
        Expr::Column(column) => {
            let (_, field) = around.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field.clone(), column)))
        }
        expr => Ok(Transformed::no(expr)),
    })?;
    let (value, rows) = value_and_rows(&subquery.subquery)?;
    let equal = BinaryExpr::new(Box::new(value), Operator::Eq, Box::new(outside.data));
    let maybe = Expr::IsNotFalse(Box::new(Expr::BinaryExpr(equal)));
    // The engine looks for the columns around in one filter of each part of a plan, not in two.
    let (rows, maybe) = match rows {
        LogicalPlan::Filter(filter) => (filter.input.as_ref().clone(), filter.predicate.and(maybe)),
        rows => (rows, maybe),
    };
    let rows = LogicalPlanBuilder::from(rows).filter(maybe)?.project([truth(true)])?.build()?;
    Ok(Expr::Exists(Exists { subquery: as_subquery(rows, &subquery), negated }))
}

/// What the subquery gives, and the rows that it gives that of.
fn value_and_rows(plan: &LogicalPlan) -> Result<(Expr, LogicalPlan)> {
    match plan {
        // How often a value is there does not matter.
        LogicalPlan::Distinct(distinct) => value_and_rows(distinct.input()),
        LogicalPlan::Projection(projection) if projection.expr.len() == 1 => {
            Ok((projection.expr[0].clone().unalias(), projection.input.as_ref().clone()))
        }
        plan => match &plan.schema().columns()[..] {
            [column] => Ok((Expr::Column(column.clone()), plan.clone())),
            _ => refused("IN with a subquery of several columns"),
        },
    }
}
