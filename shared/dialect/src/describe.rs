//! DESCRIBE INPUT and DESCRIBE OUTPUT: what a query takes and gives, without running it.

use std::collections::HashSet;

use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use datafusion::sql::sqlparser::ast::{SelectItem, SetExpr};
use waterbear_protocol::Failure;
use waterbear_types::TrinoType;

use super::names::naming_part;
use super::plan::plan_query;
use super::{ParsedQuery, Statement};
use crate::ClientContext;

/// A column that a query gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedColumn {
    /// The name that the client sees.
    pub name: String,
    /// Catalog, schema and table that it comes from, unless it is computed.
    pub table: Option<[String; 3]>,
    /// Its type.
    pub trino_type: TrinoType,
    /// Its name is an alias (`AS`).
    pub aliased: bool,
}

/// The types of a query's parameters: none where the query does not say. `statement` has `$1`,
/// `$2`, … for its parameters, `with_nulls` has NULL.
///
/// # Errors
/// What is wrong with the query apart from its parameters.
pub async fn describe_input(
    parameters: usize,
    statement: &Statement,
    with_nulls: &Statement,
    state: &SessionState,
    context: &ClientContext,
) -> Result<Vec<Option<TrinoType>>, Failure> {
    if !matches!(statement, Statement::Query(_)) {
        return Ok(vec![None; parameters]);
    }
    let Ok(planned) = plan_query(statement, state, context).await else {
        // The planner must know some types that nothing tells.
        plan_query(with_nulls, state, context).await?;
        return Ok(vec![None; parameters]);
    };
    let fields = planned.plan.get_parameter_fields().unwrap_or_default();
    let counts = row_counts(&planned.plan);
    let type_of = |number: usize| {
        let name = format!("${number}");
        if counts.contains(&name) {
            return Some(TrinoType::Plain("bigint"));
        }
        TrinoType::of_field(fields.get(&name)?.as_ref()?).ok()
    };
    Ok((1..=parameters).map(type_of).collect())
}

/// The parameters of LIMIT, OFFSET and FETCH FIRST: of them the planner asks no type.
fn row_counts(plan: &LogicalPlan) -> HashSet<String> {
    let mut names = HashSet::new();
    // Nothing in it fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for count in [&limit.skip, &limit.fetch].into_iter().flatten() {
                count.apply(|expr| {
                    if let Expr::Placeholder(placeholder) = expr {
                        names.insert(placeholder.id.clone());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names
}

/// The columns of a query.
///
/// # Errors
/// Those of [`plan_query`].
pub async fn describe_output(
    parsed: &ParsedQuery,
    state: &SessionState,
    context: &ClientContext,
) -> Result<Vec<DescribedColumn>, Failure> {
    let planned = plan_query(&Statement::Query(parsed.clone()), state, context).await?;
    let fields = planned.plan.schema().fields();
    let aliased = aliases(parsed, fields.len());
    let column = |(position, (name, aliased)): (usize, (String, bool))| {
        let trino_type = planned.column_type(position, &fields[position])?;
        let table = origin(&planned.plan, position).map(|table| full(table, context));
        Ok(DescribedColumn { name, table, trino_type, aliased })
    };
    planned.columns.iter().cloned().zip(aliased).enumerate().map(column).collect()
}

fn full(table: &TableReference, context: &ClientContext) -> [String; 3] {
    let or = |part: Option<&str>, default: &Option<String>| {
        part.map(str::to_owned).or(default.clone()).unwrap_or_default()
    };
    [
        or(table.catalog(), &context.catalog),
        or(table.schema(), &context.schema),
        table.table().to_owned(),
    ]
}

/// Which columns have an alias. What stands behind a `*` is counted from the end.
fn aliases(parsed: &ParsedQuery, columns: usize) -> Vec<bool> {
    let mut aliased = vec![false; columns];
    let mut query = parsed.query.clone();
    let SetExpr::Select(select) = naming_part(&mut query.body) else { return aliased };
    let items = &select.projection;
    let is_alias = |item: &SelectItem| matches!(item, SelectItem::ExprWithAlias { .. });
    let is_star = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    let behind = items.iter().rev().take_while(|item| !is_star(item));
    for (slot, item) in aliased.iter_mut().rev().zip(behind) {
        *slot = is_alias(item);
    }
    let before = items.iter().take_while(|item| !is_star(item));
    for (slot, item) in aliased.iter_mut().zip(before) {
        *slot = is_alias(item);
    }
    aliased
}

/// The table that a column of a plan is read from, if nothing is computed on the way.
fn origin(plan: &LogicalPlan, position: usize) -> Option<&TableReference> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(&scan.table_name),
        LogicalPlan::Projection(projection) => {
            origin_of(projection.expr.get(position)?, &projection.input)
        }
        LogicalPlan::Aggregate(aggregate) => {
            origin_of(aggregate.group_expr.get(position)?, &aggregate.input)
        }
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, position),
        LogicalPlan::Filter(filter) => origin(&filter.input, position),
        LogicalPlan::Sort(sort) => origin(&sort.input, position),
        LogicalPlan::Limit(limit) => origin(&limit.input, position),
        LogicalPlan::Window(window) => {
            let width = window.input.schema().fields().len();
            if position < width { origin(&window.input, position) } else { None }
        }
        LogicalPlan::Join(join) => {
            let only_right = matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti);
            let width = if only_right { 0 } else { join.left.schema().fields().len() };
            match position.checked_sub(width) {
                None => origin(&join.left, position),
                Some(position) => origin(&join.right, position),
            }
        }
        _ => None,
    }
}

fn origin_of<'a>(expr: &Expr, input: &'a LogicalPlan) -> Option<&'a TableReference> {
    match expr {
        Expr::Column(column) => origin(input, input.schema().index_of_column(column).ok()?),
        Expr::Alias(alias) => origin_of(&alias.expr, input),
        _ => None,
    }
}
