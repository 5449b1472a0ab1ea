//! The plan before it is cut.

use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, SortExpr};

use super::names::{clean, outputs};
use super::{Part, PlanNode, output_node};

/// The plan of a query whose columns have these names.
pub fn part(columns: &[String], plan: &LogicalPlan) -> Part {
    Part { root: output_node(columns, node(plan)), ..Part::default() }
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))
}

fn text(expr: &Expr) -> String {
    clean(&expr.human_display().to_string())
}

fn ordering(keys: &[SortExpr]) -> String {
    list(keys, |key| {
        let direction = if key.asc { "ASC" } else { "DESC" };
        let nulls = if key.nulls_first { "NULLS FIRST" } else { "NULLS LAST" };
        format!("{} {direction} {nulls}", text(&key.expr))
    })
}

fn node(plan: &LogicalPlan) -> PlanNode {
    // Another name for the same rows is no operator.
    if let LogicalPlan::SubqueryAlias(alias) = plan {
        return node(&alias.input);
    }
    let (name, descriptor) = describe(plan);
    let descriptor = descriptor.into_iter().map(|(name, value)| (name.to_owned(), value));
    PlanNode {
        name,
        descriptor: descriptor.collect(),
        outputs: outputs(plan.schema().as_arrow()),
        children: plan.inputs().into_iter().map(node).collect(),
        ..PlanNode::default()
    }
}

fn describe(plan: &LogicalPlan) -> (String, Vec<(&'static str, String)>) {
    let named = |name: &str, descriptor| (name.to_owned(), descriptor);
    match plan {
        LogicalPlan::TableScan(scan) => {
            let mut descriptor = vec![("table", scan.table_name.to_string())];
            if !scan.filters.is_empty() {
                descriptor.push(("filters", list(&scan.filters, text)));
            }
            if let Some(fetch) = scan.fetch {
                descriptor.push(("limit", fetch.to_string()));
            }
            named("TableScan", descriptor)
        }
        LogicalPlan::Filter(filter) => {
            named("Filter", vec![("filterPredicate", text(&filter.predicate))])
        }
        LogicalPlan::Projection(projection) => {
            named("Project", vec![("expressions", list(&projection.expr, text))])
        }
        LogicalPlan::Aggregate(aggregate) => {
            let mut descriptor = Vec::new();
            if !aggregate.group_expr.is_empty() {
                descriptor.push(("keys", list(&aggregate.group_expr, text)));
            }
            descriptor.push(("aggregates", list(&aggregate.aggr_expr, text)));
            named("Aggregate", descriptor)
        }
        LogicalPlan::Window(window) => {
            named("Window", vec![("functions", list(&window.window_expr, text))])
        }
        LogicalPlan::Sort(sort) => {
            let order = ("orderBy", ordering(&sort.expr));
            match sort.fetch {
                Some(count) => named("TopN", vec![("count", count.to_string()), order]),
                None => named("Sort", vec![order]),
            }
        }
        LogicalPlan::Limit(limit) => {
            let mut descriptor = Vec::new();
            if let Some(fetch) = &limit.fetch {
                descriptor.push(("count", text(fetch)));
            }
            if let Some(skip) = &limit.skip {
                descriptor.push(("offset", text(skip)));
            }
            named("Limit", descriptor)
        }
        LogicalPlan::Join(join) => {
            let keys = list(&join.on, |(left, right)| format!("{} = {}", text(left), text(right)));
            let mut descriptor = Vec::new();
            if !join.on.is_empty() {
                descriptor.push(("criteria", keys));
            }
            if let Some(filter) = &join.filter {
                descriptor.push(("filter", text(filter)));
            }
            let crosses = descriptor.is_empty() && join.join_type == JoinType::Inner;
            let name = if crosses { "CrossJoin".to_owned() } else { join_name(join.join_type) };
            (name, descriptor)
        }
        LogicalPlan::Values(values) => {
            named("Values", vec![("rows", values.values.len().to_string())])
        }
        LogicalPlan::EmptyRelation(empty) => {
            let rows = u8::from(empty.produce_one_row);
            named("Values", vec![("rows", rows.to_string())])
        }
        LogicalPlan::Union(_) => named("Union", Vec::new()),
        LogicalPlan::Distinct(_) => named("Aggregate", vec![("aggregates", "[]".to_owned())]),
        LogicalPlan::Unnest(unnest) => {
            let columns = list(&unnest.exec_columns, |column| clean(&column.name));
            named("Unnest", vec![("columns", columns)])
        }
        LogicalPlan::RecursiveQuery(query) => {
            named("RecursiveUnion", vec![("name", clean(&query.name))])
        }
        LogicalPlan::Repartition(_) => named("Exchange", Vec::new()),
        LogicalPlan::Subquery(_) => named("Subquery", Vec::new()),
        other => {
            let line = clean(&other.display().to_string());
            (line.split([':', ' ']).next().unwrap_or_default().to_owned(), Vec::new())
        }
    }
}

/// What Trino calls a join.
pub(super) fn join_name(kind: JoinType) -> String {
    match kind {
        JoinType::Inner => "InnerJoin",
        JoinType::Left => "LeftJoin",
        JoinType::Right => "RightJoin",
        JoinType::Full => "FullJoin",
        JoinType::LeftSemi | JoinType::RightSemi => "SemiJoin",
        JoinType::LeftAnti | JoinType::RightAnti => "AntiJoin",
        JoinType::LeftMark | JoinType::RightMark => "MarkJoin",
    }
    .to_owned()
}
