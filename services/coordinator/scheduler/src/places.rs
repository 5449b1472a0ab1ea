//! Nodes, their places and their memory.
//!
//! Places outlive queries: an attempt holds its place until it gives it back or its node is lost,
//! whatever became of its query.

mod index;

use std::collections::BTreeMap;

use self::index::{Index, Standing, Terms};
use crate::keys::{AttemptKey, NodeKey, QueryKey};
use crate::queue::Want;
use crate::view::NodeUse;

/// How many former incarnations of a node are remembered as gone for good.
const REMEMBERED_INCARNATIONS: usize = 64;

/// Who is where, and what is free.
#[derive(Debug, Default)]
pub(crate) struct Places {
    nodes: BTreeMap<NodeKey, Node>,
    held: BTreeMap<AttemptKey, NodeKey>,
    /// At most one node is kept for each query.
    reserved: BTreeMap<QueryKey, Reservation>,
    incarnations: BTreeMap<u32, Incarnations>,
    index: Index,
}

#[derive(Debug)]
struct Node {
    places: u32,
    memory: u64,
    memory_in_use: u64,
    draining: bool,
    /// The attempts that hold its places, with the memory of each.
    attempts: BTreeMap<AttemptKey, u64>,
    /// The query for one of whose attempts it is kept.
    reserved_for: Option<QueryKey>,
}

/// A node that is kept for an attempt which fits nowhere now: it takes nobody else, so that small
/// attempts cannot fill it again and again before there is room for the large one.
#[derive(Debug, Clone, Copy)]
struct Reservation {
    attempt: AttemptKey,
    node: NodeKey,
}

#[derive(Debug)]
struct Incarnations {
    current: u64,
    /// Those that it took the place of, oldest first.
    former: Vec<u64>,
}

impl Places {
    /// Takes a node in, or its new size. Returns the attempts of the incarnation whose place it
    /// takes, with that node; none if nothing changes, or the incarnation is a former one.
    pub(crate) fn join(
        &mut self,
        key: NodeKey,
        places: u32,
        memory: u64,
    ) -> Option<(NodeKey, Vec<AttemptKey>)> {
        let same =
            |node: &Node| (node.places, node.memory, node.draining) == (places, memory, false);
        if self.nodes.get(&key).is_some_and(same) {
            return None;
        }
        let before = self.succeed(key)?;
        let lost = if before == key { Vec::new() } else { self.lose(before) };
        self.nodes.entry(key).or_insert_with(Node::new);
        self.change(key, |node| {
            (node.places, node.memory, node.draining) = (places, memory, false);
        });
        Some((before, lost))
    }

    /// The incarnation before this one, or itself; none if this one is itself a former one.
    fn succeed(&mut self, key: NodeKey) -> Option<NodeKey> {
        let first = Incarnations { current: key.incarnation, former: Vec::new() };
        let known = self.incarnations.entry(key.node).or_insert(first);
        if known.former.contains(&key.incarnation) {
            return None;
        }
        let before = NodeKey { node: key.node, incarnation: known.current };
        if before != key {
            if known.former.len() == REMEMBERED_INCARNATIONS {
                known.former.remove(0);
            }
            known.former.push(known.current);
            known.current = key.incarnation;
        }
        Some(before)
    }

    /// Lets a node take no more attempts. Returns those that it has, the first time.
    pub(crate) fn drain(&mut self, key: NodeKey) -> Vec<AttemptKey> {
        let drained = self.change(key, |node| {
            let first = !std::mem::replace(&mut node.draining, true);
            if first { node.attempts.keys().copied().collect() } else { Vec::new() }
        });
        drained.unwrap_or_default()
    }

    /// Forgets a node. Returns the attempts that it had; they hold nothing any more.
    pub(crate) fn lose(&mut self, key: NodeKey) -> Vec<AttemptKey> {
        let Some(node) = self.nodes.remove(&key) else { return Vec::new() };
        self.index.remove(node.standing(key));
        if let Some(query) = node.reserved_for {
            self.reserved.remove(&query);
        }
        let attempts: Vec<AttemptKey> = node.attempts.into_keys().collect();
        for attempt in &attempts {
            self.held.remove(attempt);
        }
        attempts
    }

    /// The node for an attempt: the best of those that are open to all, else the one that is kept
    /// for it, where there is room now.
    pub(crate) fn node_for(&self, attempt: AttemptKey, want: &Want) -> Option<NodeKey> {
        let terms = self.index.terms(want)?;
        self.index.best(&terms).or_else(|| {
            let kept = self.reserved.get(&attempt.task.query)?;
            let node = self.nodes.get(&kept.node)?;
            (kept.attempt == attempt && node.fits(&terms)).then_some(kept.node)
        })
    }

    /// The free memory below which no node fits an attempt, bytes.
    pub(crate) fn needs(&self, want: &Want) -> u64 {
        self.index.terms(want).map_or(0, |terms| terms.memory())
    }

    /// The free memory of a node, bytes.
    pub(crate) fn free_memory(&self, key: NodeKey) -> u64 {
        self.nodes.get(&key).map_or(0, |node| node.memory.saturating_sub(node.memory_in_use))
    }

    /// Whether a node is kept for the query.
    pub(crate) fn keeps_for(&self, query: QueryKey) -> bool {
        self.reserved.contains_key(&query)
    }

    /// Keeps the node that is likely to have room first for an attempt, instead of the one that
    /// was kept for another attempt of its query: a query with many large tasks must not close the
    /// cluster to the others. Returns that other node, which is open now.
    pub(crate) fn reserve(&mut self, attempt: AttemptKey, want: &Want) -> Option<NodeKey> {
        let query = attempt.task.query;
        let kept = self.reserved.get(&query).copied();
        if kept.is_some_and(|kept| kept.attempt == attempt) {
            return None;
        }
        self.unreserve_query(query);
        let best = self.index.terms(want).and_then(|terms| self.index.best_to_reserve(&terms));
        if let Some(node) = best {
            self.change(node, |node| node.reserved_for = Some(query));
            self.reserved.insert(query, Reservation { attempt, node });
        }
        kept.map(|kept| kept.node)
    }

    /// Opens the node that is kept for this attempt, and returns it.
    pub(crate) fn unreserve(&mut self, attempt: AttemptKey) -> Option<NodeKey> {
        let kept = *self.reserved.get(&attempt.task.query)?;
        if kept.attempt != attempt {
            return None;
        }
        self.reserved.remove(&attempt.task.query);
        self.change(kept.node, |node| node.reserved_for = None);
        Some(kept.node)
    }

    /// Opens the node that is kept for a query.
    pub(crate) fn unreserve_query(&mut self, query: QueryKey) {
        if let Some(kept) = self.reserved.get(&query).copied() {
            self.unreserve(kept.attempt);
        }
    }

    /// Opens all nodes that are kept: what is the best node has changed.
    pub(crate) fn unreserve_all(&mut self) {
        let kept: Vec<Reservation> = self.reserved.values().copied().collect();
        for kept in kept {
            self.unreserve(kept.attempt);
        }
    }

    /// The query that a node is kept for.
    pub(crate) fn reserved_for(&self, key: NodeKey) -> Option<QueryKey> {
        self.nodes.get(&key)?.reserved_for
    }

    /// Gives an attempt a place on a node that [`Places::node_for`] chose.
    pub(crate) fn take(&mut self, attempt: AttemptKey, key: NodeKey, memory: u64) {
        let taken = self.change(key, |node| {
            // What is too large for any node has all of this one.
            let memory = memory.min(node.memory);
            node.attempts.insert(attempt, memory);
            node.memory_in_use += memory;
        });
        if taken.is_some() {
            self.held.insert(attempt, key);
        }
    }

    /// Takes an attempt's place back. None if it holds none.
    pub(crate) fn release(&mut self, attempt: AttemptKey) -> Option<NodeKey> {
        let key = self.held.remove(&attempt)?;
        self.change(key, |node| {
            let memory = node.attempts.remove(&attempt).unwrap_or_default();
            node.memory_in_use -= memory;
        });
        Some(key)
    }

    /// Whether the attempt holds a place.
    pub(crate) fn holds(&self, attempt: AttemptKey) -> bool {
        self.held.contains_key(&attempt)
    }

    /// Whether any node that is not kept for somebody has a free place.
    pub(crate) fn any_open(&self) -> bool {
        self.index.any_open()
    }

    /// Whether the cluster has a node that can take attempts, if only later.
    pub(crate) fn any_candidate(&self) -> bool {
        self.index.any_candidate()
    }

    /// Whether no attempt holds a place and no node is kept.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.reserved.is_empty()
    }

    /// What each node has and gives.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = NodeUse> {
        self.nodes.iter().map(|(key, node)| NodeUse {
            node: *key,
            draining: node.draining,
            places: node.places,
            places_in_use: node.attempts.len() as u32,
            memory: node.memory,
            memory_in_use: node.memory_in_use,
            reserved_for: node.reserved_for,
        })
    }

    /// The attempts that hold places, and where.
    pub(crate) fn held(&self) -> impl Iterator<Item = (AttemptKey, NodeKey)> {
        self.held.iter().map(|(attempt, node)| (*attempt, *node))
    }

    /// Changes a node and what the index has of it.
    fn change<T>(&mut self, key: NodeKey, change: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let node = self.nodes.get_mut(&key)?;
        self.index.remove(node.standing(key));
        let changed = change(node);
        self.index.insert(node.standing(key));
        Some(changed)
    }
}

// === impl Node ===

impl Node {
    /// A node that nothing is known of yet: a candidate for nothing.
    fn new() -> Self {
        Self {
            places: 0,
            memory: 0,
            memory_in_use: 0,
            draining: false,
            attempts: BTreeMap::new(),
            reserved_for: None,
        }
    }

    fn standing(&self, key: NodeKey) -> Standing {
        let in_use = self.attempts.len() as u32;
        Standing {
            node: key,
            candidate: !self.draining && self.places > 0,
            reserved: self.reserved_for.is_some(),
            in_use,
            free_places: self.places.saturating_sub(in_use),
            memory: self.memory,
            free_memory: self.memory.saturating_sub(self.memory_in_use),
        }
    }

    fn fits(&self, terms: &Terms<'_>) -> bool {
        let in_use = self.attempts.len() as u32;
        let free_memory = self.memory.saturating_sub(self.memory_in_use);
        !self.draining && in_use < self.places && terms.fits(in_use, free_memory)
    }
}
