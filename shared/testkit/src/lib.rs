//! What tests of several crates share; no product crate depends on it.
//!
//! # Layout
//! - [`client`]: Trino's client protocol
//! - [`tpch`]: the 22 TPC-H queries, their answers at scale factor 0.01, and a comparator

pub mod client;
pub mod tpch;
