//! UNNEST as a table.
//!
//! Its arguments become one array of rows (`$unnest`), which the engine's own unnesting makes rows
//! of. As a join's right side the arguments may name columns of the left side: the planner
//! leaves a correlated subquery there, which [`InlineUnnest`] turns into a projection over the
//! left side.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, SchemaError, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder, ScalarUDF, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::{TableAlias, TableFactor};
use waterbear_protocol::{ErrorCode, Failure};

use crate::lexer::{failure_at, place};

/// The column with the arrays of rows, and then the rows. Nobody can type it.
const ROWS: &str = "\u{1f}unnest";

/// The functions that UNNEST is planned with.
#[derive(Debug, Clone)]
pub(super) struct UnnestFunctions {
    pub inner: Arc<ScalarUDF>,
    pub outer: Arc<ScalarUDF>,
    pub subscript: Arc<ScalarUDF>,
}

/// Plans UNNEST in FROM.
#[derive(Debug)]
pub(super) struct UnnestPlanner(pub UnnestFunctions);

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let arguments = array_exprs
            .into_iter()
            .map(|expr| resolved(context.sql_expr_to_logical_expr(expr, &DFSchema::empty())?))
            .collect::<Result<Vec<_>>>()?;
        let rows = self.0.inner.call(arguments);
        let width = width(&rows)? + usize::from(with_ordinality);
        let names = names(alias.as_ref(), width)?;
        let alias = alias.map(|alias| TableAlias { columns: Vec::new(), ..alias });
        let columns = names.into_iter().enumerate().map(|(position, name)| {
            let rows = Expr::Column(Column::new_unqualified(ROWS));
            self.0.subscript.call(vec![rows, lit(position as i64 + 1)]).alias(name)
        });
        let plan = LogicalPlanBuilder::empty(true)
            .project([rows.alias(ROWS)])?
            .unnest_column(ROWS)?
            .project(columns.collect::<Vec<_>>())?
            .build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// All that an argument names is of the other side of the join, or of a query around.
fn resolved(argument: Expr) -> Result<Expr> {
    match argument.column_refs().into_iter().next() {
        None => Ok(argument),
        Some(column) => Err(DataFusionError::SchemaError(
            Box::new(SchemaError::FieldNotFound {
                field: Box::new(column.clone()),
                valid_fields: Vec::new(),
            }),
            Box::new(None),
        )),
    }
}

/// The columns without the ordinality, which is the last.
fn width(rows: &Expr) -> Result<usize> {
    match rows.get_type(&DFSchema::empty())? {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => Ok(fields.len() - 1),
            _ => Ok(1),
        },
        _ => Ok(1),
    }
}

fn names(alias: Option<&TableAlias>, width: usize) -> Result<Vec<String>> {
    let unnamed = || (0..width).map(|position| format!("_col{position}")).collect();
    let Some(alias) = alias.filter(|alias| !alias.columns.is_empty()) else { return Ok(unnamed()) };
    if alias.columns.len() != width {
        let message = format!(
            "Column alias list has {} entries but '{}' has {width} columns available",
            alias.columns.len(),
            alias.name.value
        );
        let at = place(alias.name.span.start);
        return Err(external(failure_at(at, ErrorCode::MISMATCHED_COLUMN_ALIASES, message)));
    }
    let name = |column: &datafusion::sql::sqlparser::ast::TableAliasColumnDef| {
        column.name.value.to_lowercase()
    };
    Ok(alias.columns.iter().map(name).collect())
}

fn external(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}

/// Turns a join with a correlated UNNEST into a projection over its left side.
#[derive(Debug)]
pub(super) struct InlineUnnest(pub UnnestFunctions);

impl AnalyzerRule for InlineUnnest {
    fn name(&self) -> &str {
        "inline_unnest"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let inline = |plan: LogicalPlan| match &plan {
            LogicalPlan::Join(join) => match correlated(&join.right) {
                Some((alias, unnest)) => Ok(Transformed::yes(self.inline(join, alias, unnest)?)),
                None => Ok(Transformed::no(plan)),
            },
            _ => Ok(Transformed::no(plan)),
        };
        Ok(plan.transform_up_with_subqueries(inline)?.data)
    }
}

/// The parts of a planned UNNEST.
struct Unnest<'a> {
    /// The call of `$unnest`.
    rows: &'a Expr,
    /// The columns of the result.
    columns: &'a [Expr],
}

/// The alias and the UNNEST of a join's side that is one with references to the other side.
fn correlated(plan: &LogicalPlan) -> Option<(Option<&TableReference>, Unnest<'_>)> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => {
            correlated(&alias.input).map(|(_, unnest)| (Some(&alias.alias), unnest))
        }
        LogicalPlan::Subquery(subquery) => {
            let LogicalPlan::Projection(columns) = subquery.subquery.as_ref() else { return None };
            let LogicalPlan::Unnest(unnest) = columns.input.as_ref() else { return None };
            let LogicalPlan::Projection(rows) = unnest.input.as_ref() else { return None };
            let [Expr::Alias(call)] = rows.expr.as_slice() else { return None };
            let is_ours = call.name == ROWS;
            let unnest = Unnest { rows: &call.expr, columns: &columns.expr };
            is_ours.then_some((None, unnest))
        }
        _ => None,
    }
}

impl InlineUnnest {
    fn inline(
        &self,
        join: &Join,
        alias: Option<&TableReference>,
        unnest: Unnest<'_>,
    ) -> Result<LogicalPlan> {
        let always =
            |filter: &Expr| matches!(filter, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
        let filter = join.filter.as_ref().filter(|filter| !always(filter));
        let plain = join.on.is_empty() && (join.join_type == JoinType::Inner || filter.is_none());
        let known = matches!(join.join_type, JoinType::Inner | JoinType::Left);
        if !plain || !known {
            let message = "UNNEST in a join is only supported with condition ON TRUE, \
                           as the right side of a CROSS, INNER or LEFT JOIN";
            return Err(external(Failure::new(ErrorCode::NOT_SUPPORTED, message)));
        }
        let left: Vec<Expr> = join
            .left
            .schema()
            .iter()
            .map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))))
            .collect();
        let outer = join.join_type == JoinType::Left;
        let rows = self.rows(unnest.rows, outer)?;
        let with_rows = left.iter().cloned().chain([rows.alias(ROWS)]);
        let columns = unnest.columns.iter().map(|column| match (column, alias) {
            (Expr::Alias(column), Some(alias)) => {
                column.expr.as_ref().clone().alias_qualified(Some(alias.clone()), &column.name)
            }
            (column, _) => column.clone(),
        });
        let columns = left.iter().cloned().chain(columns).collect::<Vec<_>>();
        let builder = LogicalPlanBuilder::from(join.left.as_ref().clone())
            .project(with_rows.collect::<Vec<_>>())?
            .unnest_column(ROWS)?
            .project(columns)?;
        match filter {
            Some(filter) => builder.filter(filter.clone())?.build(),
            None => builder.build(),
        }
    }

    /// The call with the left side's columns in the place of references to them.
    fn rows(&self, call: &Expr, outer: bool) -> Result<Expr> {
        let inlined = call.clone().transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
            expr => Ok(Transformed::no(expr)),
        })?;
        match inlined.data {
            Expr::ScalarFunction(call) if outer => Ok(self.0.outer.call(call.args)),
            expr => Ok(expr),
        }
    }
}
