//! Refuses the subqueries of which the engine would make a wrong join.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::logical_expr::logical_plan::SkipType;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, Join, LogicalPlan, Operator};

use super::refused;

/// What is wanted of a subquery.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Its only value, or NULL.
    Scalar,
    /// Whether it has a row.
    Existence,
    /// Whether a value is among its rows.
    Value,
    /// Its rows, for each row before it in FROM.
    Lateral,
}

/// Refuses what would be planned wrongly or fail without a name.
///
/// # Errors
/// NOT_SUPPORTED.
pub(super) fn check(plan: &LogicalPlan, wanted: Use) -> Result<()> {
    // The engine knows what an aggregate without groups gives for no rows when it is the last
    // thing that a scalar or lateral subquery does.
    let scalar = matches!(wanted, Use::Scalar | Use::Lateral);
    inspect(plan, Place { last: scalar, below_aggregate: wanted == Use::Scalar })
}

/// Refuses a subquery that looks at more than the query directly around it.
///
/// # Errors
/// NOT_SUPPORTED.
pub(super) fn check_depth(plan: &LogicalPlan, around: &DFSchema) -> Result<()> {
    match outer_columns(plan).iter().all(|column| around.has_column(column)) {
        true => Ok(()),
        false => refused("A subquery that names a column of a query further out"),
    }
}

#[derive(Clone, Copy)]
struct Place {
    /// Nothing but projections is above.
    last: bool,
    /// An aggregate is above, or will be.
    below_aggregate: bool,
}

fn inspect(plan: &LogicalPlan, place: Place) -> Result<()> {
    if !is_correlated(plan) {
        return Ok(());
    }
    let inside = Place { last: false, ..place };
    match plan {
        LogicalPlan::Projection(projection) => {
            names_around(&projection.expr)?;
            inspect(&projection.input, place)
        }
        LogicalPlan::SubqueryAlias(alias) => inspect(&alias.input, inside),
        LogicalPlan::Distinct(distinct) => inspect(distinct.input(), inside),
        LogicalPlan::Filter(filter) => {
            if place.below_aggregate
                && !split_conjunction(&filter.predicate).iter().all(|c| joins(c))
            {
                return refused(
                    "A condition on the row around a scalar subquery or an aggregate, other than \
                     that two values are equal,",
                );
            }
            inspect(&filter.input, inside)
        }
        LogicalPlan::Aggregate(aggregate) => inspect_aggregate(aggregate, place),
        LogicalPlan::Window(_) => {
            refused("A window function over the rows of a correlated subquery")
        }
        LogicalPlan::Limit(limit) => match limit.get_skip_type()? {
            SkipType::Literal(0) => inspect(&limit.input, inside),
            _ => refused("OFFSET in a correlated subquery"),
        },
        LogicalPlan::Join(join) => inspect_join(join, inside),
        LogicalPlan::Union(_) => refused("A set operation in a correlated subquery"),
        LogicalPlan::Sort(sort) => inspect(&sort.input, inside),
        // A scope of its own.
        LogicalPlan::Subquery(_) => Ok(()),
        other => {
            names_around(&other.expressions())?;
            other.inputs().into_iter().try_for_each(|input| inspect(input, inside))
        }
    }
}

fn inspect_aggregate(aggregate: &Aggregate, place: Place) -> Result<()> {
    names_around(&aggregate.aggr_expr)?;
    names_around(&aggregate.group_expr)?;
    let for_no_rows = aggregate.group_expr.is_empty()
        || aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
    if for_no_rows && !place.last {
        return refused(
            "An aggregate without groups below other operations of a correlated subquery",
        );
    }
    inspect(&aggregate.input, Place { last: false, below_aggregate: true })
}

fn inspect_join(join: &Join, inside: Place) -> Result<()> {
    names_around(join.filter.as_slice())?;
    // Conditions are pulled up above the join, where they see rows that it has filled with NULLs.
    let (left, right) = match join.join_type {
        JoinType::Inner => (false, false),
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        _ => (true, true),
    };
    if (left && is_correlated(&join.left)) || (right && is_correlated(&join.right)) {
        return refused("A correlated subquery on the optional side of an outer join");
    }
    inspect(&join.left, inside)?;
    inspect(&join.right, inside)
}

/// Refuses columns of the query around in other places than WHERE.
fn names_around(exprs: &[Expr]) -> Result<()> {
    match exprs.iter().any(Expr::contains_outer) {
        true => refused("A column of the query around a subquery, outside of WHERE,"),
        false => Ok(()),
    }
}

/// Whether a condition is no concern of the row around, or that two values are equal, one of each.
fn joins(condition: &Expr) -> bool {
    if !condition.contains_outer() {
        return true;
    }
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return false;
    };
    let inner = |expr: &Expr| !expr.contains_outer();
    let outer = |expr: &Expr| expr.contains_outer() && !expr.any_column_refs();
    (inner(left) && outer(right)) || (outer(left) && inner(right))
}

/// Whether a plan names columns of the query directly around it.
pub(super) fn is_correlated(plan: &LogicalPlan) -> bool {
    !outer_columns(plan).is_empty()
}

/// The columns of other queries that a plan names itself: not in the subqueries inside of it.
fn outer_columns(plan: &LogicalPlan) -> Vec<Column> {
    let mut columns = Vec::new();
    // The closures give no errors.
    let _ = plan.apply(|node| {
        if matches!(node, LogicalPlan::Subquery(_)) {
            return Ok(TreeNodeRecursion::Jump);
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr {
                    columns.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    columns
}
