//! Trino's functions and operators for DataFusion: what they mean, and which of them there are.
//!
//! Coordinators and workers register the same functions, so that a plan means the same on both.

mod failure;

pub use failure::failure_of;
