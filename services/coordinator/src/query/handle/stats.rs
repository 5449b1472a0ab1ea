//! Statistics of a query, added up from its tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use waterbear_protocol::client::{StageStats, StatementStats};
use waterbear_protocol::task::TaskState;

use super::{Progress, QueryState, TaskSnapshot, Waste};

fn millis(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

/// Adds up what is known at `now`.
pub(super) fn collect(progress: &Progress, submitted: Instant, now: Instant) -> StatementStats {
    let end = progress.ended.unwrap_or(now);
    let stages = stages(&progress.tasks, &progress.planned);
    let sum = |value: fn(&StageStats) -> u64| stages.iter().map(value).sum::<u64>();
    let task_sum = |value: fn(&TaskSnapshot) -> u64| progress.tasks.iter().map(value).sum::<u64>();
    let (total, completed) = (sum(|s| s.total_splits), sum(|s| s.completed_splits));
    let queued = sum(|s| s.queued_splits);
    let running = sum(|s| s.running_splits);
    let finished = progress.state == QueryState::Finished;
    let scheduled = finished || progress.state >= QueryState::Running && total > 0;
    let percent = |part: u64| match total {
        0 => 0.0,
        _ => part as f64 * 100.0 / total as f64,
    };
    let nodes: BTreeSet<_> = progress.tasks.iter().map(|task| &task.node).collect();
    StatementStats {
        state: progress.state.name().to_owned(),
        queued: progress.state == QueryState::Queued,
        scheduled,
        progress_percentage: scheduled
            .then(|| if finished { 100.0 } else { percent(completed).min(100.0) }),
        running_percentage: scheduled.then(|| if finished { 0.0 } else { percent(running) }),
        nodes: nodes.len() as u64,
        total_splits: total,
        queued_splits: queued,
        running_splits: running,
        completed_splits: completed,
        planning_time_millis: u64::try_from(progress.planning.as_millis()).unwrap_or(u64::MAX),
        analysis_time_millis: u64::try_from(progress.analysis.as_millis()).unwrap_or(u64::MAX),
        cpu_time_millis: sum(|s| s.cpu_time_millis),
        wall_time_millis: sum(|s| s.wall_time_millis),
        queued_time_millis: millis(submitted, progress.started.unwrap_or(end)),
        elapsed_time_millis: millis(submitted, end),
        finishing_time_millis: progress.finishing.map_or(0, |from| millis(from, end)),
        physical_input_time_millis: 0,
        processed_rows: sum(|s| s.processed_rows),
        processed_bytes: sum(|s| s.processed_bytes),
        physical_input_bytes: sum(|s| s.physical_input_bytes),
        physical_written_bytes: 0,
        internal_network_input_bytes: task_sum(|t| t.status.stats.exchange_input_bytes),
        peak_memory_bytes: task_sum(|t| t.status.stats.peak_memory_bytes),
        spilled_bytes: task_sum(|t| t.status.stats.spilled_bytes),
        spooled_bytes: task_sum(|t| t.status.stats.spooled_bytes),
        task_retries: Waste::of_query(&progress.tasks).retries,
        root_stage: tree(stages),
    }
}

/// One entry for each stage, by number.
fn stages(tasks: &[TaskSnapshot], planned: &BTreeMap<u32, u64>) -> Vec<StageStats> {
    let mut by_stage: BTreeMap<u32, Vec<&TaskSnapshot>> =
        planned.keys().map(|number| (*number, Vec::new())).collect();
    for task in tasks {
        by_stage.entry(task.stage).or_default().push(task);
    }
    let stage = |(number, tasks): (u32, Vec<&TaskSnapshot>)| {
        let stage = stage(number, &tasks);
        match planned.get(&number) {
            Some(planned) => retried(stage, &tasks, *planned),
            None => stage,
        }
    };
    by_stage.into_iter().map(stage).collect()
}

/// A stage whose tasks are created one after the other, and may run again.
fn retried(stage: StageStats, tasks: &[&TaskSnapshot], planned: u64) -> StageStats {
    let of = |state: TaskState| {
        let tasks = tasks.iter().filter(move |task| task.status.state == state);
        tasks.map(|task| task.status.attempt.task.number).collect::<BTreeSet<_>>()
    };
    let (finished, running) = (of(TaskState::Finished), of(TaskState::Running));
    let running = running.difference(&finished).count() as u64;
    let completed = finished.len() as u64;
    let state = match () {
        () if completed == planned => "FINISHED",
        () if tasks.is_empty() => "PLANNED",
        () => "RUNNING",
    };
    StageStats {
        state: state.to_owned(),
        done: completed == planned,
        total_splits: planned,
        queued_splits: planned.saturating_sub(completed + running),
        running_splits: running,
        completed_splits: completed,
        ..stage
    }
}

fn stage(number: u32, tasks: &[&TaskSnapshot]) -> StageStats {
    let count = |state: TaskState| tasks.iter().filter(|t| t.status.state == state).count() as u64;
    let sum = |value: fn(&TaskSnapshot) -> u64| tasks.iter().map(|task| value(task)).sum::<u64>();
    let running = count(TaskState::Running);
    let state = match () {
        () if count(TaskState::Failed) > 0 => "FAILED",
        () if running > 0 => "RUNNING",
        () if count(TaskState::Aborted) > 0 => "ABORTED",
        () => "FINISHED",
    };
    let nodes: BTreeSet<_> = tasks.iter().map(|task| &task.node).collect();
    StageStats {
        stage_id: number.to_string(),
        state: state.to_owned(),
        done: running == 0,
        nodes: nodes.len() as u64,
        total_splits: tasks.len() as u64,
        queued_splits: 0,
        running_splits: running,
        completed_splits: tasks.len() as u64 - running,
        cpu_time_millis: sum(|t| t.status.stats.cpu_nanos) / 1_000_000,
        wall_time_millis: sum(wall_millis),
        processed_rows: sum(|t| t.status.stats.scanned_rows),
        processed_bytes: sum(|t| t.status.stats.scanned_bytes),
        physical_input_bytes: sum(|t| t.status.stats.scanned_bytes),
        failed_tasks: count(TaskState::Failed),
        coordinator_only: false,
        sub_stages: Vec::new(),
    }
}

/// How long a task has run.
fn wall_millis(task: &TaskSnapshot) -> u64 {
    let stats = &task.status.stats;
    if stats.created_ms == 0 {
        return 0;
    }
    let end = match stats.ended_ms {
        0 => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
        ended => ended,
    };
    end.saturating_sub(stats.created_ms)
}

/// The stage with the lowest number gives the result. Which of the others feeds which is not
/// known here, so they are shown side by side beneath it.
fn tree(stages: Vec<StageStats>) -> Option<StageStats> {
    let mut stages = stages.into_iter();
    let mut root = stages.next()?;
    root.sub_stages = stages.collect();
    Some(root)
}

/// Raises each counter of `stats` to what was reported before.
pub(super) fn never_less_than(stats: &mut StatementStats, before: &StatementStats) {
    macro_rules! raise {
        ($($field:ident),*) => { $(stats.$field = stats.$field.max(before.$field);)* };
    }
    raise!(
        nodes,
        total_splits,
        completed_splits,
        planning_time_millis,
        analysis_time_millis,
        cpu_time_millis,
        wall_time_millis,
        queued_time_millis,
        elapsed_time_millis,
        finishing_time_millis,
        processed_rows,
        processed_bytes,
        physical_input_bytes,
        internal_network_input_bytes,
        peak_memory_bytes,
        spilled_bytes,
        spooled_bytes,
        task_retries
    );
    if let (Some(now), Some(then)) = (stats.progress_percentage, before.progress_percentage) {
        stats.progress_percentage = Some(now.max(then));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_ids::QueryId;
    use waterbear_protocol::task::{TaskStats, TaskStatus};

    use super::super::QueryHandle;
    use super::*;
    use crate::query::ClientContext;

    fn task(stage: u32, number: u32, state: TaskState, rows: u64) -> TaskSnapshot {
        let id: QueryId = "q".parse().unwrap();
        let stats = TaskStats {
            created_ms: 1,
            ended_ms: 11,
            cpu_nanos: 2_000_000,
            scanned_rows: rows,
            ..TaskStats::default()
        };
        TaskSnapshot {
            node: format!("n{number}").parse().unwrap(),
            stage,
            status: TaskStatus {
                attempt: id.stage(stage).task(number).attempt(0),
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
    fn attempts_at_one_task_count_as_one_and_tasks_to_come_are_known() {
        let query = QueryHandle::new("q".parse().unwrap(), String::new(), ClientContext::default());
        query.set_state(QueryState::Running);
        query.set_planned([(0, 1), (1, 3)].into());
        let mut again = task(1, 0, TaskState::Finished, 5);
        again.status.attempt.number = 1;
        query.set_tasks(vec![
            task(1, 0, TaskState::Failed, 5),
            again,
            task(1, 1, TaskState::Running, 7),
        ]);
        let stats = query.stats();
        let splits = (stats.total_splits, stats.queued_splits, stats.running_splits);
        assert_eq!((splits, stats.completed_splits), ((4, 2, 1), 1));
        assert_eq!(stats.progress_percentage, Some(25.0));
        assert_eq!(stats.task_retries, 1);
        let root = stats.root_stage.unwrap();
        assert_eq!(
            (root.state.as_str(), root.sub_stages[0].state.as_str()),
            ("PLANNED", "RUNNING")
        );
        assert_eq!(root.sub_stages[0].failed_tasks, 1);
    }

    #[test]
    fn counters_add_up_and_never_shrink() {
        let query = QueryHandle::new("q".parse().unwrap(), String::new(), ClientContext::default());
        query.set_state(QueryState::Running);
        query.set_tasks(vec![
            task(1, 0, TaskState::Running, 5),
            task(1, 1, TaskState::Finished, 7),
            task(0, 0, TaskState::Running, 0),
        ]);
        let stats = query.stats();
        assert_eq!((stats.total_splits, stats.completed_splits, stats.nodes), (3, 1, 2));
        assert_eq!((stats.processed_rows, stats.cpu_time_millis), (12, 6));
        assert_eq!(stats.task_retries, 0);
        let root = stats.root_stage.unwrap();
        assert_eq!((root.stage_id.as_str(), root.sub_stages.len()), ("0", 1));
        query.set_tasks(vec![]);
        let later = query.stats();
        assert_eq!((later.processed_rows, later.completed_splits), (12, 1));
        assert!(later.elapsed_time_millis >= stats.elapsed_time_millis);
        query.set_state(QueryState::Finished);
        assert_eq!(query.stats().progress_percentage, Some(100.0));
        assert_eq!(query.stats().state, "FINISHED");
    }
}
