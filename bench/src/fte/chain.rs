//! Goal 14: what a task costs that has next to nothing to do.
//!
//! A query is a chain of groupings, each over the few rows of the one before by another key, so
//! that each is a stage whose tasks read an exchange. The difference between a long chain and one
//! of half its length is the cost of tasks alone: client, scan and result are in both, and the
//! coordinator's time for analysing and planning, which it reports, is taken off.

use anyhow::ensure;

use super::pair::{Pair, Run, median_wall};
use super::table::Measured;
use crate::cluster::Cluster;
use crate::figures::ms;
use crate::place::Place;
use crate::query_info::QueryInfo;

/// Groupings of the short chain; the long one has twice as many.
const GROUPINGS: usize = 16;
/// Bytes of a table that a task should read: such that each stage has two tasks, of which each
/// reads both of the stage before.
const TASK_BYTES: [(&str, &str); 2] = [
    ("task.bytes-per-partition", "4kB"),
    ("fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min", "48kB"),
];

/// A chain of one policy: what its tasks took, and how many there were.
struct Chain {
    /// Milliseconds without planning.
    wall: f64,
    tasks: usize,
    stages: usize,
}

/// Runs each chain so many times on both sides.
pub async fn run(place: &Place, count: u32) -> anyhow::Result<Measured> {
    let coordinator = TASK_BYTES.map(|(name, size)| (name, size.to_owned())).to_vec();
    let mut pair = Pair::start(place, &coordinator).await?;
    let short = pair.runs(&chain(GROUPINGS), count).await?;
    let long = pair.runs(&chain(2 * GROUPINGS), count).await?;
    let mut shown = Vec::new();
    let mut notes = vec![
        format!(
            "chains of {GROUPINGS} and {} groupings of a few rows, {count} runs each, one policy \
             after the other in turns: the difference of the medians, without planning, divided by \
             the difference in tasks (the cost of a task) or in stages (the time from one task's \
             end to its reader's end)",
            2 * GROUPINGS
        ),
        "a task is planned and encoded, created over mutual TLS, reads and groups a few rows, \
         gives or commits its output, and is heard to its end"
            .to_owned(),
    ];
    let mut worst = f64::NAN;
    for (side, policy) in ["NONE", "TASK"].into_iter().enumerate() {
        let cluster = &pair.clusters()[side];
        let [short, long] =
            [Chain::of(cluster, &short[side]).await?, Chain::of(cluster, &long[side]).await?];
        let (tasks, stages) =
            (long.tasks.saturating_sub(short.tasks), long.stages.saturating_sub(short.stages));
        ensure!(
            tasks >= GROUPINGS && stages >= GROUPINGS,
            "under {policy} the long chain has {tasks} tasks and {stages} stages more than the \
             short one, not one or more for each grouping: there is nothing to measure"
        );
        let more = long.wall - short.wall;
        let [task, stage] = [more / tasks as f64, more / stages as f64];
        worst = worst.max(task);
        shown.push(format!("{policy} {task:.2} ms"));
        notes.push(format!(
            "{policy}: {:.1} ms with {} tasks, {:.1} ms with {}; {stage:.2} ms a stage of {:.0} tasks",
            short.wall,
            short.tasks,
            long.wall,
            long.tasks,
            tasks as f64 / stages as f64
        ));
    }
    Ok(Measured { value: worst, shown: shown.join(", "), notes })
}

/// A statement with so many groupings.
fn chain(groupings: usize) -> String {
    let scan = "SELECT c_custkey AS k, c_nationkey AS c FROM tpch.tiny.customer".to_owned();
    let chain = (0..groupings).fold(scan, |inner, _| {
        format!("SELECT (k * 7 + c) % 97 AS k, count(*) AS c FROM ({inner}) t GROUP BY 1")
    });
    format!("SELECT count(*), sum(k), sum(c) FROM ({chain}) t")
}

impl Chain {
    async fn of(cluster: &Cluster, runs: &[Run]) -> anyhow::Result<Self> {
        let planning: f64 = runs.iter().map(|run| ms(run.answer.planning)).sum();
        let wall = median_wall(runs) - planning / runs.len() as f64;
        let last = runs.last().map(|run| run.answer.id.as_str()).unwrap_or_default();
        let info = QueryInfo::of(cluster.client(), last).await?;
        Ok(Self { wall, tasks: info.finished(), stages: info.stages() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_as_many_groupings_as_are_asked_for() {
        for count in [1, 8] {
            assert_eq!(chain(count).matches("GROUP BY").count(), count);
        }
    }
}
