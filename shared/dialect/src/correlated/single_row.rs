//! Subqueries that give exactly one row, or one unless their HAVING says no: what is asked of
//! them is a question to the values of that row.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery, not, when};

use super::shape::{Use, check, is_correlated};
use super::{as_subquery, has_subquery, truth};

/// What is above an aggregate without groups, in one step.
struct SingleRow<'a> {
    aggregate: &'a LogicalPlan,
    /// The subquery's columns, over those of the aggregate.
    columns: Vec<Expr>,
    /// Without it there is no row.
    having: Option<Expr>,
}

impl SingleRow<'_> {
    /// A subquery for a value over the aggregate's columns; the value alone where it is over none.
    fn value(&self, value: Expr, like: &Subquery) -> Result<Expr> {
        if !value.any_column_refs() {
            return Ok(value);
        }
        let plan = LogicalPlanBuilder::from(self.aggregate.clone());
        let plan = plan.project([value.alias("value")])?.build()?;
        check(&plan, Use::Scalar)?;
        Ok(Expr::ScalarSubquery(as_subquery(plan, like)))
    }
}

/// A scalar subquery: NULL if HAVING says no.
pub(super) fn scalar(subquery: &Subquery) -> Result<Option<Expr>> {
    if let LogicalPlan::Projection(projection) = subquery.subquery.as_ref()
        && matches!(projection.input.as_ref(), LogicalPlan::EmptyRelation(empty) if empty.produce_one_row)
        && let [value] = &projection.expr[..]
        && !has_subquery(value)
        && value.contains_outer()
    {
        return Ok(Some(as_seen_around(value.clone())?));
    }
    if !is_correlated(&subquery.subquery) {
        return Ok(None);
    }
    let Some(row) = single_row(&subquery.subquery)? else { return Ok(None) };
    let Some(first) = row.columns.first().cloned() else { return Ok(None) };
    let value = match row.having.clone() {
        Some(having) => when(having, first).end()?,
        None => first,
    };
    row.value(value, subquery).map(Some)
}

/// `EXISTS`: true unless HAVING says no.
pub(super) fn exists(exists: &Exists) -> Result<Option<Expr>> {
    let Exists { subquery, negated } = exists;
    if !is_correlated(&subquery.subquery) {
        return Ok(None);
    }
    let Some(row) = single_row(&subquery.subquery)? else { return Ok(None) };
    let there = match row.having.clone() {
        Some(having) => Expr::IsTrue(Box::new(row.value(having, subquery)?)),
        None => truth(true),
    };
    Ok(Some(if *negated { not(there) } else { there }))
}

/// `IN`: a comparison, or false if HAVING says no.
pub(super) fn within(within: &InSubquery) -> Result<Option<Expr>> {
    let InSubquery { expr, subquery, negated } = within;
    if !is_correlated(&subquery.subquery) {
        return Ok(None);
    }
    let Some(row) = single_row(&subquery.subquery)? else { return Ok(None) };
    let Some(first) = row.columns.first().cloned() else { return Ok(None) };
    let equal = expr.as_ref().clone().eq(row.value(first, subquery)?);
    let inside = match row.having.clone() {
        Some(having) => Expr::IsTrue(Box::new(row.value(having, subquery)?)).and(equal),
        None => equal,
    };
    Ok(Some(if *negated { not(inside) } else { inside }))
}

/// True for a plan that gives one row, whatever its tables hold.
pub(crate) fn gives_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_one_row(&alias.input),
        LogicalPlan::Sort(sort) => gives_one_row(&sort.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Values(values) => values.values.len() == 1,
        _ => false,
    }
}

/// The plan as what is done with the one row of an aggregate, if it is that.
fn single_row(plan: &LogicalPlan) -> Result<Option<SingleRow<'_>>> {
    let step = match plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
            let columns = aggregate.schema.columns().into_iter().map(Expr::Column).collect();
            return Ok(Some(SingleRow { aggregate: plan, columns, having: None }));
        }
        LogicalPlan::Projection(projection) => {
            let Some(row) = single_row(&projection.input)? else { return Ok(None) };
            let schema = projection.input.schema();
            let columns = projection.expr.iter().map(|expr| over(expr, schema, &row.columns));
            let Some(columns) = columns.collect::<Result<Option<Vec<_>>>>()? else {
                return Ok(None);
            };
            Some(SingleRow { columns, ..row })
        }
        LogicalPlan::Filter(filter) => {
            let Some(row) = single_row(&filter.input)? else { return Ok(None) };
            let condition = over(&filter.predicate, filter.input.schema(), &row.columns)?;
            let Some(condition) = condition else { return Ok(None) };
            let having = match row.having {
                Some(having) => having.and(condition),
                None => condition,
            };
            Some(SingleRow { having: Some(having), ..row })
        }
        LogicalPlan::SubqueryAlias(alias) => single_row(&alias.input)?,
        LogicalPlan::Sort(sort) => single_row(&sort.input)?,
        LogicalPlan::Distinct(distinct) => single_row(distinct.input())?,
        LogicalPlan::Limit(limit) => {
            let keeps = matches!(limit.get_skip_type()?, SkipType::Literal(0))
                && !matches!(
                    limit.get_fetch_type()?,
                    FetchType::Literal(Some(0)) | FetchType::UnsupportedExpr
                );
            if keeps { single_row(&limit.input)? } else { None }
        }
        _ => None,
    };
    Ok(step)
}

/// `expr` over `columns` instead of those of `schema`; None for what cannot be moved.
fn over(expr: &Expr, schema: &DFSchemaRef, columns: &[Expr]) -> Result<Option<Expr>> {
    if has_subquery(expr) || expr.contains_outer() {
        return Ok(None);
    }
    let moved = expr.clone().unalias().transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let position = schema.index_of_column(column)?;
        Ok(Transformed::yes(columns[position].clone()))
    })?;
    Ok(Some(moved.data))
}

/// What a subquery without rows of its own computes, said by the query around it.
fn as_seen_around(value: Expr) -> Result<Expr> {
    let seen = value.unalias().transform(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        expr => Ok(Transformed::no(expr)),
    })?;
    Ok(seen.data)
}
