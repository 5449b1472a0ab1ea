//! The scheduler's rules, each with a test that fails when the rule is broken.

#![allow(clippy::unwrap_used)] // Helpers of tests.

mod bench;
mod determinacy;
mod fairness;
mod nodes;
mod places;
mod readiness;
