//! Events to actions.

mod serve;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{Action, Event, Failure, Stage};
use crate::keys::{AttemptKey, NodeKey, QueryKey, TaskKey};
use crate::places::Places;
use crate::query::Query;
use crate::queue::{Queue, Want};
use crate::view::{NodeUse, StageCounts};

/// How a [`Scheduler`] behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long attempts wait in a cluster without a node before their query fails.
    /// Default: 10 minutes.
    pub no_nodes_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { no_nodes_after: Duration::from_secs(600) }
    }
}

/// Which task runs when and where, for all queries of a coordinator.
///
/// A fold over events: the same events give the same actions, in every process.
#[derive(Debug, Default)]
pub struct Scheduler {
    options: Options,
    queries: BTreeMap<QueryKey, Query>,
    /// First attempts and retries that wait for a place.
    attempts: Queue,
    /// Hedges that wait for a place.
    hedges: Queue,
    places: Places,
    /// Since when there has been no candidate node.
    no_nodes_since: Option<Duration>,
    /// The last [`Action::WakeAt`], until it has come.
    wake_at: Option<Duration>,
}

impl Scheduler {
    /// A scheduler without queries and nodes.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Takes an event. `now` is the time since a start of the caller's choice; it must not go
    /// back. What is not known any more, or not yet, is passed over.
    pub fn on(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::QueryAdded { query, stages } => self.add(query, &stages, &mut out),
            Event::QueryEnded { query } => self.forget(query, &mut out),
            Event::TaskCommitted { task, call, attempt } => {
                self.task_committed(task, call, attempt, &mut out);
            }
            Event::TaskInputLost { task, call, lost } => {
                self.input_lost(task, call, &lost, &mut out);
            }
            Event::TaskFailed { task, call } => self.task_failed(task, call, &mut out),
            Event::OutputLost { lost } => self.lose_outputs(lost.task.query, &[lost], &mut out),
            Event::RowsGiven { task } => {
                if let Some(query) = self.queries.get_mut(&task.query) {
                    query.give_rows(task);
                }
            }
            Event::PlaceWanted { attempt, memory, avoid, hedge } => {
                self.place_wanted(now, attempt, Want { memory, avoid, hedge }, &mut out);
            }
            // A withdrawal may cross the grant: then the place is given back with it.
            Event::PlaceWithdrawn { attempt } | Event::PlaceReleased { attempt } => {
                self.leave(attempt, &mut out);
            }
            Event::NodeJoined { node, places, memory } => {
                self.node_joined(node, places, memory, &mut out);
            }
            Event::NodeDraining { node } => self.node_draining(node, &mut out),
            Event::NodeLost { node } => {
                let lost = self.places.lose(node);
                self.report_lost(node, lost, &mut out);
                self.nodes_changed(&mut out);
            }
            Event::TimeCame => {}
        }
        self.watch_for_nodes(now, &mut out);
        out
    }

    fn add(&mut self, key: QueryKey, stages: &[Stage], out: &mut Vec<Action>) {
        if self.queries.contains_key(&key) {
            return;
        }
        let Some(mut query) = Query::new(key, stages) else {
            out.push(Action::Fail { query: key, why: Failure::Malformed });
            return;
        };
        query.start(out);
        self.queries.insert(key, query);
    }

    fn forget(&mut self, query: QueryKey, out: &mut Vec<Action>) {
        self.queries.remove(&query);
        self.attempts.remove_query(query);
        self.hedges.remove_query(query);
        self.places.unreserve_query(query);
        self.serve_all(out);
    }

    fn fail(&mut self, query: QueryKey, why: Failure, out: &mut Vec<Action>) {
        out.push(Action::Fail { query, why });
        self.forget(query, out);
    }

    fn task_committed(&mut self, task: TaskKey, call: u32, attempt: u32, out: &mut Vec<Action>) {
        let Some(query) = self.queries.get_mut(&task.query) else { return };
        if query.commit(task, call, attempt, out) {
            self.forget_waiting(&[task], out);
        }
    }

    fn input_lost(&mut self, task: TaskKey, call: u32, lost: &[AttemptKey], out: &mut Vec<Action>) {
        let Some(query) = self.queries.get_mut(&task.query) else { return };
        let ended = query.end_call(task, call);
        if ended {
            self.forget_waiting(&[task], out);
        }
        self.lose_outputs(task.query, lost, out);
        if let Some(query) = self.queries.get_mut(&task.query).filter(|_| ended) {
            query.call_again(task, out);
        }
    }

    fn task_failed(&mut self, task: TaskKey, call: u32, out: &mut Vec<Action>) {
        let Some(query) = self.queries.get_mut(&task.query) else { return };
        if query.end_call(task, call) {
            self.fail(task.query, Failure::TaskFailed { task }, out);
        }
    }

    fn lose_outputs(&mut self, key: QueryKey, lost: &[AttemptKey], out: &mut Vec<Action>) {
        let Some(query) = self.queries.get_mut(&key) else { return };
        match query.lose(lost, out) {
            Ok(cancelled) => self.forget_waiting(&cancelled, out),
            Err(why) => self.fail(key, why, out),
        }
    }

    fn node_joined(&mut self, node: NodeKey, places: u32, memory: u64, out: &mut Vec<Action>) {
        let Some((before, lost)) = self.places.join(node, places, memory) else { return };
        self.report_lost(before, lost, out);
        self.nodes_changed(out);
    }

    fn node_draining(&mut self, node: NodeKey, out: &mut Vec<Action>) {
        let moved = self.places.drain(node);
        out.extend(moved.into_iter().map(|attempt| Action::Moved { attempt, node }));
        self.nodes_changed(out);
    }

    fn report_lost(&mut self, node: NodeKey, lost: Vec<AttemptKey>, out: &mut Vec<Action>) {
        for attempt in lost {
            self.leave_place(attempt);
            out.push(Action::Lost { attempt, node });
        }
    }

    fn leave_place(&mut self, attempt: AttemptKey) {
        if let Some(query) = self.queries.get_mut(&attempt.task.query) {
            query.leave_place(attempt.task);
        }
    }

    /// Fails queries whose attempts have waited too long for a node to be there at all.
    fn watch_for_nodes(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.places.any_candidate() {
            self.no_nodes_since = None;
            return;
        }
        let no_nodes_since = *self.no_nodes_since.get_or_insert(now);
        // Whoever begins to wait later waits until later: nothing is due before the time that is
        // waited for already.
        if self.wake_at.is_some_and(|wake_at| now < wake_at) {
            return;
        }
        self.wake_at = None;
        let limit = self.options.no_nodes_after;
        let deadlines = self.attempts.since().map(|(query, since)| {
            let deadline = since.max(no_nodes_since).saturating_add(limit);
            (query, deadline)
        });
        let (due, later): (Vec<_>, Vec<_>) = deadlines.partition(|(_, deadline)| *deadline <= now);
        for (query, _) in due {
            self.fail(query, Failure::NoNodes, out);
        }
        self.wake_at = later.into_iter().map(|(_, deadline)| deadline).min();
        out.extend(self.wake_at.map(Action::WakeAt));
    }
}

/// What can be seen from outside.
impl Scheduler {
    /// The queries that are here: added, and neither ended nor failed.
    pub fn queries(&self) -> impl Iterator<Item = QueryKey> {
        self.queries.keys().copied()
    }

    /// How far the stages of a query are, in the order in which they were given. Looks at each
    /// task: for display.
    pub fn stages(&self, query: QueryKey) -> Option<Vec<StageCounts>> {
        self.queries.get(&query).map(Query::counts)
    }

    /// The attempt whose output is the task's, if it has one now.
    pub fn winner(&self, task: TaskKey) -> Option<u32> {
        self.queries.get(&task.query)?.winner(task)
    }

    /// How many first attempts and retries of a query wait for a place.
    pub fn waiting_attempts(&self, query: QueryKey) -> usize {
        self.attempts.len(query)
    }

    /// How many hedges of a query wait for a place.
    pub fn waiting_hedges(&self, query: QueryKey) -> usize {
        self.hedges.len(query)
    }

    /// The attempts that wait for a place: first ones and retries, then hedges, each by key.
    pub fn waiting(&self) -> impl Iterator<Item = AttemptKey> {
        self.attempts.attempts().chain(self.hedges.attempts())
    }

    /// The nodes that are here, by key.
    pub fn nodes(&self) -> impl Iterator<Item = NodeUse> {
        self.places.in_use()
    }

    /// The attempts that hold a place, and where, by key.
    pub fn placed(&self) -> impl Iterator<Item = (AttemptKey, NodeKey)> {
        self.places.held()
    }

    /// Whether nothing is left but nodes: no query, no waiting attempt, no place in use.
    pub fn is_idle(&self) -> bool {
        self.queries.is_empty()
            && self.attempts.is_empty()
            && self.hedges.is_empty()
            && self.places.is_idle()
    }
}
