//! EXPLAIN: plans as people and programs read them.
//!
//! Layout: a plan becomes [`PlanNode`]s (`logical`, `physical`), fragments become [`Part`]s
//! (`fragments`), and these are written as `text`, `json` or `graphviz`; `io` says which tables
//! are read, `cost` what running has cost (EXPLAIN ANALYZE).

use waterbear_dialect::ExplainFormat;

mod cost;
mod fragments;
mod graphviz;
pub mod io;
mod json;
pub mod logical;
mod names;
mod physical;
#[cfg(test)]
mod tests;
mod text;

pub use cost::{Costs, measured};
pub use fragments::parts;

/// An operator of a plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanNode {
    /// What it is called.
    pub name: String,
    /// What it works with: names and values.
    pub descriptor: Vec<(String, String)>,
    /// Names and types of its output.
    pub outputs: Vec<(String, String)>,
    /// More to read, a line each.
    pub details: Vec<String>,
    /// How much it probably gives.
    pub estimate: Estimate,
    /// What it reads.
    pub children: Vec<PlanNode>,
}

/// How much an operator probably gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Rows, if anybody knows.
    pub rows: Option<u64>,
    /// Bytes in memory, if anybody knows.
    pub bytes: Option<u64>,
}

/// A plan, or one fragment of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// The fragment's number, unless this is a whole plan.
    pub fragment: Option<u32>,
    /// How its tasks divide their input: `SINGLE`, `SOURCE`, `HASH`.
    pub partitioning: String,
    /// What is said of the fragment, a line each.
    pub details: Vec<String>,
    /// Its plan.
    pub root: PlanNode,
}

/// Writes a plan.
pub fn write(parts: &[Part], format: ExplainFormat) -> String {
    match format {
        ExplainFormat::Text => text::write(parts),
        ExplainFormat::Json => json::write(parts),
        ExplainFormat::Graphviz => graphviz::write(parts),
    }
}

/// The node that gives the rows to the client.
pub fn output_node(columns: &[String], root: PlanNode) -> PlanNode {
    PlanNode {
        name: "Output".to_owned(),
        descriptor: vec![("columnNames".to_owned(), format!("[{}]", columns.join(", ")))],
        outputs: root.outputs.clone(),
        details: Vec::new(),
        estimate: root.estimate,
        children: vec![root],
    }
}
