//! What running a query has cost.

use std::collections::BTreeSet;
use std::time::Duration;

use waterbear_protocol::task::OperatorMetrics;

use super::text::{bytes, nanos};
use super::{Part, PlanNode};
use crate::query::handle::{TaskSnapshot, Waste};

/// What is known of a query that has run.
#[derive(Debug)]
pub struct Costs {
    /// Its tasks on workers.
    pub tasks: Vec<TaskSnapshot>,
    /// The operators of the last fragment, if the coordinator itself ran it.
    pub local_root: Option<Vec<OperatorMetrics>>,
    /// Rows of the result.
    pub rows: u64,
    /// From the start of the tasks to the last row.
    pub elapsed: Duration,
    /// With the metrics of each operator of each task.
    pub verbose: bool,
}

/// Adds to the parts of a plan what running them has cost.
pub fn measured(mut parts: Vec<Part>, costs: &Costs) -> Vec<Part> {
    let total: u64 = costs.tasks.iter().map(|task| task.status.stats.cpu_nanos).sum::<u64>()
        + costs.local_root.iter().flatten().map(|operator| operator.cpu_nanos).sum::<u64>();
    for part in &mut parts {
        let Some(fragment) = part.fragment else { continue };
        let of_fragment = |task: &&TaskSnapshot| task.stage == fragment;
        let tasks: Vec<&TaskSnapshot> = costs.tasks.iter().filter(of_fragment).collect();
        match &costs.local_root {
            Some(operators) if fragment == 0 => {
                part.details.insert(0, local(operators, costs));
                operators_of(part, &[("coordinator".to_owned(), operators)], total, costs.verbose);
            }
            _ => {
                part.details.insert(0, remote(&tasks));
                let operators: Vec<(String, &Vec<OperatorMetrics>)> = tasks
                    .iter()
                    .map(|task| (task.status.attempt.to_string(), &task.status.operators))
                    .filter(|(_, operators)| !operators.is_empty())
                    .collect();
                operators_of(part, &operators, total, costs.verbose);
            }
        }
    }
    parts
}

fn local(operators: &[OperatorMetrics], costs: &Costs) -> String {
    let cpu = operators.iter().map(|operator| operator.cpu_nanos).sum();
    let elapsed = u64::try_from(costs.elapsed.as_nanos()).unwrap_or(u64::MAX);
    format!(
        "CPU: {}, Elapsed: {}, on the coordinator, Output: {} rows",
        nanos(cpu),
        nanos(elapsed),
        costs.rows
    )
}

fn remote(tasks: &[&TaskSnapshot]) -> String {
    let sum = |value: fn(&waterbear_protocol::task::TaskStats) -> u64| {
        tasks.iter().map(|task| value(&task.status.stats)).sum::<u64>()
    };
    let started = tasks.iter().map(|task| task.status.stats.created_ms).filter(|ms| *ms > 0).min();
    let ended = tasks.iter().map(|task| task.status.stats.ended_ms).max();
    let elapsed = match (started, ended) {
        (Some(started), Some(ended)) => ended.saturating_sub(started),
        _ => 0,
    };
    let count = tasks.iter().map(|task| &task.status.attempt.task).collect::<BTreeSet<_>>().len();
    let mut text = format!(
        "CPU: {}, Elapsed: {}, Tasks: {}, Input: {} rows ({}), Exchanged input: {}, \
         Output: {} rows ({}), Peak memory: {}, Spilled: {}",
        nanos(sum(|stats| stats.cpu_nanos)),
        nanos(elapsed.saturating_mul(1_000_000)),
        count,
        sum(|stats| stats.scanned_rows),
        bytes(sum(|stats| stats.scanned_bytes)),
        bytes(sum(|stats| stats.exchange_input_bytes)),
        sum(|stats| stats.output_rows),
        bytes(sum(|stats| stats.output_bytes)),
        bytes(sum(|stats| stats.peak_memory_bytes)),
        bytes(sum(|stats| stats.spilled_bytes)),
    );
    let spooled = sum(|stats| stats.spooled_bytes);
    if spooled > 0 {
        text.push_str(&format!(", Spooled: {}", bytes(spooled)));
    }
    let waste = Waste::of_stage(tasks.iter().copied());
    if waste.retries > 0 {
        text.push_str(&format!(
            ", Attempts: {}, Wasted CPU: {}, Time lost: {}",
            waste.attempts,
            nanos(waste.cpu_nanos),
            nanos(waste.lost_millis.saturating_mul(1_000_000))
        ));
    }
    text
}

/// Adds to each operator of a part what it has cost in all tasks.
fn operators_of(
    part: &mut Part,
    tasks: &[(String, &Vec<OperatorMetrics>)],
    total: u64,
    verbose: bool,
) {
    let root = match part.root.name.as_str() {
        // Not an operator of the engine's.
        "Output" if part.fragment == Some(0) => part.root.children.first_mut(),
        _ => Some(&mut part.root),
    };
    let Some(root) = root else { return };
    let count = size(root);
    // A worker may see a plan otherwise than it was sent; then nothing fits.
    let tasks: Vec<_> = tasks.iter().filter(|(_, operators)| operators.len() == count).collect();
    if tasks.is_empty() {
        return;
    }
    let mut position = 0;
    walk(root, &mut |node| {
        let here: Vec<(&str, &OperatorMetrics)> = tasks
            .iter()
            .filter_map(|(task, operators)| Some((task.as_str(), operators.get(position)?)))
            .collect();
        let rows: u64 = here.iter().map(|(_, operator)| operator.output_rows).sum();
        let cpu: u64 = here.iter().map(|(_, operator)| operator.cpu_nanos).sum();
        let share = if total == 0 { 0.0 } else { cpu as f64 * 100.0 / total as f64 };
        node.details.push(format!("CPU: {} ({share:.2}%), Output: {rows} rows", nanos(cpu)));
        if verbose {
            let texts = here.iter().filter(|(_, operator)| !operator.text.is_empty());
            node.details.extend(texts.map(|(task, operator)| format!("{task}: {}", operator.text)));
        }
        position += 1;
    });
}

fn size(node: &PlanNode) -> usize {
    1 + node.children.iter().map(size).sum::<usize>()
}

fn walk(node: &mut PlanNode, visit: &mut impl FnMut(&mut PlanNode)) {
    visit(node);
    for child in &mut node.children {
        walk(child, visit);
    }
}
