//! Scalar subqueries: one that gives several rows is an error, not several rows.
//!
//! The engine joins a scalar subquery and trusts it to give one row. One that may give more
//! becomes an aggregate over its rows, which keeps two of them at most, and the place where
//! its value is used looks how many there were. So does one that may give none, of a column that
//! is never NULL: its value is NULL then, which the engine would not expect.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, Subquery,
};
use datafusion::optimizer::AnalyzerRule;

use crate::correlated::gives_one_row;

/// The rule.
#[derive(Debug)]
pub(super) struct SingleRow {
    /// Collects up to two values.
    pub some: Arc<AggregateUDF>,
    /// The only one of them.
    pub only: Arc<ScalarUDF>,
}

impl AnalyzerRule for SingleRow {
    fn name(&self) -> &str {
        "single_row"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| self.rewrite(plan))?.data)
    }
}

impl SingleRow {
    fn rewrite(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| match expr {
                Expr::ScalarSubquery(subquery) if is_uncertain(&subquery) => {
                    Ok(Transformed::yes(self.single(subquery)?))
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        rewritten.map_data(|plan| plan.recompute_schema())
    }

    fn single(&self, subquery: Subquery) -> Result<Expr> {
        let column = subquery.subquery.schema().columns().into_iter().take(1);
        let arguments = column.map(Expr::Column).collect();
        let call = AggregateFunction::new_udf(
            Arc::clone(&self.some),
            arguments,
            false,
            None,
            vec![],
            None,
        );
        let rows = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
            .aggregate(Vec::<Expr>::new(), vec![Expr::AggregateFunction(call)])?
            .build()?;
        let rows = Subquery { subquery: Arc::new(rows), ..subquery };
        Ok(self.only.call(vec![Expr::ScalarSubquery(rows)]))
    }
}

fn is_uncertain(subquery: &Subquery) -> bool {
    let plan = subquery.subquery.as_ref();
    let [column] = &plan.schema().fields()[..] else { return false };
    let may_repeat = plan.max_rows().is_none_or(|rows| rows > 1);
    may_repeat || !(column.is_nullable() || gives_one_row(plan))
}
