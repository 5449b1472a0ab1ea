//! Statements that the coordinator answers by itself, without a plan.

mod create;
#[cfg(test)]
mod metadata_tests;
mod procedures;
mod session;
mod show;
mod stats;
#[cfg(test)]
pub(crate) mod tests;

pub use procedures::run_call;
pub use session::{SessionScope, run_session};
pub(crate) use show::rows_of;
pub use show::run_metadata;
pub use stats::statistics;
