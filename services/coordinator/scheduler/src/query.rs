//! One query: its graph, and which of its tasks are ready.
//!
//! Readiness is counted, never searched. Each input of a stage has *gates*: one that all its
//! consumers share when they read all producers, or one for each consumer when they read groups.
//! A gate counts its producers without a winner and is shut while there is one; a task is ready
//! when no gate before it is shut. So a shuffle of 5,000 by 5,000 tasks costs one counter.

mod lost;

use std::collections::BTreeSet;

use crate::event::{Action, Reads, Stage};
use crate::keys::{AttemptKey, QueryKey, TaskKey};
use crate::view::StageCounts;

/// A query that runs.
#[derive(Debug)]
pub(crate) struct Query {
    key: QueryKey,
    stages: Vec<StageState>,
    /// Root tasks without a winner.
    roots_missing: u32,
}

#[derive(Debug)]
struct StageState {
    exact: bool,
    /// Edges between it and the root.
    distance: u32,
    /// The gates of each input.
    inputs: Vec<Gates>,
    /// Who reads it: stage, and which of that stage's inputs.
    readers: Vec<(usize, usize)>,
    /// Shut gates that all tasks share.
    shut: u32,
    tasks: Vec<Task>,
    /// The tasks in [`State::Waiting`].
    waiting: BTreeSet<u32>,
}

/// The gates of one input.
#[derive(Debug)]
struct Gates {
    producer: usize,
    producers: u32,
    reads: Reads,
    /// Producers without a winner: of all, or of each group.
    missing: Vec<u32>,
}

#[derive(Debug, Default)]
struct Task {
    state: State,
    /// How many calls were made; the last of them has the number below.
    calls: u32,
    /// One more than the highest attempt number seen.
    numbered: u32,
    /// Attempts that must never win, ascending.
    condemned: Vec<u32>,
    /// Shut gates of its own.
    shut: u32,
    /// Places that its attempts have.
    places: u32,
    /// Whether rows of its output were given to the client.
    rows_given: bool,
}

/// ```text
///  Waiting ── every gate is open ──▶ Called ── TaskCommitted ──▶ Committed
///     ▲                                │                             │
///     ├── TaskInputLost, CancelCall ───┘                             │
///     └── its output is lost, or what it was made from ──────────────┘
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Called,
    Committed {
        attempt: u32,
    },
}

// === impl Query ===

impl Query {
    /// A query none of whose tasks was called yet; none if the graph is malformed.
    pub(crate) fn new(key: QueryKey, stages: &[Stage]) -> Option<Self> {
        let roots_missing = stages.last()?.tasks;
        let mut distances = vec![u32::MAX; stages.len()];
        distances[stages.len() - 1] = 0;
        let mut readers = vec![Vec::new(); stages.len()];
        for (consumer, stage) in stages.iter().enumerate().rev() {
            for (input, edge) in stage.inputs.iter().enumerate() {
                if edge.stage >= consumer {
                    return None;
                }
                let distance = distances[consumer].saturating_add(1);
                distances[edge.stage] = distances[edge.stage].min(distance);
                readers[edge.stage].push((consumer, input));
            }
        }
        let stages = (stages.iter().zip(distances).zip(readers))
            .map(|((stage, distance), readers)| StageState::new(stage, stages, distance, readers))
            .collect();
        Some(Self { key, stages, roots_missing })
    }

    /// Calls every task that needs no input.
    pub(crate) fn start(&mut self, out: &mut Vec<Action>) {
        for stage in 0..self.stages.len() {
            self.call_ready_tasks(stage, out);
        }
        self.finish_if_done(out);
    }

    /// Takes the end of a call that committed. False if that call is not under way.
    pub(crate) fn commit(
        &mut self,
        key: TaskKey,
        call: u32,
        attempt: u32,
        out: &mut Vec<Action>,
    ) -> bool {
        self.note_attempt(key.attempt(attempt));
        if !self.end_call(key, call) {
            return false;
        }
        let (stage, task) = index(key);
        let ended = &mut self.stages[stage].tasks[task];
        if ended.condemned.binary_search(&attempt).is_ok() {
            // Its rows must never be read, whatever the stack believes: the call is made again.
            self.call_if_ready(stage, key.task, out);
            return true;
        }
        ended.state = State::Committed { attempt };
        self.stages[stage].waiting.remove(&key.task);
        self.open_gates(stage, key.task, out);
        if stage == self.stages.len() - 1 {
            self.roots_missing -= 1;
            self.finish_if_done(out);
        }
        true
    }

    /// Takes the end of a call that did not commit. False if that call is not under way.
    pub(crate) fn end_call(&mut self, key: TaskKey, call: u32) -> bool {
        let Some(task) = self.task_mut(key) else { return false };
        if task.state != State::Called || task.calls.checked_sub(1) != Some(call) {
            return false;
        }
        task.state = State::Waiting;
        self.stages[key.stage as usize].waiting.insert(key.task);
        true
    }

    /// Calls a task again whose call ended without an output, if its inputs are there.
    pub(crate) fn call_again(&mut self, key: TaskKey, out: &mut Vec<Action>) {
        if self.task(key).is_some() {
            self.call_if_ready(key.stage as usize, key.task, out);
        }
    }

    /// Notes that an attempt of this number exists.
    pub(crate) fn note_attempt(&mut self, attempt: AttemptKey) {
        if let Some(task) = self.task_mut(attempt.task) {
            task.numbered = task.numbered.max(attempt.attempt.saturating_add(1));
        }
    }

    /// Notes that an attempt of the task was granted a place.
    pub(crate) fn take_place(&mut self, key: TaskKey) {
        if let Some(task) = self.task_mut(key) {
            task.places += 1;
        }
    }

    /// Notes that an attempt of the task has its place no more.
    pub(crate) fn leave_place(&mut self, key: TaskKey) {
        if let Some(task) = self.task_mut(key) {
            task.places = task.places.saturating_sub(1);
        }
    }

    /// Notes that the client has rows of a root task's output.
    pub(crate) fn give_rows(&mut self, key: TaskKey) {
        let root = self.stages.len() - 1;
        if let Some(task) = self.task_mut(key)
            && key.stage as usize == root
        {
            task.rows_given = true;
        }
    }

    /// Whether the task has a call under way.
    pub(crate) fn is_called(&self, key: TaskKey) -> bool {
        self.task(key).is_some_and(|task| task.state == State::Called)
    }

    /// The attempt whose output is the task's.
    pub(crate) fn winner(&self, key: TaskKey) -> Option<u32> {
        match self.task(key)?.state {
            State::Committed { attempt } => Some(attempt),
            State::Waiting | State::Called => None,
        }
    }

    /// Edges between the task's stage and the root.
    pub(crate) fn distance(&self, key: TaskKey) -> u32 {
        self.stages.get(key.stage as usize).map_or(u32::MAX, |stage| stage.distance)
    }

    /// How far each stage is.
    pub(crate) fn counts(&self) -> Vec<StageCounts> {
        let counts = |stage: &StageState| {
            let mut counts = StageCounts::default();
            for task in &stage.tasks {
                *match task.state {
                    State::Waiting => &mut counts.waiting,
                    State::Called if task.places == 0 => &mut counts.called,
                    State::Called => &mut counts.running,
                    State::Committed { .. } => &mut counts.committed,
                } += 1;
            }
            counts
        };
        self.stages.iter().map(counts).collect()
    }

    fn task(&self, key: TaskKey) -> Option<&Task> {
        let (stage, task) = index(key);
        (key.query == self.key).then(|| self.stages.get(stage)?.tasks.get(task))?
    }

    fn task_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        let (stage, task) = index(key);
        (key.query == self.key).then(|| self.stages.get_mut(stage)?.tasks.get_mut(task))?
    }

    fn key_of(&self, stage: usize, task: u32) -> TaskKey {
        TaskKey { query: self.key, stage: stage as u32, task }
    }

    fn call_ready_tasks(&mut self, stage: usize, out: &mut Vec<Action>) {
        if self.stages[stage].shut > 0 {
            return;
        }
        let waiting: Vec<u32> = self.stages[stage].waiting.iter().copied().collect();
        for task in waiting {
            self.call_if_ready(stage, task, out);
        }
    }

    fn call_if_ready(&mut self, stage: usize, number: u32, out: &mut Vec<Action>) {
        let key = self.key_of(stage, number);
        let stage = &mut self.stages[stage];
        let task = &mut stage.tasks[number as usize];
        if stage.shut > 0 || task.shut > 0 || task.state != State::Waiting {
            return;
        }
        stage.waiting.remove(&number);
        task.state = State::Called;
        let call = task.calls;
        task.calls += 1;
        out.push(Action::Call { task: key, call, condemned: task.condemned.clone() });
    }

    /// A task has a winner: its readers miss one producer less.
    fn open_gates(&mut self, stage: usize, task: u32, out: &mut Vec<Action>) {
        for reader in 0..self.stages[stage].readers.len() {
            let (consumer, input) = self.stages[stage].readers[reader];
            let gates = &mut self.stages[consumer].inputs[input];
            let gate = gates.gate_of(task);
            gates.missing[gate as usize] -= 1;
            if gates.missing[gate as usize] > 0 {
                continue;
            }
            if gates.reads == Reads::All {
                self.stages[consumer].shut -= 1;
                self.call_ready_tasks(consumer, out);
            } else if let Some(task) = self.stages[consumer].tasks.get_mut(gate as usize) {
                task.shut -= 1;
                self.call_if_ready(consumer, gate, out);
            }
        }
    }

    /// A task has lost its winner: its readers miss one producer more.
    fn shut_gates(&mut self, stage: usize, task: u32) {
        for reader in 0..self.stages[stage].readers.len() {
            let (consumer, input) = self.stages[stage].readers[reader];
            let consumer = &mut self.stages[consumer];
            let gates = &mut consumer.inputs[input];
            let gate = gates.gate_of(task);
            gates.missing[gate as usize] += 1;
            if gates.missing[gate as usize] > 1 {
                continue;
            }
            if gates.reads == Reads::All {
                consumer.shut += 1;
            } else if let Some(task) = consumer.tasks.get_mut(gate as usize) {
                task.shut += 1;
            }
        }
    }

    fn finish_if_done(&self, out: &mut Vec<Action>) {
        if self.roots_missing > 0 {
            return;
        }
        let root = self.stages.len() - 1;
        let winners = (0..self.stages[root].tasks.len() as u32)
            .map(|task| self.key_of(root, task))
            .filter_map(|key| Some(key.attempt(self.winner(key)?)))
            .collect();
        out.push(Action::Done { query: self.key, winners });
    }
}

fn index(key: TaskKey) -> (usize, usize) {
    (key.stage as usize, key.task as usize)
}

// === impl StageState ===

impl StageState {
    fn new(
        stage: &Stage,
        stages: &[Stage],
        distance: u32,
        readers: Vec<(usize, usize)>,
    ) -> StageState {
        let inputs: Vec<Gates> = (stage.inputs.iter())
            .map(|input| Gates::new(input.stage, stages[input.stage].tasks, input.reads))
            .collect();
        let mut tasks: Vec<Task> = (0..stage.tasks).map(|_| Task::default()).collect();
        let mut shut = 0;
        for gates in &inputs {
            if gates.reads == Reads::All {
                shut += u32::from(gates.missing[0] > 0);
                continue;
            }
            for (task, missing) in tasks.iter_mut().zip(&gates.missing) {
                task.shut += u32::from(*missing > 0);
            }
        }
        let waiting = (0..stage.tasks).collect();
        Self { exact: stage.exact, distance, inputs, readers, shut, tasks, waiting }
    }
}

// === impl Gates ===

impl Gates {
    fn new(producer: usize, producers: u32, reads: Reads) -> Self {
        let missing = match reads {
            Reads::All => vec![producers],
            Reads::Group { consumer_tasks } => {
                let groups = consumer_tasks.max(1);
                let (smallest, larger) = (producers / groups, producers % groups);
                (0..groups).map(|group| smallest + u32::from(group < larger)).collect()
            }
        };
        Self { producer, producers, reads, missing }
    }

    /// The gate that counts this producer task; of groups, it has the number of its consumer.
    fn gate_of(&self, producer: u32) -> u32 {
        let groups = self.missing.len() as u32;
        let (smallest, larger) = (self.producers / groups, self.producers % groups);
        let of_larger_groups = larger * (smallest + 1);
        if producer < of_larger_groups {
            producer / (smallest + 1)
        } else {
            larger + (producer - of_larger_groups) / smallest.max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The planner's formula: first producer and number of producers of a consumer's group.
    fn planners_group(producers: u32, consumers: u32, consumer: u32) -> std::ops::Range<u32> {
        let (smallest, larger) = (producers / consumers, producers % consumers);
        let start = consumer * smallest + consumer.min(larger);
        start..start + smallest + u32::from(consumer < larger)
    }

    #[test]
    fn groups_are_those_of_the_planner() {
        for producers in 0..12 {
            for consumers in 1..9 {
                let reads = Reads::Group { consumer_tasks: consumers };
                let gates = Gates::new(0, producers, reads);
                for consumer in 0..consumers {
                    let group = planners_group(producers, consumers, consumer);
                    assert_eq!(gates.missing[consumer as usize], group.len() as u32);
                    assert!(group.into_iter().all(|producer| gates.gate_of(producer) == consumer));
                }
            }
        }
    }

    #[test]
    fn all_producers_share_one_gate() {
        let gates = Gates::new(0, 7, Reads::All);
        assert_eq!(gates.missing, [7]);
        assert!((0..7).all(|producer| gates.gate_of(producer) == 0));
    }
}
