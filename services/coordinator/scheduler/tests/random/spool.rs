//! What attempts have written, as fingerprints of rows.

use std::collections::{BTreeMap, BTreeSet};

use waterbear_scheduler::{AttemptKey, Input, QueryKey, Reads, Stage, TaskKey};

use crate::rng::mix;

/// The committed output of an attempt.
#[derive(Debug, Clone)]
pub struct Output {
    /// Equal for equal rows.
    pub rows: u64,
    /// The rows of each producer task that it read.
    pub read: BTreeMap<TaskKey, u64>,
}

#[derive(Debug, Default)]
pub struct Spool {
    pub outputs: BTreeMap<AttemptKey, Output>,
    pub damaged: BTreeSet<AttemptKey>,
}

impl Spool {
    /// Writes what an attempt makes of its inputs: an exact stage the same of the same, an
    /// indeterminate one something else each time.
    pub fn write(&mut self, attempt: AttemptKey, exact: bool, inputs: &[AttemptKey]) {
        let read: BTreeMap<TaskKey, u64> =
            inputs.iter().map(|input| (input.task, self.outputs[input].rows)).collect();
        let own = u64::from(attempt.task.stage) << 40 | u64::from(attempt.task.task) << 20;
        let draw = if exact { 0 } else { u64::from(attempt.attempt) + 1 };
        let rows = read.values().fold(mix(own ^ draw), |rows, input| mix(rows ^ input));
        self.outputs.insert(attempt, Output { rows, read });
    }

    pub fn forget(&mut self, query: QueryKey) {
        self.outputs.retain(|attempt, _| attempt.task.query != query);
        self.damaged.retain(|attempt| attempt.task.query != query);
    }
}

/// The producer tasks that a task reads: counted out one by one, unlike the scheduler.
pub fn producers(stages: &[Stage], task: TaskKey) -> Vec<TaskKey> {
    let stage = &stages[task.stage as usize];
    let of_input = |input: &Input| {
        let producers = stages[input.stage].tasks;
        let group = match input.reads {
            Reads::All => 0..producers,
            Reads::Group { consumer_tasks } => {
                let (small, rest) = (producers / consumer_tasks, producers % consumer_tasks);
                let start = task.task * small + task.task.min(rest);
                start..start + small + u32::from(task.task < rest)
            }
        };
        let stage = input.stage as u32;
        group.map(move |number| TaskKey { query: task.query, stage, task: number })
    };
    stage.inputs.iter().flat_map(of_input).collect()
}
