//! A scheduler on the bench: short names for events, and what of the actions a test looks at.

use std::time::Duration;

use waterbear_scheduler::{
    Action, AttemptKey, Event, Input, NodeKey, Options, QueryKey, Reads, Scheduler, Stage, TaskKey,
};

pub const GIB: u64 = 1 << 30;

pub struct Bench {
    pub scheduler: Scheduler,
    pub now: Duration,
}

pub fn exact(tasks: u32, inputs: &[Input]) -> Stage {
    Stage { tasks, inputs: inputs.to_vec(), exact: true }
}

pub fn indeterminate(tasks: u32, inputs: &[Input]) -> Stage {
    Stage { tasks, inputs: inputs.to_vec(), exact: false }
}

pub fn all(stage: usize) -> Input {
    Input { stage, reads: Reads::All }
}

pub fn group(stage: usize, consumer_tasks: u32) -> Input {
    Input { stage, reads: Reads::Group { consumer_tasks } }
}

pub fn task(query: u64, stage: u32, task: u32) -> TaskKey {
    TaskKey { query: QueryKey(query), stage, task }
}

pub fn attempt(query: u64, stage: u32, number: u32, attempt: u32) -> AttemptKey {
    task(query, stage, number).attempt(attempt)
}

/// The first incarnation of a node.
pub fn node(node: u32) -> NodeKey {
    NodeKey { node, incarnation: 1 }
}

/// The stages and tasks of the calls, with what is condemned.
pub fn calls(actions: &[Action]) -> Vec<(u32, u32, Vec<u32>)> {
    let call = |action: &Action| match action {
        Action::Call { task, condemned, .. } => Some((task.stage, task.task, condemned.clone())),
        _ => None,
    };
    actions.iter().filter_map(call).collect()
}

/// The stages and tasks whose calls are cancelled.
pub fn cancelled(actions: &[Action]) -> Vec<(u32, u32)> {
    let cancelled = |action: &Action| match action {
        Action::CancelCall { task, .. } => Some((task.stage, task.task)),
        _ => None,
    };
    actions.iter().filter_map(cancelled).collect()
}

/// The attempts that were granted a place, and the number of the node.
pub fn granted(actions: &[Action]) -> Vec<(AttemptKey, u32)> {
    let granted = |action: &Action| match action {
        Action::Granted { attempt, node } => Some((*attempt, node.node)),
        _ => None,
    };
    actions.iter().filter_map(granted).collect()
}

impl Bench {
    pub fn new() -> Self {
        Self { scheduler: Scheduler::new(Options::default()), now: Duration::ZERO }
    }

    /// With nodes 0, 1, … of these places and this memory in GiB.
    pub fn with_nodes(nodes: &[(u32, u64)]) -> Self {
        let mut bench = Self::new();
        for (number, (places, gib)) in nodes.iter().enumerate() {
            bench.join(node(number as u32), *places, *gib);
        }
        bench
    }

    pub fn on(&mut self, event: Event) -> Vec<Action> {
        self.scheduler.on(self.now, event)
    }

    pub fn join(&mut self, node: NodeKey, places: u32, gib: u64) -> Vec<Action> {
        self.on(Event::NodeJoined { node, places, memory: gib * GIB })
    }

    pub fn lose_node(&mut self, node: NodeKey) -> Vec<Action> {
        self.on(Event::NodeLost { node })
    }

    pub fn add(&mut self, query: u64, stages: &[Stage]) -> Vec<Action> {
        self.on(Event::QueryAdded { query: QueryKey(query), stages: stages.to_vec() })
    }

    /// A query of one stage of leaves.
    pub fn add_leaves(&mut self, query: u64, tasks: u32) {
        self.add(query, &[exact(tasks, &[])]);
    }

    pub fn end(&mut self, query: u64) -> Vec<Action> {
        self.on(Event::QueryEnded { query: QueryKey(query) })
    }

    /// Ends the task's first call with a commit.
    pub fn commit(&mut self, attempt: AttemptKey) -> Vec<Action> {
        self.commit_call(attempt, 0)
    }

    pub fn commit_call(&mut self, attempt: AttemptKey, call: u32) -> Vec<Action> {
        let AttemptKey { task, attempt } = attempt;
        self.on(Event::TaskCommitted { task, call, attempt })
    }

    /// Commits attempt 0 of all tasks of a stage.
    pub fn commit_stage(&mut self, query: u64, stage: u32, tasks: u32) -> Vec<Action> {
        (0..tasks).flat_map(|task| self.commit(attempt(query, stage, task, 0))).collect()
    }

    /// Ends the task's first call with the loss of inputs.
    pub fn input_lost(&mut self, task: TaskKey, lost: &[AttemptKey]) -> Vec<Action> {
        self.on(Event::TaskInputLost { task, call: 0, lost: lost.to_vec() })
    }

    pub fn want(&mut self, attempt: AttemptKey, gib: u64) -> Vec<Action> {
        self.want_but(attempt, gib, &[])
    }

    pub fn want_but(&mut self, attempt: AttemptKey, gib: u64, avoid: &[NodeKey]) -> Vec<Action> {
        let avoid = avoid.to_vec();
        self.on(Event::PlaceWanted { attempt, memory: gib * GIB, avoid, hedge: false })
    }

    pub fn want_hedge(&mut self, attempt: AttemptKey, avoid: &[NodeKey]) -> Vec<Action> {
        let avoid = avoid.to_vec();
        self.on(Event::PlaceWanted { attempt, memory: GIB, avoid, hedge: true })
    }

    pub fn release(&mut self, attempt: AttemptKey) -> Vec<Action> {
        self.on(Event::PlaceReleased { attempt })
    }

    pub fn withdraw(&mut self, attempt: AttemptKey) -> Vec<Action> {
        self.on(Event::PlaceWithdrawn { attempt })
    }

    pub fn places_in_use(&self) -> u32 {
        self.scheduler.nodes().map(|node| node.places_in_use).sum()
    }

    /// The nodes that are kept for somebody.
    pub fn kept(&self) -> Vec<u32> {
        let kept = self.scheduler.nodes().filter(|node| node.reserved_for.is_some());
        kept.map(|node| node.node.node).collect()
    }
}
