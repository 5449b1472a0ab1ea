//! Subqueries that look at the row around them.
//!
//! The engine makes joins of them, and of some shapes joins with other rows than the subquery's:
//! it drops a HAVING, forgets that an aggregate without groups gives a row for no rows too,
//! numbers rows of all groups together, ignores an OFFSET. Here each such subquery becomes one
//! that the engine understands ([`single_row`], [`three_valued`]), or is refused ([`shape`]):
//! nothing that is left is planned wrongly. Runs on plans that are fresh from their text.

mod shape;
mod single_row;
mod three_valued;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, Subquery, lit};
use datafusion::optimizer::AnalyzerRule;
use waterbear_protocol::{ErrorCode, Failure};

pub(super) use single_row::gives_one_row;

/// The rule.
#[derive(Debug)]
pub(super) struct Correlated;

impl AnalyzerRule for Correlated {
    fn name(&self) -> &str {
        "correlated_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite)?.data)
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Filter(filter) => LogicalPlan::Filter(with_three_values(filter)?),
        LogicalPlan::Join(join) => {
            check_join(&join)?;
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        plan => plan,
    };
    let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
    if !plan.expressions().iter().any(has_subquery) {
        return Ok(Transformed::yes(plan));
    }
    let around = input.schema().clone();
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| subquery(expr, &around))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.map_data(LogicalPlan::recompute_schema)
}

/// Refuses lateral subqueries that would be planned wrongly, and subqueries in ON but those that
/// the engine can make conditions above the join.
fn check_join(join: &Join) -> Result<()> {
    for side in [&join.left, &join.right] {
        if let Some(lateral) = lateral(side) {
            shape::check(&lateral.subquery, shape::Use::Lateral)?;
        }
    }
    for condition in join.filter.iter().flat_map(split_conjunction) {
        let alone = match condition {
            Expr::Not(inner) => matches!(inner.as_ref(), Expr::InSubquery(_)),
            condition => matches!(condition, Expr::InSubquery(_)),
        };
        let refuses = |expr: &Expr| match expr {
            Expr::ScalarSubquery(subquery) | Expr::Exists(Exists { subquery, .. }) => {
                shape::is_correlated(&subquery.subquery)
            }
            Expr::InSubquery(InSubquery { subquery, .. }) => {
                let joined = alone && join.join_type == JoinType::Inner;
                !joined || shape::is_correlated(&subquery.subquery)
            }
            Expr::SetComparison(_) => true,
            _ => false,
        };
        if condition.exists(|expr| Ok(refuses(expr)))? {
            return refused("Such a subquery in the condition of a join");
        }
    }
    Ok(())
}

/// The side of a join, if it is a subquery over each row of the other side.
fn lateral(side: &LogicalPlan) -> Option<&Subquery> {
    match side {
        LogicalPlan::SubqueryAlias(alias) => lateral(&alias.input),
        LogicalPlan::Subquery(subquery) => Some(subquery),
        _ => None,
    }
}

/// One expression, if it is a subquery.
fn subquery(expr: Expr, around: &DFSchema) -> Result<Transformed<Expr>> {
    let rewritten = match &expr {
        Expr::ScalarSubquery(subquery) => {
            shape::check_depth(&subquery.subquery, around)?;
            single_row::scalar(subquery)?
        }
        Expr::Exists(exists) => {
            shape::check_depth(&exists.subquery.subquery, around)?;
            single_row::exists(exists)?
        }
        Expr::InSubquery(within) => {
            shape::check_depth(&within.subquery.subquery, around)?;
            single_row::within(within)?
        }
        Expr::SetComparison(SetComparison { subquery, .. }) => {
            shape::check_depth(&subquery.subquery, around)?;
            shape::check(&subquery.subquery, shape::Use::Value)?;
            None
        }
        _ => None,
    };
    if let Some(rewritten) = rewritten {
        return Ok(Transformed::yes(rewritten));
    }
    match &expr {
        Expr::ScalarSubquery(subquery) => shape::check(&subquery.subquery, shape::Use::Scalar)?,
        Expr::Exists(Exists { subquery, .. }) => {
            shape::check(&subquery.subquery, shape::Use::Existence)?;
        }
        Expr::InSubquery(InSubquery { subquery, .. }) => {
            shape::check(&subquery.subquery, shape::Use::Value)?;
        }
        _ => {}
    }
    Ok(Transformed::no(expr))
}

/// The filter with `IN` as the three-valued logic has it, where that matters.
fn with_three_values(filter: Filter) -> Result<Filter> {
    if !has_subquery(&filter.predicate) {
        return Ok(filter);
    }
    let predicate = three_valued::rewrite(filter.predicate, filter.input.schema())?;
    Filter::try_new(predicate, filter.input)
}

fn has_subquery(expr: &Expr) -> bool {
    // The closure gives no errors.
    expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    })
    .unwrap_or(false)
}

/// A plan as a subquery, with the columns of the query around it that it names.
fn as_subquery(plan: LogicalPlan, like: &Subquery) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: plan.into(), outer_ref_columns, spans: like.spans.clone() }
}

fn truth(value: bool) -> Expr {
    lit(value)
}

fn refused<T>(what: &str) -> Result<T> {
    let failure = Failure::new(ErrorCode::NOT_SUPPORTED, format!("{what} is not supported"));
    Err(DataFusionError::External(Box::new(failure)))
}
