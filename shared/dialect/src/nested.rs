//! Arrays, maps and rows in expressions: what the parser has of them as calls of Trino's functions.

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr, RelationPlanner,
};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use waterbear_functions::scalar_function;

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
        };
        Some(Self {
            expressions: Arc::new(expressions),
            relations: Arc::new(UnnestPlanner(unnest.clone())),
            rules: vec![Arc::new(InlineUnnest(unnest))],
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
}

impl ExprPlanner for NestedPlanner {
    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        match expr.field_access {
            GetFieldAccess::ListIndex { key } => {
                Ok(PlannerResult::Planned(self.subscript.call(vec![expr.expr, *key])))
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
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        let is_list = |expr: &Expr| expr.get_type(schema).is_ok_and(|t| t.is_list());
        if is_list(&expr.left) || is_list(&expr.right) {
            return Ok(PlannerResult::Planned(self.concat.call(vec![expr.left, expr.right])));
        }
        Ok(PlannerResult::Original(expr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_is_planned_with_is_registered() {
        assert!(Nested::new().is_some());
    }
}
