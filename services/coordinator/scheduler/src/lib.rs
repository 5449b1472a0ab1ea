//! Which task runs when and where, as a pure state machine: one [`Scheduler`] for all queries of
//! a coordinator under retry policy TASK. Events in, actions out, the time is an argument.
//!
//! ```text
//!            QueryAdded, TaskCommitted, TaskInputLost, …  ┌────────┐
//!          ┌─────────────────────────────────────────────▶│ query  │ what is ready, what is lost
//!          │                            Call, CancelCall  ├────────┤
//!   driver ◀──────────────────────────────────────────────│ queue  │ whose turn it is
//!          │                         Granted, Lost, Moved ├────────┤
//!          └─────────────────────────────────────────────▶│ places │ on which node
//!            PlaceWanted, PlaceReleased, NodeLost, …      └────────┘
//! ```
//!
//! The scheduler says [`Action::Call`] for a task whose inputs all have a winner. The task's stack
//! then numbers attempts, asks for a place for each of them ([`Event::PlaceWanted`]), runs them
//! where they were granted one, and ends the call with one of [`Event::TaskCommitted`],
//! [`Event::TaskInputLost`], [`Event::TaskFailed`]. The scheduler knows nothing of retries.
//!
//! # Layout
//!
//! - `keys`: names of queries, tasks, attempts and nodes; `event`: events, actions, stages.
//! - `query`: one query's graph and readiness; `query/lost`: what a lost output takes with it.
//! - `queue`: whose turn it is; `places`: nodes, places, memory; `places/index`: choice of a node.
//! - `scheduler`: events to actions; `scheduler/serve`: waiting attempts to places; `view`: what
//!   can be seen from outside.
//!
//! # What the driver owes
//!
//! - It performs the actions of an event in their order, before the next event. Those that follow
//!   may fail the query that an action speaks of: then it has no winners any more.
//! - Each call ends with exactly one event, which carries the call's number; after a
//!   [`Action::CancelCall`] it may still come, and is without effect.
//! - Who starts an attempt reads its inputs' attempts with [`Scheduler::winner`] when the call
//!   begins or later; when an input has no winner just then, the call ends with
//!   [`Event::TaskInputLost`] that names nothing, and is made again once the input is there.
//! - Each [`Action::Granted`] is answered with [`Event::PlaceReleased`], sooner or later: also
//!   after [`Action::Lost`] or [`Action::Moved`], and when whoever wanted the place is gone.
//! - Waiting attempts are forgotten without a word when their call has ended or was cancelled and
//!   when their query has ended or failed.
//!
//! # Determinacy
//!
//! An *exact* output that is lost is made again, alone: it will have the same rows, so readers that
//! committed stay. When an *indeterminate* output is lost, nothing that was made from it may stand
//! beside its successor: everything downstream of it, whatever the determinacy of those in
//! between, loses its winners and its running calls, and each of its attempts so far is condemned.
//! If rows of a root output among them were already given to the client, the query fails.

mod event;
mod keys;
mod places;
mod query;
mod queue;
mod scheduler;
mod view;

pub use event::{Action, Event, Failure, Input, Reads, Stage};
pub use keys::{AttemptKey, NodeKey, QueryKey, TaskKey};
pub use scheduler::{Options, Scheduler};
pub use view::{NodeUse, StageCounts};
