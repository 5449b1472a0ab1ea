//! The coordinator's parts together, without a network.
#![allow(clippy::unwrap_used, missing_docs)]

mod cut_plans;
mod stage_by_stage;
