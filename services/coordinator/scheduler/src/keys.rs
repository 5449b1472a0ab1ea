//! Names of queries, tasks, attempts and nodes: small, ordered, the driver maps them to real ids.

/// A query of this coordinator. Keys are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryKey(pub u64);

/// A task of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// The query.
    pub query: QueryKey,
    /// Index of its stage in the query's list of stages, producers first; the last is the root.
    /// (Trino's stage numbers run the other way, from the root.)
    pub stage: u32,
    /// Number of the task in its stage, from zero.
    pub task: u32,
}

/// One attempt at a task. Numbers are never reused for the life of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptKey {
    /// The task.
    pub task: TaskKey,
    /// Number of the attempt, from zero.
    pub attempt: u32,
}

/// One life of a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey {
    /// The index that the driver gave to the node id.
    pub node: u32,
    /// Random for each life of the process: their order says nothing about which was first.
    pub incarnation: u64,
}

impl TaskKey {
    /// The attempt at this task with the given number.
    pub fn attempt(self, attempt: u32) -> AttemptKey {
        AttemptKey { task: self, attempt }
    }
}
