//! Which tables a query reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use serde_json::{Value, json};

use super::{json as plan_json, physical};
use crate::query::ClientContext;

/// Catalog, schema and name of each table that a plan reads, subqueries included.
pub fn tables(plan: &LogicalPlan, context: &ClientContext) -> BTreeSet<[String; 3]> {
    let mut tables = BTreeSet::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let name = &scan.table_name;
            let or = |part: Option<&str>, session: &Option<String>| {
                part.map(str::to_owned).or_else(|| session.clone()).unwrap_or_default()
            };
            tables.insert([
                or(name.catalog(), &context.catalog),
                or(name.schema(), &context.schema),
                name.table().to_owned(),
            ]);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "nothing above fails");
    tables
}

/// Writes the tables that a plan reads, and how much the plan probably gives.
pub fn write(
    plan: &LogicalPlan,
    physical: &Arc<dyn ExecutionPlan>,
    context: &ClientContext,
) -> String {
    let inputs: Vec<Value> = tables(plan, context)
        .into_iter()
        .map(|[catalog, schema, table]| {
            json!({
                "table": {
                    "catalog": catalog,
                    "schemaTable": { "schema": schema, "table": table },
                },
                "constraint": { "none": false, "columnConstraints": [] },
                "estimate": plan_json::estimate(super::Estimate::default()),
            })
        })
        .collect();
    plan_json::pretty(&json!({
        "inputTableColumnInfos": inputs,
        "estimate": plan_json::estimate(physical::estimate(physical)),
    }))
}
