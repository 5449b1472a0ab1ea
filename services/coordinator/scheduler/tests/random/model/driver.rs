//! The driver: performs actions, runs calls and their attempts, ends queries.

use std::collections::BTreeMap;

use waterbear_scheduler::{Action, AttemptKey, Event, Failure, NodeKey, QueryKey, TaskKey};

use super::{Attempt, Call, Held, Model, Query, Source, Want};
use crate::spool::producers;

impl Model {
    pub fn perform(&mut self, action: Action) {
        match action {
            // The query fails with the same event.
            Action::Call { task, .. } if self.scheduler.stages(task.query).is_none() => {}
            // The scheduler has not heard yet that the query is over.
            Action::Call { task, .. } | Action::CancelCall { task, .. }
                if !self.queries.contains_key(&task.query) => {}
            Action::Done { query, .. } | Action::Fail { query, .. }
                if !self.queries.contains_key(&query) => {}
            Action::Call { task, call, condemned } => self.begin_call(task, call, condemned),
            Action::CancelCall { task, call } => self.cancel_call(task, call),
            Action::Granted { attempt, node } => self.take_place(attempt, node),
            Action::Lost { attempt, node } => {
                let held = self.held.remove(&attempt).map(|held| held.node);
                assert_eq!(held, Some(node), "{attempt:?} was there");
                self.seen.lost += 1;
                self.abandon(attempt, node);
            }
            Action::Moved { attempt, node } => {
                let held = self.held.get(&attempt).map(|held| held.node);
                assert_eq!(held, Some(node), "{attempt:?} is there");
                self.seen.moved += 1;
                self.abandon(attempt, node);
            }
            Action::Done { query, winners } => self.query_done(query, &winners),
            Action::Fail { query, why } => self.query_failed(query, why),
            Action::WakeAt(time) => {
                assert!(time > self.now);
                self.wake_at = Some(time);
            }
        }
    }

    pub fn add_query(&mut self) {
        let query = QueryKey(self.next_query);
        self.next_query += 1;
        let stages = self.random_stages();
        let added = Query { stages: stages.clone(), given: BTreeMap::new(), done: false };
        self.queries.insert(query, added);
        self.on(Event::QueryAdded { query, stages });
    }

    fn begin_call(&mut self, task: TaskKey, number: u32, condemned: Vec<u32>) {
        assert!(!self.calls.contains_key(&task), "{task:?} has a call under way");
        let due = self.call_numbers.entry(task).or_default();
        assert_eq!(number, *due, "{task:?}: calls are numbered one by one");
        *due += 1;
        let inputs = producers(&self.queries[&task.query].stages, task);
        let inputs = inputs.into_iter().map(|producer| {
            let winner = self.scheduler.winner(producer);
            producer.attempt(winner.unwrap_or_else(|| panic!("{task:?} lacks {producer:?}")))
        });
        let inputs = inputs.collect();
        self.calls.insert(task, Call { number, condemned, inputs, attempts: BTreeMap::new() });
        self.want_place(task, false);
    }

    /// The next attempt of a call asks for a place.
    pub fn want_place(&mut self, task: TaskKey, hedge: bool) {
        let Some(call) = self.calls.get_mut(&task) else { return };
        let number = self.numbers.entry(task).or_default();
        let attempt = task.attempt(*number);
        *number += 1;
        call.attempts.insert(attempt.attempt, Attempt::Waits);
        // Sizes from nothing to more than any node has.
        let memory = match self.rng.below(10) {
            0 => 0,
            1 => 1 << 50,
            2 | 3 => self.rng.between(60, 160),
            _ => self.rng.between(1, 40),
        };
        let nodes: Vec<NodeKey> = self.nodes.keys().copied().collect();
        let mut avoid = Vec::new();
        if hedge || self.rng.chance(20) {
            avoid.extend(self.rng.pick(&nodes).copied());
        }
        self.wants.insert(attempt, Want { memory, avoid: avoid.clone(), hedge });
        let event = Event::PlaceWanted { attempt, memory, avoid, hedge };
        self.say(Source::Task(task), event);
    }

    fn cancel_call(&mut self, task: TaskKey, number: u32) {
        self.seen.cancelled += 1;
        // It may have ended already, with an event that has not arrived.
        match self.calls.get(&task) {
            Some(call) if call.number == number => self.drop_call(task),
            _ => {
                let said = self.pending.get(&Source::Task(task)).into_iter().flatten();
                let ended = |event: &Event| call_of(event) == Some(number);
                assert!(said.into_iter().any(ended), "{task:?} has no call {number}");
                self.seen.stale_ends += 1;
            }
        }
    }

    /// Ends a call and gives up all its attempts.
    fn drop_call(&mut self, task: TaskKey) {
        let Some(call) = self.calls.remove(&task) else { return };
        for (number, state) in call.attempts {
            let attempt = task.attempt(number);
            let event = match state {
                Attempt::Waits => Event::PlaceWithdrawn { attempt },
                Attempt::Runs(_) => Event::PlaceReleased { attempt },
            };
            self.say(Source::Task(task), event);
        }
    }

    fn take_place(&mut self, attempt: AttemptKey, node: NodeKey) {
        let Some(Want { memory: asked, avoid, .. }) = self.wants.remove(&attempt) else {
            panic!("{attempt:?} never asked for a place, or had one before");
        };
        let here = self.nodes.get(&node).unwrap_or_else(|| panic!("{node:?} is not here"));
        assert!(!here.draining, "{node:?} drains");
        let mut others = self.nodes.iter().filter(|(_, other)| !other.draining);
        let only = others.all(|(other, _)| avoid.contains(other));
        assert!(only || !avoid.contains(&node), "{node:?} was to be avoided");
        let others: Vec<&Held> = self.held.values().filter(|held| held.node == node).collect();
        let memory = asked.min(here.memory);
        let in_use: u64 = others.iter().map(|held| held.memory).sum();
        assert!((others.len() as u32) < here.places, "{node:?} is full");
        assert!(memory == 0 || in_use + memory <= here.memory, "{node:?} has not the memory");
        if asked > here.memory {
            assert!(others.is_empty(), "{attempt:?} is too large for company");
            self.seen.alone += 1;
        }
        self.held.insert(attempt, Held { node, memory });
        let live = self.calls.get_mut(&attempt.task);
        match live.and_then(|call| call.attempts.get_mut(&attempt.attempt)) {
            Some(state) => *state = Attempt::Runs(node),
            // Its withdrawal is under way and gives the place back.
            None => self.seen.crossed += 1,
        }
    }

    /// The node of a running attempt is lost or drains: another attempt follows.
    fn abandon(&mut self, attempt: AttemptKey, node: NodeKey) {
        let Some(call) = self.calls.get_mut(&attempt.task) else { return };
        if call.attempts.get(&attempt.attempt) != Some(&Attempt::Runs(node)) {
            return;
        }
        call.attempts.remove(&attempt.attempt);
        let alone = call.attempts.is_empty();
        self.say(Source::Task(attempt.task), Event::PlaceReleased { attempt });
        if alone {
            self.want_place(attempt.task, false);
        }
    }

    /// The attempts that run.
    pub fn running(&self) -> Vec<AttemptKey> {
        let running = self.calls.iter().flat_map(|(task, call)| {
            let running = call.attempts.iter().filter(|(_, state)| **state != Attempt::Waits);
            running.map(|(number, _)| task.attempt(*number))
        });
        running.collect()
    }

    /// An attempt comes to an end of its own.
    pub fn end_attempt(&mut self, attempt: AttemptKey) {
        let task = attempt.task;
        let Some(call) = self.calls.get(&task) else { return };
        let number = call.number;
        let damaged = |input: &&AttemptKey| self.spool.damaged.contains(input);
        let mut lost: Vec<AttemptKey> = call.inputs.iter().filter(damaged).copied().collect();
        if self.faulty && self.rng.chance(3) {
            // An input that is not there for no good reason, or the loss of something else.
            let others: Vec<AttemptKey> = self.spool.outputs.keys().copied().collect();
            lost.extend(self.rng.pick(&others).filter(|other| other.task.query == task.query));
            self.end_with(task, Event::TaskInputLost { task, call: number, lost });
        } else if !lost.is_empty() {
            self.end_with(task, Event::TaskInputLost { task, call: number, lost });
        } else if self.faulty && self.rng.chance(10) {
            self.fail_attempt(attempt);
        } else if self.faulty && self.rng.below(1000) < 2 {
            self.end_with(task, Event::TaskFailed { task, call: number });
        } else {
            self.commit(attempt);
        }
    }

    fn commit(&mut self, attempt: AttemptKey) {
        let (task, query) = (attempt.task, &self.queries[&attempt.task.query]);
        let call = &self.calls[&task];
        assert!(!call.condemned.contains(&attempt.attempt), "condemned before it was numbered");
        let exact = query.stages[task.stage as usize].exact;
        self.spool.write(attempt, exact, &call.inputs);
        let (call, attempt) = (call.number, attempt.attempt);
        self.end_with(task, Event::TaskCommitted { task, call, attempt });
    }

    /// The end of the call, then its places; or the other way round.
    fn end_with(&mut self, task: TaskKey, end: Event) {
        self.seen.input_lost += u64::from(matches!(end, Event::TaskInputLost { .. }));
        if self.rng.chance(50) {
            self.say(Source::Task(task), end);
            self.drop_call(task);
        } else {
            self.drop_call(task);
            self.say(Source::Task(task), end);
        }
    }

    /// An attempt ends without an output; another one follows it.
    fn fail_attempt(&mut self, attempt: AttemptKey) {
        let Some(call) = self.calls.get_mut(&attempt.task) else { return };
        call.attempts.remove(&attempt.attempt);
        let alone = call.attempts.is_empty();
        self.say(Source::Task(attempt.task), Event::PlaceReleased { attempt });
        if alone {
            self.want_place(attempt.task, false);
        }
    }

    fn query_done(&mut self, key: QueryKey, winners: &[AttemptKey]) {
        self.check_winners(key, winners);
        let Some(query) = self.queries.get_mut(&key) else { panic!("{key:?} is over") };
        self.seen.done += 1;
        self.seen.done_again += u64::from(query.done);
        query.done = true;
    }

    fn query_failed(&mut self, key: QueryKey, why: Failure) {
        self.seen.failed += 1;
        match why {
            Failure::TaskFailed { .. } => {}
            Failure::RowsGone { lost } => {
                self.seen.rows_gone += 1;
                assert!(!self.queries[&key].given.is_empty(), "no rows were given: {lost:?}");
            }
            Failure::NoNodes => {
                self.seen.no_nodes += 1;
                let since = self.no_nodes_since.unwrap_or_else(|| panic!("there are nodes"));
                assert!(self.now >= since + self.limit());
            }
            Failure::Malformed => panic!("the graph of {key:?} is well-formed"),
        }
        self.end_query(key);
    }

    /// Ends a query and drops all its calls.
    pub fn end_query(&mut self, key: QueryKey) {
        self.queries.remove(&key);
        let calls: Vec<TaskKey> =
            self.calls.keys().copied().filter(|task| task.query == key).collect();
        for task in calls {
            self.drop_call(task);
        }
        self.spool.forget(key);
        self.say(Source::Query(key), Event::QueryEnded { query: key });
    }
}

/// The call that an event ends.
fn call_of(event: &Event) -> Option<u32> {
    match event {
        Event::TaskCommitted { call, .. }
        | Event::TaskInputLost { call, .. }
        | Event::TaskFailed { call, .. } => Some(*call),
        _ => None,
    }
}
