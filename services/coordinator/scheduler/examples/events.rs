//! Measures how many events a second a core takes: 10,000 tasks on 1,000 nodes.
//!
//! ```text
//! cargo run --release -p waterbear-scheduler --example events
//! ```
//!
//! A query is a shuffle of 5,000 by 5,000 tasks; in the second run a node is lost and another joins
//! after every thousand events, and outputs are lost; in the third, forty queries of 250 tasks
//! want more memory than there is.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use waterbear_scheduler::{
    Action, AttemptKey, Event, Input, NodeKey, Options, QueryKey, Reads, Scheduler, Stage, TaskKey,
};

const NODES: u32 = 1_000;
const PLACES: u32 = 4;
/// Memory of a node, in units of a small attempt.
const MEMORY: u64 = 8;
const ROUNDS: u64 = 10;

struct Load {
    name: &'static str,
    queries: u64,
    /// Tasks of each of the two stages of a query.
    tasks: u32,
    faults: bool,
    /// Every so many attempts one is large.
    large_every: u32,
}

fn main() {
    let plain =
        Load { name: "plain", queries: 1, tasks: 5_000, faults: false, large_every: u32::MAX };
    run(&plain);
    run(&Load { name: "faults", faults: true, ..plain });
    run(&Load { name: "large attempts", queries: 40, tasks: 125, large_every: 3, ..plain });
}

fn run(load: &Load) {
    let mut driver = Driver::new(load);
    for round in 0..ROUNDS {
        driver.run_queries(round);
    }
    let seconds = driver.busy.as_secs_f64();
    println!(
        "{:<15} {:>9} events in {seconds:.3} s: {:.0} events/s, slowest event {:.3} ms",
        load.name,
        driver.events,
        driver.events as f64 / seconds,
        driver.slowest.as_secs_f64() * 1e3,
    );
}

/// Answers actions at once; attempts end in the order in which they began.
struct Driver<'a> {
    load: &'a Load,
    scheduler: Scheduler,
    events: u64,
    busy: Duration,
    slowest: Duration,
    running: VecDeque<AttemptKey>,
    /// Number of the present call, which is that of its one attempt, by query, stage and task.
    calls: BTreeMap<TaskKey, u32>,
    next: VecDeque<Event>,
    open: u64,
    next_incarnation: u64,
}

impl<'a> Driver<'a> {
    fn new(load: &'a Load) -> Self {
        let mut driver = Self {
            load,
            scheduler: Scheduler::new(Options::default()),
            events: 0,
            busy: Duration::ZERO,
            slowest: Duration::ZERO,
            running: VecDeque::new(),
            calls: BTreeMap::new(),
            next: VecDeque::new(),
            open: 0,
            next_incarnation: 0,
        };
        for node in 0..NODES {
            driver.join(node);
        }
        driver
    }

    fn join(&mut self, node: u32) {
        self.next_incarnation += 1;
        let node = NodeKey { node, incarnation: self.next_incarnation };
        self.on(Event::NodeJoined { node, places: PLACES, memory: MEMORY });
    }

    fn run_queries(&mut self, round: u64) {
        for number in 0..self.load.queries {
            let leaves = Stage { tasks: self.load.tasks, inputs: Vec::new(), exact: true };
            let inputs = vec![Input { stage: 0, reads: Reads::All }];
            let root = Stage { tasks: self.load.tasks, inputs, exact: true };
            let query = QueryKey(round * self.load.queries + number);
            self.open += 1;
            self.on(Event::QueryAdded { query, stages: vec![leaves, root] });
        }
        let mut next_fault = self.events + 1_000;
        while self.open > 0 {
            if let Some(event) = self.next.pop_front() {
                self.on(event);
            } else if let Some(attempt) = self.running.pop_front() {
                self.finish(attempt);
            }
            if self.load.faults && self.events >= next_fault {
                next_fault = self.events + 1_000;
                self.break_something();
            }
        }
        self.calls.clear();
    }

    fn finish(&mut self, attempt: AttemptKey) {
        let AttemptKey { task, attempt: call } = attempt;
        if self.calls.get(&task) == Some(&call) {
            self.on(Event::TaskCommitted { task, call, attempt: call });
        }
        self.on(Event::PlaceReleased { attempt });
    }

    /// A node is replaced, and a running reader finds the outputs of ten producers lost.
    fn break_something(&mut self) {
        let node = (self.events / 1_000 % u64::from(NODES)) as u32;
        self.join(node);
        let reader = self.running.iter().rev().find(|attempt| attempt.task.stage == 1).copied();
        let Some(AttemptKey { task, attempt: call }) = reader else { return };
        let lost = (0..10).filter_map(|number| {
            let producer = TaskKey { stage: 0, task: number * 7, ..task };
            Some(producer.attempt(self.scheduler.winner(producer)?))
        });
        let lost = lost.collect();
        self.on(Event::TaskInputLost { task, call, lost });
    }

    #[allow(clippy::disallowed_methods, clippy::disallowed_types)] // It measures; the scheduler has no clock.
    fn on(&mut self, event: Event) {
        let started = std::time::Instant::now();
        let actions = self.scheduler.on(Duration::ZERO, event);
        let took = started.elapsed();
        self.events += 1;
        self.busy += took;
        self.slowest = self.slowest.max(took);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Call { task, call, .. } => {
                self.calls.insert(task, call);
                let large = task.task % self.load.large_every == self.load.large_every - 1;
                let memory = if large { MEMORY } else { 1 + u64::from(task.task % 4) };
                self.next.push_back(Event::PlaceWanted {
                    attempt: task.attempt(call),
                    memory: if self.load.large_every == u32::MAX { 1 } else { memory },
                    avoid: Vec::new(),
                    hedge: false,
                });
            }
            Action::Granted { attempt, .. } => self.running.push_back(attempt),
            // Its task is made again as if its inputs were gone; its place is gone already.
            Action::Lost { attempt, .. } => {
                let (task, call) = (attempt.task, attempt.attempt);
                self.next.push_back(Event::TaskInputLost { task, call, lost: Vec::new() });
            }
            Action::Done { query, .. } => {
                self.open -= 1;
                self.next.push_back(Event::QueryEnded { query });
            }
            Action::CancelCall { .. } | Action::Moved { .. } | Action::WakeAt(_) => {}
            Action::Fail { query, why } => unreachable!("{query:?}: {why:?}"),
        }
    }
}
