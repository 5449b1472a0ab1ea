//! Aggregates and window functions: which of them hang on the order of their input.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{WindowFrame, WindowFrameUnits};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::window::SlidingAggregateWindowExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::WindowExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::windows::{
    PlainAggregateWindowExpr, StandardWindowExpr, WindowUDFExpr,
};

use super::Facts;
use super::operators::{FLOAT_COMPARISON, LIMIT, columns_of, reads_floats};

/// How an aggregate hangs on the order of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Not at all.
    None,
    /// In its last digits.
    Digits,
    /// Altogether, or nobody knows.
    Whole,
}

/// Aggregates of which the order of the input changes nothing, or the last digits of a float.
const COMMUTATIVE: &[&str] = &[
    "approx_distinct",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bitwise_and_agg",
    "bitwise_or_agg",
    "bitwise_xor_agg",
    "bool_and",
    "bool_or",
    "checksum",
    "corr",
    "count",
    "count_if",
    "covar_pop",
    "covar_samp",
    "every",
    "geometric_mean",
    "grouping",
    "kurtosis",
    "max",
    "min",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "skewness",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// Window functions that give equal rows equal values.
const BY_PEERS: &[&str] = &["rank", "dense_rank", "percent_rank", "cume_dist"];

fn effect(aggregate: &AggregateFunctionExpr) -> Effect {
    let name = aggregate.fun().name().trim_start_matches('$');
    let float = matches!(
        aggregate.field().data_type(),
        DataType::Float16 | DataType::Float32 | DataType::Float64
    );
    if COMMUTATIVE.binary_search(&name).is_ok() {
        let exact = !float || matches!(name, "min" | "max");
        return if exact { Effect::None } else { Effect::Digits };
    }
    // Ordered by all of its arguments, it sees ties only between equal values.
    let arguments = columns_of(aggregate.expressions().iter());
    let plain = arguments.len() == aggregate.expressions().len();
    let keys = columns_of(aggregate.order_bys().iter().map(|key| &key.expr));
    let ordered = !keys.is_empty() && plain && arguments.is_subset(&keys);
    if ordered { Effect::None } else { Effect::Whole }
}

/// The facts of an aggregate's output.
pub(super) fn aggregate(aggregate: &AggregateExec, input: Facts) -> Facts {
    let raw = matches!(
        aggregate.mode(),
        AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned
    );
    let states = matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::PartialReduce);
    let mut output = Facts { fixed: false, ..input.clone() };
    let keys = aggregate.group_expr();
    if keys.expr().iter().any(|(key, _)| reads_floats(key, &input)) {
        output.doubt(FLOAT_COMPARISON);
    }
    if aggregate.limit_options().is_some() {
        output.doubt(LIMIT);
    }
    let groups = aggregate.output_group_expr().len();
    output.floats = BTreeSet::new();
    let (mut from, mut to) = (groups, groups);
    for (expr, filter) in aggregate.aggr_expr().iter().zip(aggregate.filter_expr()) {
        let width = expr.state_fields().map_or(1, |fields| fields.len());
        if raw && filter.as_ref().is_some_and(|filter| reads_floats(filter, &input)) {
            output.doubt(FLOAT_COMPARISON);
        }
        let effect = effect(expr);
        if effect == Effect::Whole {
            output.doubt(in_no_order(expr.fun().name()));
        }
        let touched = match raw {
            true => expr.expressions().iter().any(|argument| reads_floats(argument, &input)),
            false => (from..from + width).any(|column| input.floats.contains(&column)),
        };
        let counts = matches!(expr.fun().name(), "count") && !expr.is_distinct();
        let own = if states { width } else { 1 };
        if (touched && !counts) || effect == Effect::Digits {
            output.floats.extend(to..to + own);
        }
        from += width;
        to += own;
    }
    output.unique = Vec::new();
    if !states {
        output.unique.push((0..groups).collect());
    }
    output
}

fn in_no_order(function: &str) -> String {
    format!("{function} over rows in no total order")
}

/// The facts of the output of window functions.
pub(super) fn windows(
    exprs: &[Arc<dyn WindowExpr>],
    plan: &Arc<dyn ExecutionPlan>,
    input: Facts,
) -> Facts {
    let columns = plan.schema().fields().len();
    let mut output = input.clone();
    for (position, expr) in exprs.iter().enumerate() {
        let keys = expr.partition_by().iter().chain(expr.order_by().iter().map(|key| &key.expr));
        if keys.clone().any(|key| reads_floats(key, &input)) {
            output.doubt(FLOAT_COMPARISON);
        }
        let total = input.is_total(&columns_of(keys), columns);
        let (name, effect, aggregates) = window_effect(expr.as_ref());
        let by_rows = aggregates && is_row_frame(expr.get_window_frame());
        let touched = expr.expressions().iter().any(|argument| reads_floats(argument, &input));
        if !total && (effect == Effect::Whole || by_rows) {
            output.doubt(in_no_order(&name));
        }
        if touched || (effect == Effect::Digits && !total) {
            output.floats.insert(columns + position);
        }
    }
    output
}

/// A frame that begins or ends at some row, not at a group of equal ones.
fn is_row_frame(frame: &WindowFrame) -> bool {
    frame.units == WindowFrameUnits::Rows
        && !(frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded())
}

/// The name of a window function, how it hangs on the order of equal rows, and whether it is an
/// aggregate over a frame.
fn window_effect(expr: &dyn WindowExpr) -> (String, Effect, bool) {
    let any = expr.as_any();
    let aggregate = any
        .downcast_ref::<PlainAggregateWindowExpr>()
        .map(PlainAggregateWindowExpr::get_aggregate_expr)
        .or_else(|| {
            any.downcast_ref::<SlidingAggregateWindowExpr>()
                .map(SlidingAggregateWindowExpr::get_aggregate_expr)
        });
    if let Some(aggregate) = aggregate {
        return (aggregate.fun().name().to_owned(), effect(aggregate), true);
    }
    let function = any
        .downcast_ref::<StandardWindowExpr>()
        .and_then(|expr| expr.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>());
    match function {
        Some(function) => {
            let name = function.fun().name().to_owned();
            let by_peers = BY_PEERS.contains(&name.as_str());
            (name, if by_peers { Effect::None } else { Effect::Whole }, false)
        }
        None => (expr.name().to_owned(), Effect::Whole, false),
    }
}
