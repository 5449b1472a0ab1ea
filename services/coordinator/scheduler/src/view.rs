//! What can be seen of a scheduler from outside: for display and for tests.

use crate::keys::{NodeKey, QueryKey};

/// How many tasks of a stage are how far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StageCounts {
    /// Not called: an input has no winner.
    pub waiting: u32,
    /// Called, but no attempt has a place.
    pub called: u32,
    /// Called, and an attempt has a place.
    pub running: u32,
    /// Has a winner.
    pub committed: u32,
}

/// What a node has and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeUse {
    /// The node.
    pub node: NodeKey,
    /// Whether it takes no more attempts.
    pub draining: bool,
    /// Attempts that it runs at a time.
    pub places: u32,
    /// Attempts that have a place.
    pub places_in_use: u32,
    /// Its memory, bytes.
    pub memory: u64,
    /// What its attempts were granted of it, bytes.
    pub memory_in_use: u64,
    /// The query for one of whose attempts it is kept free.
    pub reserved_for: Option<QueryKey>,
}
