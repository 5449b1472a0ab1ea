//! Attempts that wait for a place, and whose turn it is.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::keys::{AttemptKey, NodeKey, QueryKey, TaskKey};

/// What an attempt needs.
#[derive(Debug)]
pub(crate) struct Want {
    /// Bytes.
    pub(crate) memory: u64,
    /// Nodes that are taken only if there is no other.
    pub(crate) avoid: Vec<NodeKey>,
    /// Whether it is a second attempt beside a running one.
    pub(crate) hedge: bool,
}

/// Waiting attempts of all queries. Queries take turns: one that was served goes to the end, one
/// that could not be served keeps its turn and so is asked first the next time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<QueryKey, Lane>,
    turns: BTreeMap<u64, QueryKey>,
    positions: BTreeMap<AttemptKey, Position>,
    /// Numbers turns and arrivals.
    next: u64,
}

/// The waiting attempts of one query; never empty.
#[derive(Debug)]
struct Lane {
    turn: u64,
    since: Duration,
    /// The least memory that any of those tried in its last turn needs, if none of them fitted and
    /// they are the same still.
    needs: Option<u64>,
    waiting: BTreeMap<Position, (AttemptKey, Want)>,
}

/// The stage nearest to the root first, then the order of arrival.
///
/// Attempts that wait have all their inputs, so a nearer stage is work that is closer to its end:
/// it cannot wait for a farther one, and it brings the query's last rows sooner. Nothing frees
/// spooled outputs before the query ends, so there is no reason to go the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    distance: u32,
    arrival: u64,
}

impl Queue {
    /// Lets an attempt wait; `distance` is that of its stage from the root.
    pub(crate) fn push(&mut self, now: Duration, attempt: AttemptKey, distance: u32, want: Want) {
        let query = attempt.task.query;
        let (turn, arrival) = (self.next, self.next + 1);
        self.next += 2;
        let turns = &mut self.turns;
        let lane = self.lanes.entry(query).or_insert_with(|| {
            turns.insert(turn, query);
            Lane { turn, since: now, needs: None, waiting: BTreeMap::new() }
        });
        let position = Position { distance, arrival };
        lane.needs = None;
        lane.waiting.insert(position, (attempt, want));
        self.positions.insert(attempt, position);
    }

    /// Takes an attempt out, wherever it stands.
    pub(crate) fn remove(&mut self, attempt: AttemptKey) -> Option<Want> {
        let position = self.positions.remove(&attempt)?;
        let lane = self.lanes.get_mut(&attempt.task.query)?;
        lane.needs = None;
        let (_, want) = lane.waiting.remove(&position)?;
        if lane.waiting.is_empty() {
            self.turns.remove(&lane.turn);
            self.lanes.remove(&attempt.task.query);
        }
        Some(want)
    }

    /// Takes all attempts of a query out.
    pub(crate) fn remove_query(&mut self, query: QueryKey) {
        let Some(lane) = self.lanes.remove(&query) else { return };
        self.turns.remove(&lane.turn);
        for (attempt, _) in lane.waiting.values() {
            self.positions.remove(attempt);
        }
    }

    /// The query was served: its next turn comes after those of all others.
    pub(crate) fn send_to_back(&mut self, query: QueryKey) {
        let Some(lane) = self.lanes.get_mut(&query) else { return };
        self.turns.remove(&lane.turn);
        lane.turn = self.next;
        self.next += 1;
        self.turns.insert(lane.turn, query);
    }

    /// Notes that nothing of a query fits where less than this memory is free.
    pub(crate) fn note_needs(&mut self, query: QueryKey, bytes: u64) {
        if let Some(lane) = self.lanes.get_mut(&query) {
            lane.needs = Some(bytes);
        }
    }

    /// Whether it is known that nothing of a query fits where this memory is free.
    pub(crate) fn needs_more_than(&self, bytes: u64, query: QueryKey) -> bool {
        let needs = self.lanes.get(&query).and_then(|lane| lane.needs);
        needs.is_some_and(|needs| needs > bytes)
    }

    /// The first turn that is not before `from`, and whose it is.
    pub(crate) fn turn_from(&self, from: u64) -> Option<(u64, QueryKey)> {
        self.turns.range(from..).next().map(|(turn, query)| (*turn, *query))
    }

    /// A query's waiting attempts, in the order in which they are served.
    pub(crate) fn waiting(&self, query: QueryKey) -> impl Iterator<Item = (AttemptKey, &Want)> {
        let lane = self.lanes.get(&query).into_iter();
        lane.flat_map(|lane| lane.waiting.values()).map(|(attempt, want)| (*attempt, want))
    }

    /// The waiting attempts at one task.
    pub(crate) fn waiting_at(&self, task: TaskKey) -> Vec<AttemptKey> {
        let attempts = self.positions.range(task.attempt(0)..=task.attempt(u32::MAX));
        attempts.map(|(attempt, _)| *attempt).collect()
    }

    /// Whether the attempt waits here.
    pub(crate) fn contains(&self, attempt: AttemptKey) -> bool {
        self.positions.contains_key(&attempt)
    }

    /// All attempts that wait, by key.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = AttemptKey> {
        self.positions.keys().copied()
    }

    /// How many attempts of a query wait.
    pub(crate) fn len(&self, query: QueryKey) -> usize {
        self.lanes.get(&query).map_or(0, |lane| lane.waiting.len())
    }

    /// Whether no attempt of any query waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Queries with waiting attempts, and since when each has had some without a break.
    pub(crate) fn since(&self) -> impl Iterator<Item = (QueryKey, Duration)> {
        self.lanes.iter().map(|(query, lane)| (*query, lane.since))
    }
}
