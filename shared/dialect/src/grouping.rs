//! Keeps the planner from what it believes of columns below GROUPING SETS.
//!
//! A column that is constant below an aggregate, or equal to another, is neither in the aggregate's
//! output: where it is not part of the grouping set it is NULL. DataFusion believes that it still
//! is, takes the partial groups for sorted by it, and gives a group for each run of equal values. So
//! the groups pass an expression that looks at which grouping set they are of: of that nothing is
//! known.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, case, is_null, lit};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::projection::ProjectionExec;

/// The rule; before those that ask what is known.
#[derive(Debug)]
pub(super) struct GroupingSets;

impl PhysicalOptimizerRule for GroupingSets {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let hidden = plan.transform_up(|node| {
            let groups = node
                .downcast_ref::<AggregateExec>()
                .map(AggregateExec::group_expr)
                .filter(|groups| groups.has_grouping_set())
                .map(|groups| groups.expr().len());
            match groups {
                Some(groups) => hide(node, groups).map(Transformed::yes),
                None => Ok(Transformed::no(node)),
            }
        })?;
        Ok(hidden.data)
    }

    fn name(&self) -> &str {
        "grouping_sets"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The aggregate's columns as they are, the first `groups` of them in another's words. The number
/// of the grouping set is the column behind these.
fn hide(aggregate: Arc<dyn ExecutionPlan>, groups: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = aggregate.schema();
    let column = |index: usize| -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(schema.field(index).name(), index))
    };
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let expr = if index < groups {
            let nothing = lit(ScalarValue::try_from(field.data_type())?);
            // The number is never NULL.
            case(None, vec![(is_null(column(groups))?, nothing)], Some(column(index)))?
        } else {
            column(index)
        };
        Ok((expr, field.name().clone()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, aggregate)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::physical_plan::displayable;

    use crate::{ClientContext, configure, parse, plan_query};

    #[tokio::test]
    async fn groups_are_not_taken_for_sorted_by_what_is_constant_below_them() {
        let state = configure(SessionStateBuilder::new_with_default_features()).build();
        let sql = "SELECT a, b, count(*) FROM (VALUES (1, 2), (3, 2)) t(a, b) WHERE b = 2 \
                   GROUP BY ROLLUP (a, b)";
        let context = ClientContext::default();
        let planned = plan_query(&parse(sql).unwrap(), &state, &context).await.unwrap();
        let plan = state.create_physical_plan(&planned.plan).await.unwrap();
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains("mode=Final"), "{text}");
        assert!(!text.contains("ordering_mode"), "{text}");
    }
}
