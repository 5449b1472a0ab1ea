//! Simulates the two pure crates of retry-policy TASK together, in virtual time, while everything
//! around them breaks: `attempts` (one value a task) and `waterbear-scheduler`.
//!
//! ```text
//!   client ◀── rows ── driver ──▶ waterbear-scheduler          (the crate)
//!                        │ ▲
//!                        ▼ │
//!                      shell ──▶ attempts, one for each task   (the crate)
//!                        │
//!                      talk ── network ──▶ workers ──▶ spool
//! ```
//!
//! All but the two crates is a model of what the coordinator and the workers do, file by file; each
//! says which. One seed decides everything: sizes, graphs, times, and which two kinds of
//! [`setup::Fault`] break what. Nothing here has a clock, and the same seed gives the same events.
//!
//! # Layout
//!
//! - `base`: time, randomness, hash, queue; `setup`: what a seed decides; `what`:
//!   what happens; `state`: the model's parts; `outcome`: how it went;
//! - `sim`: the loop; `driver`, `shell`, `talk`, `nodes`, `client`: the coordinator; `worker`,
//!   `spool`: the rest of the cluster; `faults`: what breaks;
//! - `check`: what must hold; [`plant`]: bugs to see that it is found; `digest`: the event hash;
//!   [`tally`]: what happened.
//!
//! # What the rows are
//!
//! An output is a number that stands for its rows: for an exact stage made of its inputs' numbers,
//! for an indeterminate one anew by each attempt. So rows of two executions never look alike.

pub mod base;
mod check;
mod client;
mod digest;
mod driver;
mod faults;
mod nodes;
mod outcome;
pub mod plant;
pub mod setup;
mod shell;
mod sim;
mod spool;
mod state;
mod talk;
pub mod tally;
mod what;
mod worker;

pub use outcome::{Outcome, Violation};

use plant::Plant;

/// Runs one seed. A violation's trace is there only when the lines were asked for.
pub fn simulate(seed: u64, plant: Option<Plant>, traced: bool) -> Outcome {
    sim::Sim::new(seed, plant, traced).run()
}
