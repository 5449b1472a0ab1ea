//! Sorts again where a late rule lost what had made a sort unnecessary.
//!
//! DataFusion leaves a sort by a constant column out. Rules that come after that one may move the
//! filter that made it constant, and the plan is then refused as a whole: its last check finds an
//! operator whose input is not known to be in order.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// The rule; before the last check.
#[derive(Debug)]
pub(super) struct Sorted;

impl PhysicalOptimizerRule for Sorted {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let mut missing = false;
            let mut children = Vec::new();
            for (child, required) in node.children().into_iter().zip(node.required_input_ordering())
            {
                let child = Arc::clone(child);
                let Some(required) = required.map(|required| required.into_single()) else {
                    children.push(child);
                    continue;
                };
                let known = child.equivalence_properties();
                if known.ordering_satisfy_requirement(required.clone())? {
                    children.push(child);
                    continue;
                }
                missing = true;
                let partitions = child.output_partitioning().partition_count();
                let sort = SortExec::new(required.into(), child);
                children.push(Arc::new(sort.with_preserve_partitioning(partitions > 1)));
            }
            if !missing {
                return Ok(Transformed::no(node));
            }
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(children, options).map(Transformed::yes)
        })
        .map(|sorted| sorted.data)
    }

    fn name(&self) -> &str {
        "sorted"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::MemTable;
    use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn a_sort_that_is_missing_is_put_back() {
        let context = SessionContext::new();
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let column = Arc::new(Int64Array::from(vec![2, 1])) as _;
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        context
            .register_table("t", Arc::new(MemTable::try_new(schema, vec![vec![rows]]).unwrap()))
            .unwrap();
        let sql = "SELECT a, row_number() OVER (ORDER BY a) FROM t";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let lost = plan.transform_up(|node| match node.downcast_ref::<SortExec>() {
            Some(sort) => Ok(Transformed::yes(Arc::clone(sort.input()))),
            None => Ok(Transformed::no(node)),
        });
        let (lost, config) = (lost.unwrap().data, ConfigOptions::default());
        let check = SanityCheckPlan::new();
        assert!(check.optimize(Arc::clone(&lost), &config).is_err());
        let sorted = Sorted.optimize(lost, &config).unwrap();
        let shown = displayable(sorted.as_ref()).indent(false).to_string();
        assert!(shown.contains("SortExec"), "{shown}");
        assert!(check.optimize(sorted, &config).is_ok(), "{shown}");
    }
}
