//! Waiting attempts to places.

use std::time::Duration;

use super::Scheduler;
use crate::event::Action;
use crate::keys::{AttemptKey, NodeKey, QueryKey, TaskKey};
use crate::places::Places;
use crate::queue::{Queue, Want};

/// How many waiting attempts of a query are tried in one turn: those behind a large one may pass
/// it, on other nodes than the one that is kept for it.
const TRIED_IN_A_TURN: usize = 8;

/// An attempt that fits, and where.
type Choice = (AttemptKey, NodeKey);

/// The least memory that any of the attempts that were tried needs, bytes.
type Needs = u64;

impl Scheduler {
    /// An attempt wants a place. Nobody else need be asked: what did not fit still does not.
    pub(super) fn place_wanted(
        &mut self,
        now: Duration,
        attempt: AttemptKey,
        want: Want,
        out: &mut Vec<Action>,
    ) {
        let Some(query) = self.queries.get_mut(&attempt.task.query) else { return };
        query.note_attempt(attempt);
        let known = self.places.holds(attempt)
            || self.attempts.contains(attempt)
            || self.hedges.contains(attempt);
        if known || !query.is_called(attempt.task) {
            return;
        }
        let (distance, hedge) = (query.distance(attempt.task), want.hedge);
        self.queue_mut(hedge).push(now, attempt, distance, want);
        let its_turn = self.places.any_open() && (!hedge || self.attempts.is_empty());
        if its_turn && let Some(memory) = self.serve(attempt.task.query, hedge, out) {
            self.serve_where_freed(memory, out);
        }
    }

    /// An attempt waits no more, or gives its place back.
    pub(super) fn leave(&mut self, attempt: AttemptKey, out: &mut Vec<Action>) {
        if self.remove_waiting(attempt) {
            self.serve_all(out);
        } else if let Some(node) = self.places.release(attempt) {
            self.leave_place(attempt);
            // A node that stays kept for a query is no help to any other.
            let freed = match self.places.reserved_for(node) {
                None => Some(self.places.free_memory(node)),
                Some(query) => self.serve(query, false, out),
            };
            if let Some(memory) = freed {
                self.serve_where_freed(memory, out);
            }
        }
    }

    /// The calls of these tasks are over: whatever waits for a place for them waits in vain.
    pub(super) fn forget_waiting(&mut self, tasks: &[TaskKey], out: &mut Vec<Action>) {
        let mut removed = false;
        for task in tasks {
            let mut waiting = self.attempts.waiting_at(*task);
            waiting.extend(self.hedges.waiting_at(*task));
            for attempt in waiting {
                removed |= self.remove_waiting(attempt);
            }
        }
        if removed {
            self.serve_all(out);
        }
    }

    /// Nodes came, left, or drain. Nodes are kept anew, since others may be better now.
    pub(super) fn nodes_changed(&mut self, out: &mut Vec<Action>) {
        self.places.unreserve_all();
        self.serve_all(out);
    }

    /// Gives out what is free.
    pub(super) fn serve_all(&mut self, out: &mut Vec<Action>) {
        self.serve_where_freed(u64::MAX, out);
    }

    /// Gives out what is free, to hedges only when nobody else waits. All that has changed is that
    /// a node has more room than before: so much memory is free there now.
    fn serve_where_freed(&mut self, memory: u64, out: &mut Vec<Action>) {
        self.go_round(false, memory, out);
        if self.attempts.is_empty() {
            // Other nodes may have got room while hedges were not asked.
            self.go_round(true, u64::MAX, out);
        }
    }

    /// Gives one place to each query in turn until nothing fits any more.
    fn go_round(&mut self, hedge: bool, freed: u64, out: &mut Vec<Action>) {
        let (mut from, mut freed) = (0, freed);
        while self.places.any_open() {
            let queue = if hedge { &self.hedges } else { &self.attempts };
            let Some((turn, query)) = queue.turn_from(from) else { return };
            from = turn + 1;
            // One that has no node kept for it is asked all the same: it may keep this one. One that
            // has was asked since nodes came or left last, so that what it needs is known.
            if self.places.keeps_for(query) && queue.needs_more_than(freed, query) {
                continue;
            }
            if let Some(memory) = self.serve(query, hedge, out) {
                // Another node has opened: those who were passed over may fit there.
                (from, freed) = (0, freed.max(memory));
            }
        }
    }

    /// A query's turn: one place for the first of its waiting attempts that fits somewhere.
    /// Returns the free memory of a node that was kept for the query and is open to all again.
    fn serve(&mut self, query: QueryKey, hedge: bool, out: &mut Vec<Action>) -> Option<u64> {
        let (choice, given_up) = if hedge {
            (first_that_fits(&self.hedges, &self.places, query), None)
        } else {
            head_or_first_that_fits(&self.attempts, &mut self.places, query)
        };
        let given_up = given_up.map(|node| self.places.free_memory(node));
        let (attempt, node) = match choice {
            Ok(choice) => choice,
            Err(needs) => {
                self.queue_mut(hedge).note_needs(query, needs);
                return given_up;
            }
        };
        let queue = self.queue_mut(hedge);
        let memory = queue.remove(attempt).map_or(0, |want| want.memory);
        queue.send_to_back(query);
        self.places.take(attempt, node, memory);
        if let Some(query) = self.queries.get_mut(&query) {
            query.take_place(attempt.task);
        }
        out.push(Action::Granted { attempt, node });
        let kept = self.places.unreserve(attempt).map(|node| self.places.free_memory(node));
        kept.max(given_up)
    }

    fn remove_waiting(&mut self, attempt: AttemptKey) -> bool {
        let waited =
            self.attempts.remove(attempt).is_some() || self.hedges.remove(attempt).is_some();
        if waited {
            self.places.unreserve(attempt);
        }
        waited
    }

    fn queue_mut(&mut self, hedge: bool) -> &mut Queue {
        if hedge { &mut self.hedges } else { &mut self.attempts }
    }
}

/// Looks as [`first_that_fits`] does, but first keeps a node for the head of the query's queue if
/// it fits nowhere. The second value is the node of a former head that was given up for that.
///
/// Only the head has a node kept for it, so that the attempt for which a node stays empty is
/// always the next to be asked. Hedges have none: they are not needed.
fn head_or_first_that_fits(
    queue: &Queue,
    places: &mut Places,
    query: QueryKey,
) -> (Result<Choice, Needs>, Option<NodeKey>) {
    let Some((head, want)) = queue.waiting(query).next() else { return (Err(0), None) };
    if let Some(node) = places.node_for(head, want) {
        return (Ok((head, node)), None);
    }
    let given_up = places.reserve(head, want);
    (first_that_fits(queue, places, query), given_up)
}

fn first_that_fits(queue: &Queue, places: &Places, query: QueryKey) -> Result<Choice, Needs> {
    let mut needs = u64::MAX;
    for (attempt, want) in queue.waiting(query).take(TRIED_IN_A_TURN) {
        if let Some(node) = places.node_for(attempt, want) {
            return Ok((attempt, node));
        }
        needs = needs.min(places.needs(want));
    }
    Err(needs)
}
