//! What the scheduler is told, and what it tells.

use std::time::Duration;

use crate::keys::{AttemptKey, NodeKey, QueryKey, TaskKey};

/// One stage of a query's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// How many tasks it has.
    pub tasks: u32,
    /// The stages that it reads; all of them stand before it in the query's list.
    pub inputs: Vec<Input>,
    /// Whether its tasks give the same rows in each partition when they run again over the same
    /// rows.
    pub exact: bool,
}

/// An edge of the graph, seen from the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// The producing stage, as index into the query's list of stages.
    pub stage: usize,
    /// Which of its tasks each consumer task needs.
    pub reads: Reads,
}

/// Which producer tasks a consumer task needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// All of them (shuffle, broadcast).
    All,
    /// A contiguous group for each consumer task, the first groups larger by one task when the
    /// division leaves a rest (a gather, as the planner's `Wiring::Coalesce` has it). With fewer
    /// producers than consumers the last consumers need none.
    Group {
        /// Tasks of the consuming stage.
        consumer_tasks: u32,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A query is to be run. Its graph must be well-formed, or it fails at once.
    QueryAdded {
        /// The query; one that is here already is left as it is.
        query: QueryKey,
        /// Its stages, producers before their consumers, the root last.
        stages: Vec<Stage>,
    },
    /// A query has finished, failed or was cancelled: it is forgotten. Its places come back with
    /// [`Event::PlaceReleased`] of its attempts, which may end later.
    QueryEnded {
        /// The query.
        query: QueryKey,
    },
    /// A call ended: this attempt's output is committed.
    TaskCommitted {
        /// The task.
        task: TaskKey,
        /// The call that ended, as [`Action::Call`] numbered it.
        call: u32,
        /// The attempt that won.
        attempt: u32,
    },
    /// A call ended: outputs that it reads are damaged or missing. It is made again once all
    /// inputs have winners.
    TaskInputLost {
        /// The task whose call ended.
        task: TaskKey,
        /// The call that ended. The lost outputs are believed even if it is an older one.
        call: u32,
        /// What is damaged or missing; what is no winner any more is passed over.
        lost: Vec<AttemptKey>,
    },
    /// A call ended for good: the query fails.
    TaskFailed {
        /// The task.
        task: TaskKey,
        /// The call that ended.
        call: u32,
    },
    /// The coordinator found an output damaged (it reads the root's).
    OutputLost {
        /// The output.
        lost: AttemptKey,
    },
    /// Rows of this root task's output were given to the client: it cannot be made again.
    RowsGiven {
        /// The root task.
        task: TaskKey,
    },
    /// An attempt needs a place. It counts for the call that is under way.
    PlaceWanted {
        /// The attempt.
        attempt: AttemptKey,
        /// Memory that it may use, bytes. More than any node has: a whole largest node, alone.
        memory: u64,
        /// Nodes that are taken only if the cluster has no other. Those that the others are too
        /// small for are others none the less: lack of memory is no reason to avoid a node.
        avoid: Vec<NodeKey>,
        /// A second attempt beside a running one: served when no first attempt waits. If the
        /// running one ends meanwhile, it should be withdrawn and another asked for as a first
        /// one, or the task waits behind everybody.
        hedge: bool,
    },
    /// An attempt needs no place any more. If one was granted meanwhile, it is given back.
    PlaceWithdrawn {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// An attempt gives its place back.
    PlaceReleased {
        /// The attempt.
        attempt: AttemptKey,
    },
    /// A node can take attempts. For one that is here: this is its size now, and it drains no
    /// more. Another incarnation of the same node takes the place of the one before, which is lost
    /// and can never come back.
    NodeJoined {
        /// The node.
        node: NodeKey,
        /// How many attempts it runs at a time.
        places: u32,
        /// Memory that they share, bytes.
        memory: u64,
    },
    /// A node takes no more attempts, and those that it has are moved.
    NodeDraining {
        /// The node.
        node: NodeKey,
    },
    /// A node is gone, and its attempts with it. The same incarnation may join again.
    NodeLost {
        /// The node.
        node: NodeKey,
    },
    /// The time of an [`Action::WakeAt`] has come.
    TimeCame,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Get this task's output committed.
    Call {
        /// The task. It has no other call under way.
        task: TaskKey,
        /// Number of the call, from zero for each task: the event that ends it carries it.
        call: u32,
        /// Attempts that must never win, ascending: their output is damaged, or was made from
        /// what is gone.
        condemned: Vec<u32>,
    },
    /// End a running call without an answer: its inputs are gone. Another call follows when the
    /// new inputs are there.
    CancelCall {
        /// The task.
        task: TaskKey,
        /// Number of the call.
        call: u32,
    },
    /// The attempt has a place on this node.
    Granted {
        /// The attempt.
        attempt: AttemptKey,
        /// The node.
        node: NodeKey,
    },
    /// The attempt's node is lost: nobody need wait for its silence.
    Lost {
        /// The attempt. It holds no place any more.
        attempt: AttemptKey,
        /// The node.
        node: NodeKey,
    },
    /// The attempt's node drains: it is to be abandoned and made again elsewhere.
    Moved {
        /// The attempt. It holds its place until it gives it back.
        attempt: AttemptKey,
        /// The node.
        node: NodeKey,
    },
    /// All root tasks have winners. Said again if one of them is lost and made again. The query can
    /// still fail, for the sake of what is being made again, until [`Event::QueryEnded`].
    Done {
        /// The query.
        query: QueryKey,
        /// The winners of the root's tasks, in task order.
        winners: Vec<AttemptKey>,
    },
    /// The query has failed and is forgotten; its running calls are the driver's to drop.
    Fail {
        /// The query.
        query: QueryKey,
        /// Why.
        why: Failure,
    },
    /// Say [`Event::TimeCame`] at this time (on the clock of `now`). Only the last one counts.
    WakeAt(Duration),
}

/// Why a query fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A task failed for good.
    TaskFailed {
        /// The task.
        task: TaskKey,
    },
    /// Rows were given to the client that depend on an output which is lost and might be made
    /// again with other rows, or with the same rows in another order.
    RowsGone {
        /// The lost output.
        lost: AttemptKey,
    },
    /// Attempts waited while the cluster had no node for too long.
    NoNodes,
    /// The graph has no stage, or a stage that reads itself or a later one.
    Malformed,
}
