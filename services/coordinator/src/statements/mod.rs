//! Statements that the coordinator answers by itself, without a plan.

mod show;
#[cfg(test)]
pub(crate) mod tests;

pub use show::run_metadata;
