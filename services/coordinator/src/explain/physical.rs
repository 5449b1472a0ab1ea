//! The plan of a fragment.

use std::sync::Arc;

use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use waterbear_engine::ExchangeSourceExec;

use super::fragments::SOURCES;
use super::logical::join_name;
use super::names::{outputs, without_positions};
use super::{Estimate, PlanNode};

/// The plan of a fragment; `sources` are the fragments that its exchange sources read.
pub(super) fn node(plan: &Arc<dyn ExecutionPlan>, sources: &[u32]) -> PlanNode {
    let (name, descriptor) = describe(plan, sources);
    let descriptor = descriptor.into_iter().map(|(name, value)| (name.to_owned(), value));
    PlanNode {
        name,
        descriptor: descriptor.collect(),
        outputs: outputs(&plan.schema()),
        details: Vec::new(),
        estimate: estimate(plan),
        children: plan.children().into_iter().map(|child| node(child, sources)).collect(),
    }
}

/// How much a plan probably gives.
pub(super) fn estimate(plan: &Arc<dyn ExecutionPlan>) -> Estimate {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    let Ok(statistics) = statistics else { return Estimate::default() };
    let known = |value: Option<&usize>| value.map(|value| *value as u64);
    Estimate {
        rows: known(statistics.num_rows.get_value()),
        bytes: known(statistics.total_byte_size.get_value()),
    }
}

type Descriptor = Vec<(&'static str, String)>;

fn text(value: impl ToString) -> String {
    without_positions(&value.to_string())
}

fn list<T>(items: impl IntoIterator<Item = T>, of: impl Fn(T) -> String) -> String {
    format!("[{}]", items.into_iter().map(of).collect::<Vec<_>>().join(", "))
}

fn describe(plan: &Arc<dyn ExecutionPlan>, sources: &[u32]) -> (String, Descriptor) {
    let named = |name: &str, descriptor: Descriptor| (name.to_owned(), descriptor);
    if let Some(source) = plan.downcast_ref::<ExchangeSourceExec>() {
        let fragment = sources.get(source.input()).map_or("?".to_owned(), u32::to_string);
        return named("RemoteSource", vec![(SOURCES, format!("[{fragment}]"))]);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return named("Filter", vec![("filterPredicate", text(filter.predicate()))]);
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let expressions = list(projection.expr(), |item| {
            let (expr, alias) = (text(&item.expr), text(&item.alias));
            if expr == alias { expr } else { format!("{alias} := {expr}") }
        });
        return named("Project", vec![("expressions", expressions)]);
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return named("Aggregate", aggregation(aggregate));
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let order = ("orderBy", list(sort.expr().iter(), text));
        return match sort.fetch() {
            Some(count) => named("TopN", vec![("count", count.to_string()), order]),
            None => named("Sort", vec![order]),
        };
    }
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        return named("LocalExchange", exchange(repartition.partitioning()));
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        let count = limit.fetch().map_or("ALL".to_owned(), |count| count.to_string());
        let offset = ("offset", limit.skip().to_string());
        return named("Limit", vec![("count", count), offset]);
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return named("LimitPartial", vec![("count", limit.fetch().to_string())]);
    }
    if let Some(found) = join(plan) {
        return found;
    }
    let in_memory = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|source| source.data_source().downcast_ref::<MemorySourceConfig>().map(|_| ()));
    if in_memory.is_some() {
        return named("Values", Vec::new());
    }
    other(plan)
}

fn aggregation(aggregate: &AggregateExec) -> Descriptor {
    let step = match aggregate.mode() {
        AggregateMode::Partial => "PARTIAL",
        AggregateMode::PartialReduce => "INTERMEDIATE",
        AggregateMode::Final | AggregateMode::FinalPartitioned => "FINAL",
        AggregateMode::Single | AggregateMode::SinglePartitioned => "SINGLE",
    };
    let mut descriptor = vec![("type", step.to_owned())];
    let keys = aggregate.group_expr();
    if !keys.expr().is_empty() {
        descriptor.push(("keys", list(keys.expr(), |(_, name)| text(name))));
    }
    let aggregates = list(aggregate.aggr_expr(), |expr| {
        text(expr.human_display().filter(|shown| !shown.is_empty()).unwrap_or(expr.name()))
    });
    descriptor.push(("aggregates", aggregates));
    descriptor
}

fn exchange(partitioning: &Partitioning) -> Descriptor {
    let (kind, keys) = match partitioning {
        Partitioning::Hash(keys, _) => ("HASH", list(keys, text)),
        Partitioning::RoundRobinBatch(_) => ("ROUND_ROBIN", "[]".to_owned()),
        Partitioning::Range(_) => ("RANGE", "[]".to_owned()),
        Partitioning::UnknownPartitioning(_) => ("ARBITRARY", "[]".to_owned()),
    };
    let partitions = ("partitions", partitioning.partition_count().to_string());
    vec![("partitioning", kind.to_owned()), ("keys", keys), partitions]
}

fn join(plan: &Arc<dyn ExecutionPlan>) -> Option<(String, Descriptor)> {
    let mut descriptor = Vec::new();
    let kind = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let keys = list(join.on(), |(left, right)| format!("{} = {}", text(left), text(right)));
        descriptor.push(("criteria", keys));
        if let Some(filter) = join.filter() {
            descriptor.push(("filter", text(filter.expression())));
        }
        let partitioned = *join.partition_mode() == PartitionMode::Partitioned;
        let distribution = if partitioned { "PARTITIONED" } else { "REPLICATED" };
        descriptor.push(("distribution", distribution.to_owned()));
        *join.join_type()
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        let keys = list(join.on(), |(left, right)| format!("{} = {}", text(left), text(right)));
        descriptor.push(("criteria", keys));
        if let Some(filter) = join.filter() {
            descriptor.push(("filter", text(filter.expression())));
        }
        join.join_type()
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        if let Some(filter) = join.filter() {
            descriptor.push(("filter", text(filter.expression())));
        }
        *join.join_type()
    } else if plan.is::<CrossJoinExec>() {
        return Some(("CrossJoin".to_owned(), descriptor));
    } else {
        return None;
    };
    Some((join_name(kind), descriptor))
}

/// What users call the engine's other operators.
const NAMES: &[(&str, &str)] = &[
    ("BoundedWindowAggExec", "Window"),
    ("CoalescePartitionsExec", "LocalGather"),
    ("CooperativeExec", "Yield"),
    ("DataSourceExec", "TableScan"),
    ("EmptyExec", "Values"),
    ("InterleaveExec", "Union"),
    ("PlaceholderRowExec", "Values"),
    ("RecursiveQueryExec", "RecursiveUnion"),
    ("SortPreservingMergeExec", "LocalMerge"),
    ("TpchScanExec", "TableScan"),
    ("UnionExec", "Union"),
    ("UnnestExec", "Unnest"),
    ("WindowAggExec", "Window"),
    ("WorkTableExec", "RecursiveReference"),
];

fn other(plan: &Arc<dyn ExecutionPlan>) -> (String, Descriptor) {
    let known = NAMES.iter().find(|(engine, _)| *engine == plan.name());
    let name = match known {
        Some((_, name)) => (*name).to_owned(),
        None => plan.name().trim_end_matches("Exec").to_owned(),
    };
    let line = displayable(plan.as_ref()).one_line().to_string();
    let what = line.trim().split_once(": ").map_or("", |(_, what)| what);
    let descriptor = if what.is_empty() { Vec::new() } else { vec![("details", text(what))] };
    (name, descriptor)
}
