//! The choice of a node, without a look at every node.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::iter;
use std::ops::Bound;

use crate::keys::NodeKey;
use crate::queue::Want;

/// Nodes that may take attempts, in the orders in which they are chosen.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Those with a free place that are not kept for somebody, best first.
    open: BTreeSet<Rank>,
    /// Those that are not kept for somebody, with or without a free place, most free memory first.
    to_reserve: BTreeSet<MemoryRank>,
    /// All of them, by their whole memory, largest first.
    by_size: BTreeSet<(Reverse<u64>, NodeKey)>,
}

/// What the index needs to know of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) node: NodeKey,
    /// Whether it may take attempts at all.
    pub(super) candidate: bool,
    pub(super) reserved: bool,
    pub(super) in_use: u32,
    pub(super) free_places: u32,
    pub(super) memory: u64,
    pub(super) free_memory: u64,
}

/// Most free places, then most free memory, then least in use, then by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    free_places: Reverse<u32>,
    free_memory: Reverse<u64>,
    in_use: u32,
    node: NodeKey,
}

/// Most free memory, then most free places, then by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct MemoryRank {
    free_memory: Reverse<u64>,
    free_places: Reverse<u32>,
    node: NodeKey,
    memory: u64,
}

/// What a want comes to among the nodes that are there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    avoid: &'a [NodeKey],
    /// Free memory that a node must have.
    memory: u64,
    /// Larger than any node: it takes a whole one of the largest.
    alone: bool,
}

// === impl Index ===

impl Index {
    pub(super) fn insert(&mut self, standing: Standing) {
        if !standing.candidate {
            return;
        }
        self.by_size.insert((Reverse(standing.memory), standing.node));
        if standing.reserved {
            return;
        }
        self.to_reserve.insert(MemoryRank::of(&standing));
        if standing.free_places > 0 {
            self.open.insert(Rank::of(&standing));
        }
    }

    pub(super) fn remove(&mut self, standing: Standing) {
        if !standing.candidate {
            return;
        }
        self.by_size.remove(&(Reverse(standing.memory), standing.node));
        if !standing.reserved {
            self.to_reserve.remove(&MemoryRank::of(&standing));
            self.open.remove(&Rank::of(&standing));
        }
    }

    pub(super) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn any_candidate(&self) -> bool {
        !self.by_size.is_empty()
    }

    /// None if the cluster has no candidate for the want. Nodes are avoided unless there is no
    /// other, whether or not the others have room now.
    pub(super) fn terms<'a>(&self, want: &'a Want) -> Option<Terms<'a>> {
        let largest_without = |avoid: &[NodeKey]| {
            let mut nodes = self.by_size.iter();
            nodes.find(|(_, node)| !avoid.contains(node)).map(|(memory, _)| memory.0)
        };
        let (avoid, largest) = match largest_without(&want.avoid) {
            Some(largest) => (want.avoid.as_slice(), largest),
            None => (&[][..], largest_without(&[])?),
        };
        Some(Terms { avoid, memory: want.memory.min(largest), alone: want.memory > largest })
    }

    /// The best node that has room now.
    ///
    /// Among nodes with equally many free places the one with the most free memory stands first:
    /// where that one has not enough, none of them has, and the search goes on with the next
    /// smaller number of free places. So its steps are as many as a node has places, not as many
    /// as there are nodes.
    pub(super) fn best(&self, terms: &Terms<'_>) -> Option<NodeKey> {
        if self.to_reserve.first()?.free_memory.0 < terms.memory {
            return None;
        }
        let mut from = Bound::Unbounded;
        loop {
            let mut ranks = self.open.range((from, Bound::Unbounded));
            let first = ranks.next()?;
            let level = iter::once(first)
                .chain(ranks)
                .take_while(|rank| rank.free_places == first.free_places)
                .take_while(|rank| rank.free_memory.0 >= terms.memory);
            for rank in level {
                let allowed = !terms.avoid.contains(&rank.node);
                if allowed && terms.fits(rank.in_use, rank.free_memory.0) {
                    return Some(rank.node);
                }
            }
            from = Bound::Excluded(Rank::last_with(first.free_places));
        }
    }

    /// The node to keep for what fits nowhere now: large enough, and with the most free memory.
    pub(super) fn best_to_reserve(&self, terms: &Terms<'_>) -> Option<NodeKey> {
        let mut nodes = self.to_reserve.iter();
        nodes
            .find(|rank| rank.memory >= terms.memory && !terms.avoid.contains(&rank.node))
            .map(|rank| rank.node)
    }
}

// === impl Rank ===

impl Rank {
    fn of(standing: &Standing) -> Self {
        Self {
            free_places: Reverse(standing.free_places),
            free_memory: Reverse(standing.free_memory),
            in_use: standing.in_use,
            node: standing.node,
        }
    }

    /// After all ranks with as many free places, before those with fewer.
    fn last_with(free_places: Reverse<u32>) -> Self {
        let node = NodeKey { node: u32::MAX, incarnation: u64::MAX };
        Self { free_places, free_memory: Reverse(0), in_use: u32::MAX, node }
    }
}

impl MemoryRank {
    fn of(standing: &Standing) -> Self {
        Self {
            free_memory: Reverse(standing.free_memory),
            free_places: Reverse(standing.free_places),
            node: standing.node,
            memory: standing.memory,
        }
    }
}

// === impl Terms ===

impl Terms<'_> {
    /// Free memory that a node must have, bytes.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// Whether a node with a free place has room for it.
    pub(super) fn fits(&self, in_use: u32, free_memory: u64) -> bool {
        free_memory >= self.memory && (in_use == 0 || !self.alone)
    }
}
