//! Gives the parts of a plan that no operator joins (the branches of CASE and UNION, the items of
//! IN and VALUES) the type that they have in common in Trino, or fails where they have none.
//!
//! The rule runs before DataFusion's type coercion, which would make text of numbers.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Between, InList, InSubquery, Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator,
    ScalarUDF, Union, Values, cast,
};
use datafusion::optimizer::AnalyzerRule;
use waterbear_functions::coercion::{common_type, is_float, is_number, is_text};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::attempt::lenient;
use crate::operators::{coerce, type_name, varchar};
use crate::types::Scope;

/// The rule.
#[derive(Debug)]
pub(crate) struct TrinoCoercion;

impl AnalyzerRule for TrinoCoercion {
    fn name(&self) -> &str {
        "trino_coercion"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let coerced =
            plan.transform_up_with_subqueries(|plan| Ok(Transformed::yes(node(plan)?)))?;
        Ok(coerced.data)
    }
}

fn node(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = merge_schema(&plan.inputs());
    if let LogicalPlan::Values(values) = &plan {
        check_values(values)?;
    }
    let names = NamePreserver::new(&plan);
    let asked = plan.expressions().iter().any(asks_for_types);
    let scope = asked.then(|| Scope::of(&plan));
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = match &scope {
            Some(scope) => expr.transform_up(|expr| Ok(type_of(expr, scope)))?.data,
            None => expr,
        };
        let expr = expr.transform_up(|expr| expression(expr, &schema))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    let plan = plan.data.recompute_schema()?;
    match plan {
        LogicalPlan::Union(union) => branches(union),
        LogicalPlan::Join(join) => check_join(&join).map(|()| LogicalPlan::Join(join)),
        other => Ok(other),
    }
}

fn asks_for_types(expr: &Expr) -> bool {
    let is_typeof = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarFunction(call) if call.func.name() == "typeof"))
    };
    expr.exists(is_typeof).unwrap_or(false)
}

/// The type's name in place of `typeof`.
fn type_of(expr: Expr, scope: &Scope) -> Transformed<Expr> {
    let name = match &expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "typeof" => {
            args.first().and_then(|arg| scope.of_expr(arg)).map(|found| found.listing())
        }
        _ => None,
    };
    match name {
        Some(name) => Transformed::yes(varchar(name)),
        None => Transformed::no(expr),
    }
}

fn mismatch(message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(Failure::new(ErrorCode::TYPE_MISMATCH, message)))
}

fn listing(data_type: &DataType) -> String {
    TrinoType::of(data_type).map_or_else(|failure| failure.message, |named| named.listing())
}

fn expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(Transformed::yes(match expr {
        Expr::Between(between) => Expr::Between(limits(between, schema)?),
        Expr::InList(list) => Expr::InList(items(list, schema)?),
        Expr::Case(case) => Expr::Case(results(case, schema)?),
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let args = match func.name() {
                "coalesce" => meet(args, "All COALESCE operands", schema)?,
                "try" => return attempt(args).map(Transformed::yes),
                "nullif" => return nullif(func, args, schema).map(Transformed::yes),
                "greatest" | "least" => {
                    meet(args, &format!("All {} operands", func.name().to_uppercase()), schema)?
                }
                _ => args,
            };
            Expr::ScalarFunction(ScalarFunction { func, args })
        }
        Expr::Like(like) => {
            check_like(&like, schema)?;
            Expr::Like(like)
        }
        Expr::Not(operand) => {
            if !is_boolean(&operand, schema)? {
                let actual = type_name(&operand, schema);
                return Err(mismatch(format!(
                    "Value of logical NOT expression must evaluate to a boolean (actual: {actual})"
                )));
            }
            Expr::Not(operand)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            for term in [&left, &right] {
                if !is_boolean(term, schema)? {
                    let actual = type_name(term, schema);
                    return Err(mismatch(format!(
                        "Logical expression term must evaluate to a boolean: {actual}"
                    )));
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right })
        }
        Expr::InSubquery(inside) => {
            check_in_subquery(&inside, schema)?;
            Expr::InSubquery(inside)
        }
        other => return Ok(Transformed::no(other)),
    }))
}

fn attempt(mut args: Vec<Expr>) -> Result<Expr> {
    match (args.pop(), args.is_empty()) {
        (Some(only), true) => lenient(only),
        _ => {
            let message = "The 'try' function must have exactly one argument";
            let failure = Failure::new(ErrorCode::INVALID_FUNCTION_ARGUMENT, message);
            Err(DataFusionError::External(Box::new(failure)))
        }
    }
}

/// `nullif(a, b)` is of the type of `a`, whatever type the two are compared in.
fn nullif(func: Arc<ScalarUDF>, args: Vec<Expr>, schema: &DFSchema) -> Result<Expr> {
    let wanted = args.first().map(|first| first.get_type(schema)).transpose()?;
    let met = meet(args.clone(), "All NULLIF operands", schema)?;
    let (Some(wanted), [left, right], [first, _]) = (wanted, met.as_slice(), args.as_slice())
    else {
        return Ok(Expr::ScalarFunction(ScalarFunction { func, args }));
    };
    if left.get_type(schema)? == wanted || wanted == DataType::Null {
        return Ok(Expr::ScalarFunction(ScalarFunction { func, args: met }));
    }
    let equal = BinaryExpr::new(Box::new(left.clone()), Operator::Eq, Box::new(right.clone()));
    let nothing = Expr::Literal(ScalarValue::try_from(&wanted)?, None);
    Ok(Expr::Case(Case {
        expr: None,
        when_then_expr: vec![(Box::new(Expr::BinaryExpr(equal)), Box::new(nothing))],
        else_expr: Some(Box::new(first.clone())),
    }))
}

fn is_boolean(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(matches!(expr.get_type(schema)?, DataType::Boolean | DataType::Null))
}

fn limits(between: Between, schema: &DFSchema) -> Result<Between> {
    let Between { expr, negated, low, high } = between;
    let types = [expr.get_type(schema)?, low.get_type(schema)?, high.get_type(schema)?];
    let Some(common) = common_of(&types) else {
        let [expr, low, high] = [&expr, &low, &high].map(|expr| type_name(expr, schema));
        return Err(mismatch(format!("Cannot check if {expr} is BETWEEN {low} and {high}")));
    };
    let convert = |expr: Box<Expr>| convert(*expr, &common, schema).map(Box::new);
    Ok(Between { expr: convert(expr)?, negated, low: convert(low)?, high: convert(high)? })
}

fn items(list: InList, schema: &DFSchema) -> Result<InList> {
    let InList { expr, list, negated } = list;
    let all = std::iter::once(*expr).chain(list).collect();
    let mut all = meet(all, "IN value and list items", schema)?;
    let expr = Box::new(all.remove(0));
    Ok(InList { expr, list: all, negated })
}

fn results(case: Case, schema: &DFSchema) -> Result<Case> {
    let Case { expr, when_then_expr, else_expr } = case;
    let count = when_then_expr.len();
    let (mut when, mut results): (Vec<Expr>, Vec<Expr>) =
        when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
    let has_else = else_expr.is_some();
    results.extend(else_expr.map(|expr| *expr));
    let mut results = meet(results, "All CASE results", schema)?;
    let otherwise = if has_else { results.pop() } else { None };
    let operand = match expr {
        Some(expr) => {
            when.push(*expr);
            when = meet(when, "CASE operand and WHEN clauses", schema)?;
            when.pop()
        }
        None => {
            for condition in &when {
                if !is_boolean(condition, schema)? {
                    let actual = type_name(condition, schema);
                    return Err(mismatch(format!(
                        "CASE WHEN clause must evaluate to a boolean (actual: {actual})"
                    )));
                }
            }
            None
        }
    };
    let pairs = when.into_iter().zip(results).take(count);
    Ok(Case {
        expr: operand.map(Box::new),
        when_then_expr: pairs.map(|(when, then)| (Box::new(when), Box::new(then))).collect(),
        else_expr: otherwise.map(Box::new),
    })
}

fn common_of(types: &[DataType]) -> Option<DataType> {
    types.iter().try_fold(DataType::Null, |common, other| common_type(&common, other))
}

/// Gives all the type that they have in common; `what` names them where there is none.
fn meet(exprs: Vec<Expr>, what: &str, schema: &DFSchema) -> Result<Vec<Expr>> {
    let types = exprs.iter().map(|expr| expr.get_type(schema)).collect::<Result<Vec<_>>>()?;
    if types.iter().all(|other| *other == types[0]) {
        return Ok(exprs);
    }
    let mut common = DataType::Null;
    for (position, other) in types.iter().enumerate() {
        let Some(next) = common_type(&common, other) else {
            let mut before = exprs.iter().zip(&types).take(position);
            let earlier = before.rfind(|(_, one)| common_type(one, other).is_none());
            let one = earlier.map_or_else(|| listing(&common), |(one, _)| type_name(one, schema));
            let other = type_name(&exprs[position], schema);
            let mut all: Vec<String> = Vec::new();
            for expr in &exprs {
                let name = type_name(expr, schema);
                if !all.contains(&name) {
                    all.push(name);
                }
            }
            return Err(mismatch(format!(
                "{what} must be the same type or coercible to a common type. Cannot find common type between {one} and {other}, all types (without duplicates): [{}]",
                all.join(", ")
            )));
        };
        common = next;
    }
    exprs.into_iter().map(|expr| convert(expr, &common, schema)).collect()
}

/// Converts what this rule understands; the rest is left to DataFusion's type coercion.
fn convert(expr: Expr, to: &DataType, schema: &DFSchema) -> Result<Expr> {
    let mine = is_number(to) || matches!(to, DataType::Boolean | DataType::Timestamp(_, None));
    if mine { coerce(expr, to, schema) } else { Ok(expr) }
}

fn check_like(like: &Like, schema: &DFSchema) -> Result<()> {
    for (side, expr) in [
        ("Left side of LIKE expression", &like.expr),
        ("Pattern for LIKE expression", &like.pattern),
    ] {
        let data_type = expr.get_type(schema)?;
        let text = match &data_type {
            DataType::Dictionary(_, values) => is_text(values),
            other => is_text(other) || *other == DataType::Null,
        };
        if !text {
            let actual = type_name(expr, schema);
            return Err(mismatch(format!("{side} must evaluate to a varchar (actual: {actual})")));
        }
    }
    Ok(())
}

fn check_in_subquery(inside: &InSubquery, schema: &DFSchema) -> Result<()> {
    let subquery = inside.subquery.subquery.schema();
    let [field] = subquery.fields().as_ref() else { return Ok(()) };
    let value = inside.expr.get_type(schema)?;
    if common_type(&value, field.data_type()).is_none() {
        let value = type_name(&inside.expr, schema);
        let items = listing(field.data_type());
        return Err(mismatch(format!(
            "Value expression and result of subquery must be of the same type: {value} vs {items}"
        )));
    }
    Ok(())
}

fn check_join(join: &Join) -> Result<()> {
    for (left, right) in &join.on {
        let (left, right) =
            (left.get_type(join.left.schema())?, right.get_type(join.right.schema())?);
        if common_type(&left, &right).is_none() {
            let (left, right) = (listing(&left), listing(&right));
            return Err(mismatch(format!("Cannot apply operator: {left} = {right}")));
        }
    }
    Ok(())
}

/// The planner has made text of all values of a column in which text stands.
fn check_values(values: &Values) -> Result<()> {
    let schema = DFSchema::empty();
    for row in &values.values {
        for expr in row {
            let Expr::Cast(Cast { expr: inner, field }) = expr else { continue };
            let from = inner.get_type(&schema)?;
            // What the planner has made of it may not hold it.
            if is_float(&from) && matches!(field.data_type(), DataType::Decimal128(..)) {
                let message = "VALUES with decimals and doubles in a column is not supported: CAST the decimals";
                let failure = Failure::new(ErrorCode::NOT_SUPPORTED, message);
                return Err(DataFusionError::External(Box::new(failure)));
            }
            if common_type(&from, field.data_type()).is_none() {
                let (from, to) = (type_name(inner, &schema), listing(field.data_type()));
                return Err(mismatch(format!("Values rows have mismatched types: {to} vs {from}")));
            }
        }
    }
    Ok(())
}

/// The branches of a UNION have the same types, column by column.
fn branches(union: Union) -> Result<LogicalPlan> {
    let width = union.inputs.iter().map(|input| input.schema().fields().len()).min().unwrap_or(0);
    let mut common = Vec::with_capacity(width);
    for column in 0..width {
        let mut so_far = DataType::Null;
        for input in &union.inputs {
            let other = input.schema().field(column).data_type();
            let Some(next) = common_type(&so_far, other) else {
                let (one, other) = (listing(&so_far), listing(other));
                let column = column + 1;
                return Err(mismatch(format!(
                    "column {column} in UNION query has incompatible types: {one}, {other}"
                )));
            };
            so_far = next;
        }
        common.push(so_far);
    }
    let inputs =
        union.inputs.iter().map(|input| branch(input, &common)).collect::<Result<Vec<_>>>()?;
    if inputs.iter().zip(&union.inputs).all(|(new, old)| Arc::ptr_eq(new, old)) {
        return Ok(LogicalPlan::Union(union));
    }
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

fn branch(input: &Arc<LogicalPlan>, common: &[DataType]) -> Result<Arc<LogicalPlan>> {
    let wanted = |(column, to): (usize, &DataType)| {
        is_number(to) && input.schema().field(column).data_type() != to
    };
    if !common.iter().enumerate().any(wanted) {
        return Ok(Arc::clone(input));
    }
    let columns = input.schema().iter().zip(common).map(|((qualifier, field), to)| {
        let column = Expr::from((qualifier, field));
        match is_number(to) && field.data_type() != to {
            true => cast(column, to.clone()).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let plan = LogicalPlanBuilder::from(Arc::clone(input)).project(columns)?.build()?;
    Ok(Arc::new(plan))
}
