//! The model: a driver whose events arrive late and in any order between tasks, nodes that come,
//! freeze, drain and die, and a spool whose outputs are damaged.

mod check;
mod driver;
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use waterbear_scheduler::{
    Action, AttemptKey, Event, Input, NodeKey, Options, QueryKey, Reads, Scheduler, Stage, TaskKey,
};

use crate::rng::Rng;
use crate::spool::Spool;

/// Events that happen while things break.
const FAULTY_STEPS: u32 = 400;
/// Far more than any run needs to end: a run that takes as many goes round in circles.
const STEPS: u32 = 60_000;

pub struct Model {
    pub rng: Rng,
    pub scheduler: Scheduler,
    pub now: Duration,
    /// What still breaks.
    pub faulty: bool,
    pub queries: BTreeMap<QueryKey, Query>,
    pub calls: BTreeMap<TaskKey, Call>,
    /// The next attempt number of each task.
    pub numbers: BTreeMap<TaskKey, u32>,
    /// How many calls each task has had.
    pub call_numbers: BTreeMap<TaskKey, u32>,
    pub spool: Spool,
    pub nodes: BTreeMap<NodeKey, Node>,
    /// All incarnations that ever joined.
    pub lives: BTreeSet<NodeKey>,
    /// Those of them that another one took the place of.
    pub replaced: BTreeSet<NodeKey>,
    /// What each source of events has said that has not arrived: in order within a source.
    pub pending: BTreeMap<Source, VecDeque<Event>>,
    /// Attempts that hold a place, by what has arrived.
    pub held: BTreeMap<AttemptKey, Held>,
    /// What attempts asked for, until they were granted a place.
    pub wants: BTreeMap<AttemptKey, Want>,
    /// Since when no node could take attempts.
    pub no_nodes_since: Option<Duration>,
    pub wake_at: Option<Duration>,
    pub history: Vec<Action>,
    pub seen: Seen,
    pub next_query: u64,
    pub next_incarnation: u64,
}

/// Who says things in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Task(TaskKey),
    Node(u32),
    Query(QueryKey),
}

pub struct Query {
    pub stages: Vec<Stage>,
    /// Root tasks of which the client has rows, and the attempts that made them.
    pub given: BTreeMap<TaskKey, u32>,
    pub done: bool,
}

/// A call under way.
pub struct Call {
    pub number: u32,
    pub condemned: Vec<u32>,
    pub inputs: Vec<AttemptKey>,
    pub attempts: BTreeMap<u32, Attempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    Waits,
    Runs(NodeKey),
}

pub struct Want {
    pub memory: u64,
    pub avoid: Vec<NodeKey>,
    pub hedge: bool,
}

/// A place in use.
pub struct Held {
    pub node: NodeKey,
    pub memory: u64,
}

pub struct Node {
    pub places: u32,
    pub memory: u64,
    pub draining: bool,
}

/// What happened in the runs, to know that a test of it was one.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub done: u64,
    pub done_again: u64,
    pub failed: u64,
    pub rows_gone: u64,
    pub no_nodes: u64,
    pub cancelled: u64,
    pub lost: u64,
    pub moved: u64,
    pub hedges: u64,
    pub alone: u64,
    pub kept: u64,
    pub input_lost: u64,
    pub stale_ends: u64,
    pub crossed: u64,
}

impl Seen {
    fn counts(&self) -> [u64; 14] {
        [
            self.done,
            self.done_again,
            self.failed,
            self.rows_gone,
            self.no_nodes,
            self.cancelled,
            self.lost,
            self.moved,
            self.hedges,
            self.alone,
            self.kept,
            self.input_lost,
            self.stale_ends,
            self.crossed,
        ]
    }

    pub fn all_happened(&self) -> bool {
        self.counts().iter().all(|count| *count > 0)
    }

    pub fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.done_again += other.done_again;
        self.failed += other.failed;
        self.rows_gone += other.rows_gone;
        self.no_nodes += other.no_nodes;
        self.cancelled += other.cancelled;
        self.lost += other.lost;
        self.moved += other.moved;
        self.hedges += other.hedges;
        self.alone += other.alone;
        self.kept += other.kept;
        self.input_lost += other.input_lost;
        self.stale_ends += other.stale_ends;
        self.crossed += other.crossed;
    }
}

impl Model {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            scheduler: Scheduler::new(Options::default()),
            now: Duration::ZERO,
            faulty: true,
            queries: BTreeMap::new(),
            calls: BTreeMap::new(),
            numbers: BTreeMap::new(),
            call_numbers: BTreeMap::new(),
            spool: Spool::default(),
            nodes: BTreeMap::new(),
            lives: BTreeSet::new(),
            replaced: BTreeSet::new(),
            pending: BTreeMap::new(),
            held: BTreeMap::new(),
            wants: BTreeMap::new(),
            no_nodes_since: None,
            wake_at: None,
            history: Vec::new(),
            seen: Seen::default(),
            next_query: 0,
            next_incarnation: 0,
        }
    }

    /// Breaks things for a while, then lets everything end.
    pub fn run(&mut self) {
        for _ in 0..self.rng.between(1, 3) {
            self.join_node();
        }
        self.add_query();
        for _ in 0..FAULTY_STEPS {
            self.happen();
        }
        self.faulty = false;
        if !self.nodes.values().any(|node| !node.draining) {
            self.join_node();
        }
        for _ in 0..STEPS {
            if !self.step() && !self.finish_a_query() {
                break;
            }
        }
        self.check_nothing_is_left();
    }

    /// Something arrives or an attempt ends. False if nothing is under way.
    pub fn step(&mut self) -> bool {
        let sources: Vec<Source> = self.pending.keys().copied().collect();
        let running = self.running();
        let moves = (sources.len() + running.len()) as u64;
        if moves == 0 {
            return false;
        }
        self.now += Duration::from_millis(self.rng.below(20));
        let chosen = self.rng.below(moves) as usize;
        match sources.get(chosen) {
            Some(source) => self.deliver(*source),
            None => self.end_attempt(running[chosen - sources.len()]),
        }
        true
    }

    pub fn say(&mut self, source: Source, event: Event) {
        self.pending.entry(source).or_default().push_back(event);
    }

    fn deliver(&mut self, source: Source) {
        let Some(events) = self.pending.get_mut(&source) else { return };
        let event = events.pop_front();
        if events.is_empty() {
            self.pending.remove(&source);
        }
        if let Some(event) = event {
            self.on(event);
        }
    }

    /// Gives an event to the scheduler, does what it says, and checks all.
    pub fn on(&mut self, event: Event) {
        self.note(&event);
        let actions = self.scheduler.on(self.now, event.clone());
        for action in actions {
            self.history.push(action.clone());
            self.perform(action);
        }
        self.check(&event);
    }

    /// A random graph: sometimes one stage, sometimes a chain, a tree, or a stage read twice.
    pub fn random_stages(&mut self) -> Vec<Stage> {
        let rng = &mut self.rng;
        let count = rng.between(1, 5) as usize;
        let mut stages: Vec<Stage> = Vec::new();
        for number in 0..count {
            let tasks = rng.between(1, 5) as u32;
            let inputs = if number == 0 { 0 } else { rng.between(0, 2) };
            let inputs = (0..inputs).map(|_| {
                // Mostly the stage before, so that graphs are deep.
                let back = if rng.chance(70) { 1 } else { rng.between(1, number as u64) };
                let all = rng.chance(60);
                let reads = if all { Reads::All } else { Reads::Group { consumer_tasks: tasks } };
                Input { stage: number - back as usize, reads }
            });
            let inputs = inputs.collect();
            stages.push(Stage { tasks, inputs, exact: rng.chance(60) });
        }
        stages
    }
}
