//! What each operator makes of the facts about its input.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile as is_volatile_expr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::{JoinFilter, build_join_schema};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use waterbear_engine::ExchangeSourceExec;

use super::{Facts, aggregates};

pub(super) const LIMIT: &str = "LIMIT over rows in no total order";
const FLOAT_LIMIT: &str = "a float aggregate decides a limit";
pub(super) const FLOAT_COMPARISON: &str = "a float aggregate decides a comparison";
const FLOAT_KEY: &str = "a float aggregate is an exchange key";
const ROUND_ROBIN: &str = "rows in no fixed order are dealt out round-robin";

/// True when an expression of the node itself gives another value each time.
pub(super) fn is_volatile(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut found = false;
    let walked = plan.apply_expressions(&mut |expr| {
        found |= is_volatile_expr(expr);
        Ok(TreeNodeRecursion::Continue)
    });
    found || walked.is_err()
}

/// The facts of a node's output.
pub(super) fn output(
    plan: &Arc<dyn ExecutionPlan>,
    mut children: Vec<Facts>,
    inputs: &[Facts],
) -> Facts {
    if children.is_empty() {
        return leaf(plan, inputs);
    }
    if let Some(join) = join(plan, &children) {
        return join;
    }
    if plan.is::<ScalarSubqueryExec>() {
        return with_subqueries(children);
    }
    if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
        return union(children);
    }
    let input = children.remove(0);
    if !children.is_empty() {
        return unknown(plan, input);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        self::filter(filter, input)
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        self::projection(projection, input)
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        self::sort(sort, input)
    } else if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        self::merge(merge, input)
    } else if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        self::repartition(repartition, input)
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        aggregates::aggregate(aggregate, input)
    } else if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        aggregates::windows(window.window_expr(), window.input(), input)
    } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        aggregates::windows(window.window_expr(), window.input(), input)
    } else if plan.is::<CoalescePartitionsExec>() {
        gather(plan, input)
    } else if plan.is::<GlobalLimitExec>() || plan.is::<LocalLimitExec>() {
        limited(input)
    } else if plan.is::<UnnestExec>() {
        unnested(plan, input)
    } else if plan.is::<CooperativeExec>() {
        input
    } else {
        unknown(plan, input)
    }
}

fn leaf(plan: &Arc<dyn ExecutionPlan>, inputs: &[Facts]) -> Facts {
    let fixed = || Facts { fixed: true, ..Facts::default() };
    if let Some(source) = plan.downcast_ref::<ExchangeSourceExec>() {
        return inputs.get(source.input()).cloned().unwrap_or_default();
    }
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let in_memory = source.data_source().downcast_ref::<MemorySourceConfig>().is_some();
        let alone = plan.output_partitioning().partition_count() == 1;
        if in_memory || alone {
            return fixed();
        }
        let reason = "partitions take files from each other as they read";
        let mut facts = Facts { placement: Some(reason.to_owned()), ..Facts::default() };
        if source.fetch().is_some() {
            facts.doubt(LIMIT);
        }
        return facts;
    }
    if plan.is::<EmptyExec>() || plan.is::<PlaceholderRowExec>() || plan.name() == "TpchScanExec" {
        return fixed();
    }
    // A scan's splits are fixed, so its rows are; their order is the connector's affair.
    let mut facts = Facts::default();
    if plan.fetch().is_some() {
        facts.doubt(LIMIT);
    }
    facts
}

fn unknown(plan: &Arc<dyn ExecutionPlan>, mut input: Facts) -> Facts {
    input.doubt(format!("nothing is known of the operator {}", plan.name()));
    input
}

/// True when an expression reads a column that a float aggregate has touched.
pub(super) fn reads_floats(expr: &Arc<dyn PhysicalExpr>, input: &Facts) -> bool {
    collect_columns(expr).iter().any(|column| input.floats.contains(&column.index()))
}

/// The columns of a sort whose keys are plain columns; others tell no rows apart.
pub(super) fn columns_of<'a>(
    exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
) -> BTreeSet<usize> {
    exprs.filter_map(|expr| expr.downcast_ref::<Column>()).map(Column::index).collect()
}

/// Renumbers columns: `kept` are the input's columns in the order of the output.
fn renumbered(facts: &mut Facts, kept: &[Option<usize>]) {
    let new = |old: usize| kept.iter().position(|column| *column == Some(old));
    facts.floats = (0..kept.len())
        .filter(|at| kept[*at].is_some_and(|old| facts.floats.contains(&old)))
        .collect();
    let sets = facts.unique.iter();
    facts.unique = sets.filter_map(|set| set.iter().map(|column| new(*column)).collect()).collect();
}

fn filter(filter: &FilterExec, mut input: Facts) -> Facts {
    if reads_floats(filter.predicate(), &input) {
        input.doubt(FLOAT_COMPARISON);
    }
    if let Some(projection) = filter.projection() {
        let kept: Vec<Option<usize>> = projection.iter().copied().map(Some).collect();
        renumbered(&mut input, &kept);
    }
    if filter.fetch().is_some() { limited(input) } else { input }
}

fn projection(projection: &ProjectionExec, mut input: Facts) -> Facts {
    let exprs = projection.expr();
    let touched: BTreeSet<usize> =
        (0..exprs.len()).filter(|at| reads_floats(&exprs[*at].expr, &input)).collect();
    let kept: Vec<Option<usize>> =
        exprs.iter().map(|item| item.expr.downcast_ref::<Column>().map(Column::index)).collect();
    renumbered(&mut input, &kept);
    input.floats = touched;
    input
}

/// Whether an order leaves no two different rows tied, and no float aggregate decides it.
struct Order {
    total: bool,
    floats: bool,
}

fn order(ordering: &LexOrdering, input: &Facts, columns: usize) -> Order {
    let keys = columns_of(ordering.iter().map(|key| &key.expr));
    Order {
        total: input.is_total(&keys, columns),
        floats: ordering.iter().any(|key| reads_floats(&key.expr, input)),
    }
}

fn sort(sort: &SortExec, mut input: Facts) -> Facts {
    let order = order(sort.expr(), &input, sort.schema().fields().len());
    if sort.fetch().is_some() {
        if order.floats {
            input.doubt(FLOAT_LIMIT);
        } else if !order.total {
            input.doubt(LIMIT);
        } else if sort.preserve_partitioning()
            && let Some(placement) = &input.placement
        {
            input.unmerged.get_or_insert_with(|| placement.clone());
        }
    }
    input.fixed = order.total && !order.floats;
    input
}

fn merge(merge: &SortPreservingMergeExec, mut input: Facts) -> Facts {
    let order = order(merge.expr(), &input, merge.schema().fields().len());
    let decided = order.total && !order.floats;
    if merge.fetch().is_some() {
        match decided {
            true => input.unmerged = None,
            false if order.floats => input.doubt(FLOAT_LIMIT),
            false => input.doubt(LIMIT),
        }
    }
    input.placement = None;
    input.fixed = decided;
    input
}

fn gather(plan: &Arc<dyn ExecutionPlan>, mut input: Facts) -> Facts {
    let alone = plan.children()[0].output_partitioning().partition_count() == 1;
    input.fixed &= alone;
    input.placement = None;
    if plan.fetch().is_some() { limited(input) } else { input }
}

fn limited(mut input: Facts) -> Facts {
    if !input.is_reproducible() || input.unmerged.is_some() {
        input.doubt(LIMIT);
    }
    input
}

fn repartition(repartition: &RepartitionExec, mut input: Facts) -> Facts {
    let keeps_order = repartition.preserve_order();
    match repartition.partitioning() {
        Partitioning::Hash(keys, _) => {
            if keys.iter().any(|key| reads_floats(key, &input)) {
                input.doubt(FLOAT_KEY);
            }
            input.placement = None;
        }
        _ => input.placement = Some(ROUND_ROBIN.to_owned()),
    }
    input.fixed &= keeps_order;
    input
}

/// Which rows an array or a map gives does not hang on their order.
fn unnested(plan: &Arc<dyn ExecutionPlan>, mut input: Facts) -> Facts {
    if !input.floats.is_empty() {
        input.floats = (0..plan.schema().fields().len()).collect();
    }
    input.unique.clear();
    input
}

fn union(children: Vec<Facts>) -> Facts {
    let mut all = Facts { fixed: true, ..Facts::default() };
    for child in children {
        all.doubt = all.doubt.or(child.doubt);
        all.placement = all.placement.or(child.placement);
        all.unmerged = all.unmerged.or(child.unmerged);
        all.fixed &= child.fixed;
        all.floats.extend(child.floats);
    }
    all
}

/// A plan whose expressions read one value of each of the plans behind it.
fn with_subqueries(children: Vec<Facts>) -> Facts {
    let mut children = children.into_iter();
    let mut output = children.next().unwrap_or_default();
    for subquery in children {
        if let Some(reason) = subquery.doubt.or(subquery.unmerged) {
            output.doubt(reason);
        }
        // Where the value goes is not followed.
        if !subquery.floats.is_empty() {
            output.doubt(FLOAT_COMPARISON);
        }
    }
    output
}

/// What is equal in the left and the right input of a join.
type Equal = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

fn join(plan: &Arc<dyn ExecutionPlan>, children: &[Facts]) -> Option<Facts> {
    let [left, right] = children else { return None };
    let mut output = Facts {
        doubt: left.doubt.clone().or_else(|| right.doubt.clone()),
        placement: right.placement.clone(),
        unmerged: left.unmerged.clone().or_else(|| right.unmerged.clone()),
        ..Facts::default()
    };
    let (join_type, projection, filter);
    let mut keys: &[Equal] = &[];
    let mut collects_left = true;
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        collects_left = *join.partition_mode() != PartitionMode::Partitioned;
        (join_type, keys) = (*join.join_type(), join.on());
        (projection, filter) = (join.projection.clone(), join.filter());
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        collects_left = false;
        (join_type, keys) = (join.join_type(), join.on());
        (projection, filter) = (None, join.filter().as_ref());
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        join_type = *join.join_type();
        (projection, filter) = (join.projection().clone(), join.filter());
    } else if plan.is::<CrossJoinExec>() {
        (join_type, projection, filter) = (JoinType::Inner, None, None);
    } else {
        return None;
    }
    let float_key = |(l, r): &Equal| reads_floats(l, left) || reads_floats(r, right);
    if keys.iter().any(float_key) || filter.is_some_and(|filter| compares(filter, left, right)) {
        output.doubt(FLOAT_COMPARISON);
    }
    if collects_left {
        let gives_left = matches!(
            join_type,
            JoinType::Left
                | JoinType::Full
                | JoinType::LeftSemi
                | JoinType::LeftAnti
                | JoinType::LeftMark
        );
        if gives_left && plan.output_partitioning().partition_count() > 1 {
            let reason = "rows of a broadcast side come from whichever partition ends last";
            output.placement = Some(reason.to_owned());
        }
    } else {
        output.placement = output.placement.or_else(|| left.placement.clone());
    }
    output.floats = joined_floats(plan, left, right, join_type, projection.as_deref());
    Some(if plan.fetch().is_some() { limited(output) } else { output })
}

fn compares(filter: &JoinFilter, left: &Facts, right: &Facts) -> bool {
    filter.column_indices().iter().any(|column| match column.side {
        JoinSide::Left => left.floats.contains(&column.index),
        JoinSide::Right => right.floats.contains(&column.index),
        JoinSide::None => false,
    })
}

fn joined_floats(
    plan: &Arc<dyn ExecutionPlan>,
    left: &Facts,
    right: &Facts,
    join_type: JoinType,
    projection: Option<&[usize]>,
) -> BTreeSet<usize> {
    let inputs = plan.children();
    let (_, columns) = build_join_schema(&inputs[0].schema(), &inputs[1].schema(), &join_type);
    let is_float = |at: usize| {
        columns.get(at).is_some_and(|column| match column.side {
            JoinSide::Left => left.floats.contains(&column.index),
            JoinSide::Right => right.floats.contains(&column.index),
            JoinSide::None => false,
        })
    };
    match projection {
        Some(kept) => (0..kept.len()).filter(|at| is_float(kept[*at])).collect(),
        None => (0..columns.len()).filter(|at| is_float(*at)).collect(),
    }
}
