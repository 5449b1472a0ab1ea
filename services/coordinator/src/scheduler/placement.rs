//! Which worker runs which task. Pure.

use waterbear_ids::{QueryId, stable_hash};
use waterbear_protocol::membership::NodeInfo;

/// The worker for task `task` of a stage of `tasks` tasks, as index into the sorted worker list.
/// A stage over all workers has one task on each; smaller stages begin at a worker that depends
/// on query and stage, so that the small stages of many queries spread.
pub fn worker_of_task(query: &QueryId, stage: u32, task: u32, tasks: u32, workers: usize) -> usize {
    let start = if (tasks as usize) < workers { spread(query, stage) } else { 0 };
    ((start + u64::from(task)) % workers.max(1) as u64) as usize
}

/// A number that is the query's and the stage's own.
fn spread(query: &QueryId, stage: u32) -> u64 {
    stable_hash(query.as_str().bytes().chain(stage.to_le_bytes()))
}

/// Workers in the order in which placement counts them: by node id.
pub fn sorted(mut workers: Vec<NodeInfo>) -> Vec<NodeInfo> {
    workers.sort_by(|a, b| a.node_id.cmp(&b.node_id));
    workers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_over_all_workers_has_one_task_on_each() {
        let query: QueryId = "q1".parse().unwrap();
        let mut seen: Vec<_> = (0..4).map(|task| worker_of_task(&query, 3, task, 4, 4)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn small_stages_of_many_queries_spread_over_the_workers() {
        let mut counts = [0; 4];
        for number in 0..400 {
            let query: QueryId = format!("q{number}").parse().unwrap();
            counts[worker_of_task(&query, 0, 0, 1, 4)] += 1;
        }
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }
}
