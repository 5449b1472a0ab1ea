//! Pushes filters towards scans only where names cannot lead them astray.
//!
//! DataFusion's rule finds a filter's columns in the operator below by their names. Below a join
//! two columns may have one name, and the rule takes the first: the filter then removes rows that
//! it should keep. So the rule sees only parts of the plan in which a name is one column; a filter
//! above such a part stays where the logical planner put it.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

use crate::grouping::GroupingSets;
use crate::sorting::Sorted;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rules in their order, with those that push filters kept to safe parts of the plan,
/// [`GroupingSets`] before them all, and [`Sorted`] before the last, which checks the plan.
pub(super) fn physical_rules() -> Vec<Rule> {
    let keep = |rule: Rule| -> Rule {
        if rule.name().starts_with("FilterPushdown") {
            return Arc::new(WhereNamesAreUnique(rule));
        }
        rule
    };
    let mut rules: Vec<Rule> = vec![Arc::new(GroupingSets)];
    rules.extend(PhysicalOptimizer::default().rules.into_iter().map(keep));
    rules.insert(rules.len().saturating_sub(1), Arc::new(Sorted));
    rules
}

/// A rule that goes by names, where these are unique.
#[derive(Debug)]
struct WhereNamesAreUnique(Rule);

impl PhysicalOptimizerRule for WhereNamesAreUnique {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let optimized = plan.transform_down(|node| {
            if !is_safe(&node)? {
                return Ok(Transformed::no(node));
            }
            let node = self.0.optimize(node, config)?;
            Ok(Transformed::new(node, true, TreeNodeRecursion::Jump))
        })?;
        Ok(optimized.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether filters of this operator find their columns below it: nothing misleads there. What it
/// gives itself does not matter, since no filter comes from above.
fn is_safe(root: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let misleading = |node: &Arc<dyn ExecutionPlan>| Ok(misleads(node));
    for child in root.children() {
        if child.exists(misleading)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a filter from above may take another column for its own.
fn misleads(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let mut names = HashSet::new();
    let repeats = schema.fields().iter().any(|field| !names.insert(field.name().as_str()));
    repeats || node.downcast_ref::<HashJoinExec>().is_some_and(is_misleading_semi_join)
}

/// A semi join passes a filter of its key on to the other side too, by the key's name: the column
/// of that name there may be another one than the key.
fn is_misleading_semi_join(join: &HashJoinExec) -> bool {
    let left_gives = match join.join_type() {
        JoinType::LeftSemi => true,
        JoinType::RightSemi => false,
        _ => return false,
    };
    join.on().iter().any(|(left, right)| {
        let (key, other_key, other) = match left_gives {
            true => (left, right, join.right()),
            false => (right, left, join.left()),
        };
        let Some(key) = key.downcast_ref::<Column>() else { return false };
        let Ok(found) = other.schema().index_of(key.name()) else { return false };
        other_key.downcast_ref::<Column>().is_none_or(|other| other.index() != found)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::MemTable;
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn plan(sql: &str) -> String {
        let rules = physical_rules();
        let builder = SessionStateBuilder::new_with_default_features();
        let context =
            SessionContext::new_with_state(builder.with_physical_optimizer_rules(rules).build());
        for name in ["a", "b"] {
            let field = |name: &str| Field::new(name, DataType::Int64, false);
            let schema = Arc::new(Schema::new(vec![field("id"), field("k"), field(name)]));
            let column = || Arc::new(Int64Array::from(vec![1])) as _;
            let columns = vec![column(), column(), column()];
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
            let table = MemTable::try_new(schema, vec![vec![rows]]).unwrap();
            context.register_table(name, Arc::new(table)).unwrap();
        }
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let safe = plan.exists(|node| Ok(!is_safe(node)?)).unwrap();
        format!("{safe} {}", displayable(plan.as_ref()).indent(false))
    }

    #[tokio::test]
    async fn equal_names_on_both_sides_are_seen() {
        for (sql, unsafe_part) in [
            ("SELECT a, b FROM a JOIN b ON a.k = b.k WHERE a + b > 1", false),
            ("SELECT a.id + b.id FROM a RIGHT JOIN b ON a.k = b.k WHERE a.id IS NULL", true),
        ] {
            let plan = plan(sql).await;
            assert!(plan.starts_with(&unsafe_part.to_string()), "{plan}");
        }
    }
}
