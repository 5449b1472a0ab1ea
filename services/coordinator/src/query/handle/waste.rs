//! What failures have cost a query: work that was done again, and time.

use std::collections::BTreeMap;

use waterbear_ids::TaskId;
use waterbear_protocol::task::TaskState;

use super::TaskSnapshot;

/// What the attempts have cost that a query's answer does not come from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Waste {
    /// Attempts, those that count included.
    pub attempts: u64,
    /// Attempts after the first one of their task.
    pub retries: u64,
    /// Time spent computing by attempts that do not count, all threads, nanoseconds.
    pub cpu_nanos: u64,
    /// How long those attempts have run, added up, milliseconds.
    pub wall_millis: u64,
    /// How much later the attempt that counts began than the first one did, of the task that lost
    /// most, milliseconds. Several stages of a query add up.
    pub lost_millis: u64,
    /// Bytes that all attempts have left in the spool.
    pub spooled_bytes: u64,
}

impl Waste {
    /// Of the tasks of one stage. The attempt that counts is the last one that finished; while
    /// there is none, the newest.
    pub fn of_stage<'a>(tasks: impl IntoIterator<Item = &'a TaskSnapshot>) -> Self {
        let mut by_task: BTreeMap<&TaskId, Vec<&TaskSnapshot>> = BTreeMap::new();
        for task in tasks {
            by_task.entry(&task.status.attempt.task).or_default().push(task);
        }
        let mut waste = Self::default();
        for attempts in by_task.into_values() {
            let rank = |task: &&&TaskSnapshot| {
                (task.status.state == TaskState::Finished, task.status.attempt.number)
            };
            let Some(counts) = attempts.iter().max_by_key(rank).copied() else { continue };
            let began = |task: &TaskSnapshot| task.status.stats.created_ms;
            let first = attempts.iter().map(|task| began(task)).filter(|ms| *ms > 0).min();
            let lost = first.map_or(0, |first| began(counts).saturating_sub(first));
            waste.lost_millis = waste.lost_millis.max(lost);
            waste.attempts += attempts.len() as u64;
            waste.retries += attempts.len() as u64 - 1;
            for task in attempts {
                let stats = &task.status.stats;
                waste.spooled_bytes += stats.spooled_bytes;
                if task.status.attempt != counts.status.attempt {
                    waste.cpu_nanos += stats.cpu_nanos;
                    waste.wall_millis += stats.ended_ms.saturating_sub(stats.created_ms);
                }
            }
        }
        waste
    }

    /// Of each stage, by its number.
    pub fn by_stage(tasks: &[TaskSnapshot]) -> BTreeMap<u32, Self> {
        let mut by_stage: BTreeMap<u32, Vec<&TaskSnapshot>> = BTreeMap::new();
        for task in tasks {
            by_stage.entry(task.stage).or_default().push(task);
        }
        by_stage.into_iter().map(|(stage, tasks)| (stage, Self::of_stage(tasks))).collect()
    }

    /// Of a whole query.
    pub fn of_query(tasks: &[TaskSnapshot]) -> Self {
        Self::by_stage(tasks).into_values().fold(Self::default(), |all, stage| Self {
            attempts: all.attempts + stage.attempts,
            retries: all.retries + stage.retries,
            cpu_nanos: all.cpu_nanos + stage.cpu_nanos,
            wall_millis: all.wall_millis + stage.wall_millis,
            lost_millis: all.lost_millis + stage.lost_millis,
            spooled_bytes: all.spooled_bytes + stage.spooled_bytes,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_ids::QueryId;
    use waterbear_protocol::task::{TaskStats, TaskStatus};

    use super::*;

    fn attempt(stage: u32, number: u32, state: TaskState, from: u64, to: u64) -> TaskSnapshot {
        let id: QueryId = "q".parse().unwrap();
        let stats = TaskStats {
            created_ms: from,
            ended_ms: to,
            cpu_nanos: 10,
            spooled_bytes: 100,
            ..TaskStats::default()
        };
        TaskSnapshot {
            node: "n".parse().unwrap(),
            stage,
            status: TaskStatus {
                attempt: id.stage(stage).task(0).attempt(number),
                version: 0,
                state,
                failure: None,
                stats,
                output: None,
                operators: Vec::new(),
            },
        }
    }

    #[test]
    fn what_runs_once_wastes_nothing() {
        let waste = Waste::of_query(&[
            attempt(1, 0, TaskState::Finished, 1000, 1010),
            attempt(2, 0, TaskState::Running, 1010, 0),
        ]);
        let expected = Waste { attempts: 2, spooled_bytes: 200, ..Waste::default() };
        assert_eq!(waste, expected);
    }

    #[test]
    fn the_last_that_finished_counts_and_stages_add_up() {
        let tasks = [
            attempt(1, 0, TaskState::Failed, 1000, 1030),
            attempt(1, 1, TaskState::Finished, 1050, 1100),
            // It was finished, and its output lost.
            attempt(2, 0, TaskState::Finished, 1100, 1110),
            attempt(2, 1, TaskState::Finished, 1200, 1210),
            // A late one.
            attempt(2, 2, TaskState::Aborted, 1205, 1215),
        ];
        let expected = Waste {
            attempts: 5,
            retries: 3,
            cpu_nanos: 30,
            wall_millis: 30 + 10 + 10,
            lost_millis: 50 + 100,
            spooled_bytes: 500,
        };
        assert_eq!(Waste::of_query(&tasks), expected);
        assert_eq!(Waste::by_stage(&tasks)[&1].lost_millis, 50);
    }
}
