//! A Tower layer that runs a task again until one attempt has committed its output.
//!
//! It is for work whose output is written somewhere durable (the *spool*) and wanted exactly once,
//! on machines that may die at any moment. How it differs from `tower::retry`: each run has a
//! number that is never used twice, so that what an earlier run left behind is never taken for
//! the output; a run that ended without an answer is looked for in the spool before anything runs
//! again, since perhaps only the answer was lost; a failure's class says what it costs; a slow run
//! may get a second one beside it; an output that turns out to be damaged is condemned by the next
//! call, and never comes back.
//!
//! The layer decides nothing: all decisions are made by [`attempts`], a pure state machine, and
//! the layer performs them. What it asks of its user:
//!
//! | you give | which says |
//! |---|---|
//! | [`Task`] | what is to be run; holds the task's [`TaskAttempts`], which outlive a call |
//! | `Service<`[`Attempt`]`>`, [`Clone`] | how one attempt is run. Dropping its future must stop the attempt and free its place |
//! | [`AttemptFailure`] for its errors | what a failure costs |
//! | [`Spool`] | whether an attempt has committed |
//!
//! A [`Call`] is answered with the [`Winner`] or with an [`Error`]. One call of a task runs at a
//! time, others wait for their turn and are then answered at once. Whoever drops a call that runs
//! drops its attempts; a later call of the task goes on with the next number.
//!
//! Layout: `layer` is [`ExchangeRetryLayer`] and [`ExchangeRetry`]; `call` drives one call; `task`
//! what outlives it; `attempt` what the inner service gets; `spool` and `error` as named.
//!
//! # Example
//!
#![doc = concat!("```\n", include_str!("../examples/lost_answer.rs"), "\n```")]

mod attempt;
mod call;
mod error;
mod layer;
mod spool;
mod task;

pub use attempt::{Attempt, AttemptFailure, Placed};
pub use attempts::{self, Attempts, Class, GaveUp, Limits, MemoryGrowth, Number};
pub use error::{Error, Failure};
pub use layer::{Call, ExchangeRetry, ExchangeRetryLayer, Winner};
pub use spool::Spool;
pub use task::{Task, TaskAttempts};
