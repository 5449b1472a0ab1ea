//! Arrays, maps and rows in expressions: what the parser has of them as calls of Trino's functions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, not_impl_err};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr, RawWindowExpr,
    RelationPlanner,
};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, ScalarUDF, cast, not};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use waterbear_functions::{aggregate_function, scalar_function};

use crate::correlated::Correlated;
use crate::subquery::SingleRow;
use crate::unnest::{InlineUnnest, UnnestFunctions, UnnestPlanner};

/// What a session needs to plan arrays, maps and rows.
#[derive(Debug)]
pub(super) struct Nested {
    expressions: Arc<dyn ExprPlanner>,
    relations: Arc<dyn RelationPlanner>,
    /// Rules that go before all others.
    pub rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
}

impl Nested {
    /// None when a function is not registered, which would be a bug.
    pub fn new() -> Option<Self> {
        let subscript = scalar_function("$subscript")?;
        let unnest = UnnestFunctions {
            inner: scalar_function("$unnest")?,
            outer: scalar_function("$unnest_outer")?,
            subscript: Arc::clone(&subscript),
        };
        let expressions = NestedPlanner {
            subscript,
            array: scalar_function("$array")?,
            concat: scalar_function("$array_concat")?,
            equal: scalar_function("$equal")?,
            less: scalar_function("$less")?,
        };
        let single =
            SingleRow { some: aggregate_function("$some")?, only: scalar_function("$only")? };
        Some(Self {
            expressions: Arc::new(expressions),
            relations: Arc::new(UnnestPlanner(unnest.clone())),
            rules: vec![Arc::new(InlineUnnest(unnest)), Arc::new(Correlated), Arc::new(single)],
        })
    }

    /// Adds the planners, before the engine's own.
    pub fn install(&self, builder: &mut SessionStateBuilder) {
        let planners = builder.expr_planners().get_or_insert_default();
        planners.insert(0, Arc::clone(&self.expressions));
        let planners = builder.relation_planners().get_or_insert_default();
        planners.insert(0, Arc::clone(&self.relations));
    }
}

#[derive(Debug)]
struct NestedPlanner {
    subscript: Arc<ScalarUDF>,
    array: Arc<ScalarUDF>,
    concat: Arc<ScalarUDF>,
    equal: Arc<ScalarUDF>,
    less: Arc<ScalarUDF>,
}

impl ExprPlanner for NestedPlanner {
    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let subscript =
            |value, key| Ok(PlannerResult::Planned(self.subscript.call(vec![value, key])));
        match expr.field_access {
            GetFieldAccess::ListIndex { key } => subscript(expr.expr, *key),
            // `map['key']` comes as a field's name.
            GetFieldAccess::NamedStructField { name }
                if matches!(expr.expr.get_type(schema)?, DataType::Map(..)) =>
            {
                subscript(expr.expr, Expr::Literal(name, None))
            }
            GetFieldAccess::ListRange { .. } => {
                not_impl_err!("A range as a subscript is not supported")
            }
            _ => Ok(PlannerResult::Original(expr)),
        }
    }

    fn plan_array_literal(
        &self,
        exprs: Vec<Expr>,
        _: &DFSchema,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(self.array.call(exprs)))
    }

    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let nested = |expr: &Expr| expr.get_type(schema).is_ok_and(|t| t.is_nested());
        if !nested(&expr.left) && !nested(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { op, left, right } = expr;
        let planned = match op {
            BinaryOperator::StringConcat => self.concat.call(vec![left, right]),
            BinaryOperator::Eq => self.equal.call(vec![left, right]),
            BinaryOperator::NotEq => not(self.equal.call(vec![left, right])),
            BinaryOperator::Lt => self.less.call(vec![left, right]),
            BinaryOperator::Gt => self.less.call(vec![right, left]),
            BinaryOperator::LtEq => not(self.less.call(vec![right, left])),
            BinaryOperator::GtEq => not(self.less.call(vec![left, right])),
            op => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        };
        Ok(PlannerResult::Planned(planned))
    }

    /// Numbers of rows are bigint.
    fn plan_window(&self, expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        if !UNSIGNED.contains(&expr.func_def.name()) {
            return Ok(PlannerResult::Original(expr));
        }
        let params = WindowFunctionParams {
            args: expr.args,
            partition_by: expr.partition_by,
            order_by: expr.order_by,
            window_frame: expr.window_frame,
            filter: expr.filter,
            null_treatment: expr.null_treatment,
            distinct: expr.distinct,
        };
        let call = WindowFunction { fun: expr.func_def, params };
        Ok(PlannerResult::Planned(cast(Expr::from(call), DataType::Int64)))
    }

    /// Counts are bigint.
    fn plan_aggregate(&self, expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        if !UNSIGNED.contains(&expr.func.name()) {
            return Ok(PlannerResult::Original(expr));
        }
        let call = AggregateFunction::new_udf(
            expr.func,
            expr.args,
            expr.distinct,
            expr.filter,
            expr.order_by,
            expr.null_treatment,
        );
        Ok(PlannerResult::Planned(cast(Expr::AggregateFunction(call), DataType::Int64)))
    }
}

/// The engine's functions with results that Trino does not have: without a sign.
const UNSIGNED: &[&str] =
    &["approx_distinct", "dense_rank", "ntile", "rank", "regr_count", "row_number"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_is_planned_with_is_registered() {
        assert!(Nested::new().is_some());
    }
}
