//! NaN where doubles and reals are compared. In Trino it equals nothing, is neither less nor greater
//! than anything, and the extremes leave it out; in Arrow's order it is one value more.
//!
//! A comparison of a column with a constant stays one that sources understand, with the end of the
//! range of numbers beside it. All others compare what functions make of their operands: NaN stands
//! at that end of Arrow's order at which the comparison does not hold. The extremes are those of
//! integers of the same order. `-0.0` equals `0.0` on the way.
//!
//! The rule runs behind the one that gives operands their common type.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinConstraint, NullEquality, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, InList, InSubquery, ScalarFunction, SetComparison, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder,
    Operator, ScalarUDF, Subquery, Window, WindowFunctionDefinition, cast, not,
};
use datafusion::optimizer::AnalyzerRule;
use waterbear_functions::coercion::{common_type, decimal_digits, is_float};
use waterbear_functions::scalar_function;
use waterbear_protocol::{ErrorCode, Failure};

use crate::operators::coerce;

/// The rule.
#[derive(Debug)]
pub(crate) struct TrinoFloats {
    above: Arc<ScalarUDF>,
    below: Arc<ScalarUDF>,
    key_above: Arc<ScalarUDF>,
    key_below: Arc<ScalarUDF>,
    of_key: Arc<ScalarUDF>,
}

impl TrinoFloats {
    /// None when a function is not registered, which would be a bug.
    pub fn new() -> Option<Self> {
        Some(Self {
            above: scalar_function("$nan_above")?,
            below: scalar_function("$nan_below")?,
            key_above: scalar_function("$key_nan_above")?,
            key_below: scalar_function("$key_nan_below")?,
            of_key: scalar_function("$of_key")?,
        })
    }
}

impl AnalyzerRule for TrinoFloats {
    fn name(&self) -> &str {
        "trino_floats"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten =
            plan.transform_up_with_subqueries(|plan| Ok(Transformed::yes(self.node(plan)?)))?;
        Ok(rewritten.data)
    }
}

impl TrinoFloats {
    fn node(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let grouping = matches!(expr, Expr::GroupingSet(_)).then(|| expr.clone());
            let expr = expr.transform_up(|expr| self.expression(expr, &schema))?;
            // What stands above finds the expressions inside by their names.
            if grouping.is_some_and(|written| written != expr.data) {
                return Err(unsupported("GROUPING SETS of comparisons of doubles"));
            }
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        match plan.data.recompute_schema()? {
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            other => Ok(other),
        }
    }

    fn expression(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(Transformed::yes(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if is_comparison(op) && both_float(&left, &right, schema) =>
            {
                self.compare(*left, op, *right, schema)
            }
            Expr::Between(between) if both_float(&between.expr, &between.low, schema) => {
                self.between(between, schema)
            }
            Expr::InList(InList { expr, list, negated }) if float(&expr, schema) => {
                let (expr, list) = self.one_of(*expr, list, schema);
                Expr::InList(InList { expr: Box::new(expr), list, negated })
            }
            Expr::Case(Case { expr: Some(operand), when_then_expr, else_expr })
                if float(&operand, schema) =>
            {
                let (whens, thens): (Vec<_>, Vec<_>) = when_then_expr.into_iter().unzip();
                let whens = whens.into_iter().map(|when| *when).collect();
                let (operand, whens) = self.one_of(*operand, whens, schema);
                let when_then_expr = whens.into_iter().map(Box::new).zip(thens).collect();
                Expr::Case(Case { expr: Some(Box::new(operand)), when_then_expr, else_expr })
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => {
                match <[Expr; 2]>::try_from(args) {
                    Ok([left, right]) if both_float(&left, &right, schema) => {
                        self.nullif(left, right, schema)?
                    }
                    Ok(args) => func.call(args.to_vec()),
                    Err(args) => func.call(args),
                }
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let (expr, subquery) = self.with_subquery(*expr, Operator::Eq, subquery, schema)?;
                Expr::InSubquery(InSubquery { expr, subquery, negated })
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let (expr, subquery) = self.with_subquery(*expr, op, subquery, schema)?;
                Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
            }
            other => return Ok(Transformed::no(other)),
        }))
    }

    fn compare(&self, left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Expr {
        if let (Expr::Column(_), Some(value)) = (&left, constant(&right)) {
            return self.column(left, op, value, right);
        }
        if let (Some(value), Expr::Column(_), Some(swapped)) = (constant(&left), &right, op.swap())
        {
            return self.column(right, swapped, value, left);
        }
        // The planner takes a correlation out of a subquery where a column equals what is outside.
        match op {
            Operator::Eq if is_column(&left) && right.contains_outer() => {
                return binary(left, op, self.at(&self.above, right, schema));
            }
            Operator::Eq if is_column(&right) && left.contains_outer() => {
                return binary(self.at(&self.above, left, schema), op, right);
            }
            _ => {}
        }
        let (for_left, for_right) = self.sides(op);
        binary(self.at(for_left, left, schema), op, self.at(for_right, right, schema))
    }

    /// Where NaN stands on the left and on the right for an operator not to hold.
    const fn sides(&self, op: Operator) -> (&Arc<ScalarUDF>, &Arc<ScalarUDF>) {
        match op {
            Operator::Gt | Operator::GtEq => (&self.below, &self.above),
            Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => (&self.above, &self.above),
            _ => (&self.above, &self.below),
        }
    }

    /// A column compared with a constant number.
    fn column(&self, column: Expr, op: Operator, value: f64, literal: Expr) -> Expr {
        let number = |value: f64| like(value, &literal);
        // Of the two zeros the one that has the other on the right side.
        let signed = |zero: f64| if value == 0.0 { number(zero) } else { literal.clone() };
        let within = |op, zero, end_op, end| {
            let end = binary(column.clone(), end_op, number(end));
            binary(column.clone(), op, signed(zero)).and(end)
        };
        match op {
            Operator::Lt => within(op, -0.0, Operator::GtEq, f64::NEG_INFINITY),
            Operator::LtEq => within(op, 0.0, Operator::GtEq, f64::NEG_INFINITY),
            Operator::Gt => within(op, 0.0, Operator::LtEq, f64::INFINITY),
            Operator::GtEq => within(op, -0.0, Operator::LtEq, f64::INFINITY),
            Operator::Eq if value == 0.0 => within(Operator::GtEq, -0.0, Operator::LtEq, 0.0),
            Operator::Eq => binary(column, op, literal),
            // Sources that know the least and the greatest value do not know of NaN.
            _ => binary(self.above.call(vec![column]), op, signed(0.0)),
        }
    }

    /// An operand with NaN where `function` puts it.
    fn at(&self, function: &Arc<ScalarUDF>, operand: Expr, schema: &DFSchema) -> Expr {
        if let Some(value) = constant(&operand) {
            return like(value + 0.0, &operand);
        }
        let exact = match &operand {
            Expr::Cast(cast) => cast.expr.get_type(schema).ok(),
            _ => None,
        };
        if exact.is_some_and(|data_type| decimal_digits(&data_type).is_some()) {
            return operand;
        }
        function.call(vec![operand])
    }

    /// An operand and what it may equal.
    fn one_of(&self, operand: Expr, items: Vec<Expr>, schema: &DFSchema) -> (Expr, Vec<Expr>) {
        let plain = |item: &Expr| constant(item).is_some_and(|value| value != 0.0) || is_null(item);
        if items.iter().all(plain) {
            return (operand, items);
        }
        let items = items.into_iter().map(|item| self.at(&self.below, item, schema)).collect();
        (self.at(&self.above, operand, schema), items)
    }

    fn between(&self, between: Between, schema: &DFSchema) -> Expr {
        let Between { expr, negated, low, high } = between;
        if let (Some(least), Some(most)) = (constant(&low), constant(&high)) {
            let low = if least == 0.0 { like(-0.0, &low) } else { *low };
            let high = if most == 0.0 { like(0.0, &high) } else { *high };
            return Expr::Between(Between { expr, negated, low: low.into(), high: high.into() });
        }
        let from = self.compare(expr.as_ref().clone(), Operator::GtEq, *low, schema);
        let inside = from.and(self.compare(*expr, Operator::LtEq, *high, schema));
        if negated { not(inside) } else { inside }
    }

    fn nullif(&self, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
        let nothing = Expr::Literal(ScalarValue::try_from(&left.get_type(schema)?)?, None);
        let equal = self.compare(left.clone(), Operator::Eq, right, schema);
        Ok(Expr::Case(Case {
            expr: None,
            when_then_expr: vec![(Box::new(equal), Box::new(nothing))],
            else_expr: Some(Box::new(left)),
        }))
    }

    /// A value compared with those of a subquery.
    fn with_subquery(
        &self,
        value: Expr,
        op: Operator,
        mut subquery: Subquery,
        schema: &DFSchema,
    ) -> Result<(Box<Expr>, Subquery)> {
        let items = Arc::clone(&subquery.subquery);
        let data_type = value.get_type(schema)?;
        let Some((qualifier, field)) = items.schema().iter().next() else {
            return Ok((Box::new(value), subquery));
        };
        let common = common_type(&data_type, field.data_type()).filter(is_float);
        let Some(common) = common else { return Ok((Box::new(value), subquery)) };
        let (for_value, for_items) = self.sides(op);
        let item = coerce(Expr::from((qualifier, field)), &common, items.schema())?;
        let item = self.at(for_items, item, items.schema()).alias(field.name());
        let items = LogicalPlanBuilder::from(Arc::clone(&items)).project([item])?.build()?;
        subquery.subquery = Arc::new(items);
        let value = coerce(value, &common, schema)?;
        Ok((Box::new(self.at(for_value, value, schema)), subquery))
    }

    /// The keys of a join. Those of INTERSECT and EXCEPT tell values apart as GROUP BY does.
    fn join(&self, mut join: Join) -> Result<LogicalPlan> {
        if join.null_equality == NullEquality::NullEqualsNull {
            return Ok(LogicalPlan::Join(join));
        }
        for (left, right) in &mut join.on {
            let (l, r) = (join.left.schema(), join.right.schema());
            let common = common_type(&left.get_type(l)?, &right.get_type(r)?).filter(is_float);
            let Some(common) = common else { continue };
            *left = self.at(&self.above, coerce(left.clone(), &common, l)?, l);
            *right = self.at(&self.below, coerce(right.clone(), &common, r)?, r);
            join.join_constraint = JoinConstraint::On;
        }
        Ok(LogicalPlan::Join(join))
    }

    fn aggregate(&self, aggregate: Aggregate) -> Result<LogicalPlan> {
        let schema = Arc::clone(aggregate.input.schema());
        let groups = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        let (exprs, types) = self.extremes(&aggregate.aggr_expr, &schema);
        if types.iter().all(Option::is_none) {
            return Ok(LogicalPlan::Aggregate(aggregate));
        }
        let keyed = Aggregate::try_new(aggregate.input, aggregate.group_expr, exprs)?;
        self.values(LogicalPlan::Aggregate(keyed), &aggregate.schema, groups, &types)
    }

    fn window(&self, window: Window) -> Result<LogicalPlan> {
        let schema = Arc::clone(window.input.schema());
        let (exprs, types) = self.extremes(&window.window_expr, &schema);
        if types.iter().all(Option::is_none) {
            return Ok(LogicalPlan::Window(window));
        }
        let keyed = Window::try_new(exprs, window.input)?;
        self.values(LogicalPlan::Window(keyed), &window.schema, schema.fields().len(), &types)
    }

    /// The calls with extremes taken of keys, and the types of those that were changed.
    fn extremes(&self, calls: &[Expr], schema: &DFSchema) -> (Vec<Expr>, Vec<Option<DataType>>) {
        let mut exprs = calls.to_vec();
        let types = exprs.iter_mut().map(|call| self.key(call, schema)).collect();
        (exprs, types)
    }

    fn key(&self, call: &mut Expr, schema: &DFSchema) -> Option<DataType> {
        let (name, args) = match call {
            Expr::Alias(alias) => return self.key(&mut alias.expr, schema),
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                (func.name(), &mut params.args)
            }
            Expr::WindowFunction(window) => match window.as_mut() {
                WindowFunction { fun: WindowFunctionDefinition::AggregateUDF(func), params } => {
                    (func.name(), &mut params.args)
                }
                _ => return None,
            },
            _ => return None,
        };
        let function = match name {
            "max" => &self.key_below,
            "min" => &self.key_above,
            _ => return None,
        };
        let [argument] = args.as_mut_slice() else { return None };
        let data_type = argument.get_type(schema).ok().filter(is_float)?;
        let double = match data_type {
            DataType::Float64 => argument.clone(),
            _ => cast(argument.clone(), DataType::Float64),
        };
        *argument = function.call(vec![double]);
        Some(data_type)
    }

    /// Puts a projection above that makes values of keys, under their old names.
    fn values(
        &self,
        plan: LogicalPlan,
        named: &DFSchema,
        first: usize,
        types: &[Option<DataType>],
    ) -> Result<LogicalPlan> {
        let columns = plan.schema().iter().zip(named.iter()).enumerate();
        let columns = columns.map(|(index, (column, (qualifier, field)))| {
            let column = Expr::from(column);
            let wanted = index.checked_sub(first).and_then(|index| types[index].clone());
            let value = match wanted {
                None => return column,
                Some(DataType::Float64) => self.of_key.call(vec![column]),
                Some(wanted) => cast(self.of_key.call(vec![column]), wanted),
            };
            value.alias_qualified(qualifier.cloned(), field.name())
        });
        let columns: Vec<Expr> = columns.collect();
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    }
}

fn unsupported(what: &str) -> DataFusionError {
    let message = format!("{what} is not supported");
    DataFusionError::External(Box::new(Failure::new(ErrorCode::NOT_SUPPORTED, message)))
}

const fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn float(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| is_float(&data_type))
}

fn both_float(left: &Expr, right: &Expr, schema: &DFSchema) -> bool {
    float(left, schema) && float(right, schema)
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_))
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

/// The value of a literal that is a number.
fn constant(expr: &Expr) -> Option<f64> {
    let value = match expr {
        Expr::Literal(ScalarValue::Float64(value), _) => (*value)?,
        Expr::Literal(ScalarValue::Float32(value), _) => f64::from((*value)?),
        _ => return None,
    };
    (!value.is_nan()).then_some(value)
}

/// A value of a literal's type.
fn like(value: f64, literal: &Expr) -> Expr {
    let scalar = match literal {
        Expr::Literal(ScalarValue::Float32(_), _) => ScalarValue::Float32(Some(value as f32)),
        _ => ScalarValue::Float64(Some(value)),
    };
    Expr::Literal(scalar, None)
}
