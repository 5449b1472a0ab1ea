//! Operators over values in time, once their types are known: `TemporalOperators` plans sums and
//! products, `TrinoTime` what compares or unites values.
//!
//! A column has one time zone, so what would unite values of different zones is refused. Values
//! with and without a zone compare as instants, those without read in the session's zone.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Between, Case, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use waterbear_functions::datetime::{self, Kind, Zone};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

fn raise<T>(code: ErrorCode, message: String) -> Result<T> {
    Err(DataFusionError::External(Box::new(Failure::new(code, message))))
}

fn listing(data_type: &DataType) -> String {
    TrinoType::of(data_type).map_or_else(|_| data_type.to_string(), |found| found.listing())
}

fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match datetime::by_name(name) {
        Some(function) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))),
        None => raise(ErrorCode::GENERIC_INTERNAL_ERROR, format!("there is no function {name}")),
    }
}

/// Types of DataFusion's own that Trino's SQL does not make.
fn is_foreign(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Interval(IntervalUnit::MonthDayNano | IntervalUnit::DayTime)
            | DataType::Date64
            | DataType::Duration(TimeUnit::Second | TimeUnit::Microsecond | TimeUnit::Nanosecond)
            | DataType::Dictionary(..)
            | DataType::RunEndEncoded(..)
    )
}

fn mismatch<T>(left: &DataType, op: &str, right: &DataType) -> Result<T> {
    let message = format!("Cannot apply operator: {} {op} {}", listing(left), listing(right));
    raise(ErrorCode::TYPE_MISMATCH, message)
}

/// Plans `+`, `-`, `*`, `/` and `%` of values in time.
#[derive(Debug)]
pub(crate) struct TemporalOperators;

impl ExprPlanner for TemporalOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let arithmetic = matches!(
            expr.op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo
        );
        if !arithmetic {
            return Ok(PlannerResult::Original(expr));
        }
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema))
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let kinds = (Kind::of(&left), Kind::of(&right));
        if is_foreign(&left) || is_foreign(&right) || matches!(kinds, (None, None)) {
            return Ok(PlannerResult::Original(expr));
        }
        let number = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
        let function = match (&expr.op, &kinds) {
            (BinaryOperator::Plus, (Some(left), Some(right))) => {
                datetime::plus_type(left, right).map(|_| datetime::PLUS)
            }
            (BinaryOperator::Minus, (Some(left), Some(right))) => {
                datetime::minus_type(left, right).map(|_| datetime::MINUS)
            }
            (BinaryOperator::Multiply, (Some(kind), None)) if number(&right) => {
                kind.is_interval().then_some(datetime::TIMES)
            }
            (BinaryOperator::Multiply, (None, Some(kind))) if number(&left) => {
                let turned = vec![expr.right.clone(), expr.left.clone()];
                if kind.is_interval() {
                    return Ok(PlannerResult::Planned(call(datetime::TIMES, turned)?));
                }
                None
            }
            (BinaryOperator::Divide, (Some(kind), None)) if number(&right) => {
                kind.is_interval().then_some(datetime::DIVIDED)
            }
            _ => None,
        };
        match function {
            Some(name) => Ok(PlannerResult::Planned(call(name, vec![expr.left, expr.right])?)),
            None => mismatch(&left, &expr.op.to_string(), &right),
        }
    }
}

/// The rule for what compares or unites values in time.
#[derive(Debug)]
pub(crate) struct TrinoTime;

impl AnalyzerRule for TrinoTime {
    fn name(&self) -> &str {
        "trino_time"
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = options.execution.time_zone.as_deref().unwrap_or("UTC");
        let zone =
            Zone::parse(zone).map_err(|failure| DataFusionError::External(failure.into()))?;
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            check_inputs(&plan)?;
            rewrite(plan, &zone).map(Transformed::yes)
        })?;
        Ok(rewritten.data)
    }
}

fn rewrite(plan: LogicalPlan, zone: &Zone) -> Result<LogicalPlan> {
    let schema = match &plan {
        LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
        _ => merge_schema(&plan.inputs()),
    };
    let names = NamePreserver::new(&plan);
    let mapped = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| expression(expr, &schema, zone))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    if mapped.transformed { mapped.data.recompute_schema() } else { Ok(mapped.data) }
}

/// What values are brought together for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Compare,
    Unite,
}

/// The type to which those without a time zone are cast; `None` if nothing is to be done.
fn common(types: &[DataType], purpose: Purpose, session: &Zone) -> Result<Option<Kind>> {
    let types: Vec<&DataType> = types.iter().filter(|data_type| !data_type.is_null()).collect();
    let kinds: Vec<Option<Kind>> = types.iter().map(|data_type| Kind::of(data_type)).collect();
    let (Some(first), false) = (types.first(), types.iter().any(|other| is_foreign(other))) else {
        return Ok(None);
    };
    let Some(other) = types.iter().find(|other| *other != first) else { return Ok(None) };
    let refused = || match purpose {
        Purpose::Compare => mismatch(first, "=", other),
        Purpose::Unite => {
            let message =
                format!("All values must have one type: {}, {}", listing(first), listing(other));
            raise(ErrorCode::TYPE_MISMATCH, message)
        }
    };
    // Values in time and others never meet: the rules for all types say so.
    let Some(kinds) = kinds.into_iter().collect::<Option<Vec<Kind>>>() else { return Ok(None) };
    let precision = kinds.iter().map(Kind::precision).max().unwrap_or(0);
    let zones: Vec<&Zone> = kinds.iter().filter_map(zone_of).collect();
    if kinds.iter().all(|kind| matches!(kind, Kind::Time(_))) {
        return Ok(Some(Kind::Time(precision)));
    }
    if !kinds.iter().all(Kind::has_date) {
        return refused();
    }
    if zones.is_empty() {
        let dates = kinds.contains(&Kind::Date);
        return Ok(dates.then_some(Kind::Timestamp(precision)));
    }
    let several = zones.iter().any(|zone| *zone != zones[0]);
    if purpose == Purpose::Unite && (several || zones.len() < kinds.len()) {
        let message = "Values of different time zones, or with and without one, in one column are \
                       not supported: use AT TIME ZONE";
        return raise(ErrorCode::NOT_SUPPORTED, message.to_owned());
    }
    let zoned = zones.len() == kinds.len();
    Ok((!zoned).then(|| Kind::Zoned(precision, session.clone())))
}

fn zone_of(kind: &Kind) -> Option<&Zone> {
    match kind {
        Kind::Zoned(_, zone) => Some(zone),
        _ => None,
    }
}

/// Casts to the common type what is not of its sort yet; digits are the planner's affair.
fn cast_to(expr: Expr, target: &Kind, schema: &DFSchema) -> Result<Expr> {
    let from = Kind::of(&expr.get_type(schema)?);
    let needed = match (&from, target) {
        (None, _) => false,
        (Some(Kind::Time(precision)), Kind::Time(wanted)) => precision != wanted,
        (Some(Kind::Timestamp(_)), Kind::Timestamp(_)) | (Some(Kind::Zoned(..)), _) => false,
        _ => true,
    };
    if !needed {
        return Ok(expr);
    }
    cast_call(expr, target)
}

fn cast_call(expr: Expr, target: &Kind) -> Result<Expr> {
    let name = ScalarValue::Utf8(Some(target.name()));
    call(datetime::CAST, vec![expr, Expr::Literal(name, None)])
}

/// Brings expressions together.
fn align(
    exprs: &mut [&mut Expr],
    purpose: Purpose,
    schema: &DFSchema,
    zone: &Zone,
) -> Result<bool> {
    let types: Vec<DataType> =
        exprs.iter().map(|expr| expr.get_type(schema)).collect::<Result<_>>()?;
    let Some(target) = common(&types, purpose, zone)? else { return Ok(false) };
    for expr in exprs {
        let taken = std::mem::take(*expr);
        **expr = cast_to(taken, &target, schema)?;
    }
    Ok(true)
}

fn expression(mut expr: Expr, schema: &DFSchema, zone: &Zone) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            align(&mut [left, right], Purpose::Compare, schema, zone)?
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            align(&mut [expr, low, high], Purpose::Compare, schema, zone)?
        }
        Expr::InList(InList { expr, list, .. }) => {
            let mut all: Vec<&mut Expr> = vec![expr];
            all.extend(list.iter_mut());
            align(&mut all, Purpose::Compare, schema, zone)?
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => {
            let inner = subquery.subquery.schema().field(0).data_type().clone();
            let types = [expr.get_type(schema)?, inner];
            if common(&types, Purpose::Compare, zone)?.is_some() {
                let (left, right) = (listing(&types[0]), listing(&types[1]));
                let message = format!("{left} IN a subquery of {right} is not supported: cast one");
                return raise(ErrorCode::NOT_SUPPORTED, message);
            }
            false
        }
        Expr::Case(case) => align_case(case, schema, zone)?,
        Expr::ScalarFunction(function) => scalar_function(function, schema, zone)?,
        Expr::Negative(inner) => match Kind::of(&inner.get_type(schema)?) {
            None => false,
            Some(kind) if kind.is_interval() => {
                let negated = call(datetime::NEGATED, vec![std::mem::take(inner.as_mut())])?;
                return Ok(Transformed::yes(negated));
            }
            Some(kind) => {
                let message = format!("Cannot negate {}", listing(&kind.data_type()));
                return raise(ErrorCode::TYPE_MISMATCH, message);
            }
        },
        Expr::Cast(cast) => {
            let (from, to) = (cast.expr.get_type(schema)?, cast.field.data_type());
            if Kind::of(&from).is_none() {
                false
            } else if to.is_string() {
                let text = call(datetime::TEXT, vec![std::mem::take(cast.expr.as_mut())])?;
                return Ok(Transformed::yes(text));
            } else if to.is_numeric() || *to == DataType::Boolean {
                let message = format!("Cannot cast {} to {}", listing(&from), listing(to));
                return raise(ErrorCode::TYPE_MISMATCH, message);
            } else {
                false
            }
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn is_comparison(op: Operator) -> bool {
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

fn align_case(case: &mut Case, schema: &DFSchema, zone: &Zone) -> Result<bool> {
    let mut changed = false;
    if let Some(operand) = &mut case.expr {
        let mut all: Vec<&mut Expr> = vec![operand];
        all.extend(case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut()));
        changed = align(&mut all, Purpose::Compare, schema, zone)?;
    }
    let mut all: Vec<&mut Expr> =
        case.when_then_expr.iter_mut().map(|(_, then)| then.as_mut()).collect();
    all.extend(case.else_expr.as_deref_mut());
    Ok(align(&mut all, Purpose::Unite, schema, zone)? || changed)
}

fn scalar_function(function: &mut ScalarFunction, schema: &DFSchema, zone: &Zone) -> Result<bool> {
    let name = function.func.name();
    if datetime::by_name(name).is_some() {
        return Ok(false);
    }
    if ["coalesce", "nullif", "greatest", "least", "make_array", "$array", "if"].contains(&name) {
        let mut all: Vec<&mut Expr> = function.args.iter_mut().collect();
        return align(&mut all, Purpose::Unite, schema, zone);
    }
    let mut zones: Vec<Zone> = Vec::new();
    for argument in &function.args {
        if let Some(Kind::Zoned(_, zone)) = Kind::of(&argument.get_type(schema)?) {
            zones.push(zone);
        }
    }
    if zones.iter().any(|zone| *zone != zones[0]) {
        let message =
            format!("Function '{name}' of values of different time zones is not supported");
        return raise(ErrorCode::NOT_SUPPORTED, message);
    }
    Ok(false)
}

/// Refuses rows from several places whose columns are not of one sort.
fn check_inputs(plan: &LogicalPlan) -> Result<()> {
    let utc = || Zone::parse("UTC").map_err(|failure| DataFusionError::External(failure.into()));
    let check = |types: &[DataType]| match common(types, Purpose::Unite, &utc()?)? {
        Some(Kind::Time(_)) | None => Ok(()),
        Some(_) => {
            let text = "Dates and timestamps in one column are not supported: cast one";
            raise(ErrorCode::NOT_SUPPORTED, text.to_owned())
        }
    };
    match plan {
        LogicalPlan::Union(union) => {
            let columns = union.inputs.first().map_or(0, |input| input.schema().fields().len());
            for column in 0..columns {
                let of = |input: &Arc<LogicalPlan>| {
                    input.schema().fields().get(column).map(|field| field.data_type().clone())
                };
                let types: Vec<DataType> = union.inputs.iter().filter_map(of).collect();
                check(&types)?;
            }
            Ok(())
        }
        LogicalPlan::RecursiveQuery(query) => {
            let columns = query.static_term.schema().fields().iter();
            for (left, right) in columns.zip(query.recursive_term.schema().fields()) {
                check(&[left.data_type().clone(), right.data_type().clone()])?;
            }
            Ok(())
        }
        // The planner casts rows to the type of the first.
        LogicalPlan::Values(values) => {
            for expr in values.values.iter().flatten() {
                if let Expr::Cast(cast) = expr {
                    let from = cast.expr.get_type(&values.schema)?;
                    check(&[from, cast.field.data_type().clone()])?;
                }
            }
            Ok(())
        }
        LogicalPlan::Join(join) => {
            for (left, right) in &join.on {
                let types =
                    [left.get_type(join.left.schema())?, right.get_type(join.right.schema())?];
                if common(&types, Purpose::Compare, &utc()?)?.is_some() {
                    return mismatch(&types[0], "=", &types[1]);
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
