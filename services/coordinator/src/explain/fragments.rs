//! Fragments, the root first.

use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::ExecutionPlanProperties;

use super::names::without_positions;
use super::{Part, output_node, physical};
use crate::planner::{Fragment, StagePlan, Wiring};

/// What a remote source calls the fragments that it reads.
pub(super) const SOURCES: &str = "sourceFragmentIds";

/// The fragments of a query whose columns have these names; the root first.
pub fn parts(stages: &StagePlan, columns: &[String]) -> Vec<Part> {
    let mut order: Vec<usize> = (0..stages.fragments.len()).collect();
    order.sort_by_key(|index| stages.fragments[*index].stage);
    order.into_iter().map(|index| part(stages, index, columns)).collect()
}

fn part(stages: &StagePlan, index: usize, columns: &[String]) -> Part {
    let fragment = &stages.fragments[index];
    let sources: Vec<u32> =
        fragment.inputs.iter().map(|input| stages.fragments[input.producer].stage).collect();
    let mut part = Part {
        fragment: Some(fragment.stage),
        partitioning: partitioning(fragment).to_owned(),
        ..Part::default()
    };
    if let Some(plan) = fragment.tasks.first() {
        part.root = physical::node(plan, &sources);
    }
    let layout: Vec<String> = part.root.outputs.iter().map(|(name, _)| name.clone()).collect();
    part.details = vec![
        format!("Output layout: [{}]", layout.join(", ")),
        format!("Output partitioning: {}", output_partitioning(stages, index)),
        format!("Tasks: {}, partitions of each: {}", fragment.tasks.len(), fragment.partitions),
        format!("Determinacy: {}", fragment.determinacy),
    ];
    if index + 1 == stages.fragments.len() {
        part.root = output_node(columns, part.root);
    }
    part
}

/// How the fragment's tasks divide their input.
fn partitioning(fragment: &Fragment) -> &'static str {
    let shuffled = fragment.inputs.iter().any(|input| input.wiring == Wiring::Shuffle);
    match () {
        () if fragment.scans => "SOURCE",
        () if fragment.tasks.len() == 1 => "SINGLE",
        () if shuffled => "HASH",
        () => "ARBITRARY",
    }
}

/// How the fragment's rows are divided among its readers.
fn output_partitioning(stages: &StagePlan, index: usize) -> String {
    let readers = stages.fragments.iter().flat_map(|fragment| &fragment.inputs);
    let wiring = readers.filter(|input| input.producer == index).map(|input| input.wiring).next();
    match wiring {
        Some(Wiring::Broadcast) => "BROADCAST []".to_owned(),
        Some(Wiring::Shuffle) => {
            let plan = stages.fragments[index].tasks.first();
            match plan.map(|plan| plan.output_partitioning()) {
                Some(Partitioning::Hash(keys, _)) => {
                    let keys: Vec<String> =
                        keys.iter().map(|key| without_positions(&key.to_string())).collect();
                    format!("HASH [{}]", keys.join(", "))
                }
                _ => "ARBITRARY []".to_owned(),
            }
        }
        Some(Wiring::Coalesce { .. }) | None => "SINGLE []".to_owned(),
    }
}
