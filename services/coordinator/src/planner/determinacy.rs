//! Whether a fragment gives the same rows when it runs again.
//!
//! A fragment is *exact* if a second run gives the same rows in each of its partitions, or for
//! partial aggregates the same state for each group once merged, whatever order its input comes
//! in. Anything else is *indeterminate*: a volatile expression; a limit, TopK, row_number,
//! first_value or array_agg over rows in no total order; a float aggregate (whose last digits
//! hang on the order of its input) that becomes an exchange key, or decides a comparison or a
//! limit; rows dealt out round-robin; and whatever reads an indeterminate fragment. An operator
//! that is not known here is not trusted.
//!
//! An exact task can be replaced alone; an indeterminate one takes its readers with it.
//!
//! The rules walk a plan from its leaves up and keep `Facts` about each node's output.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

use super::fragment::{Fragment, Wiring};

mod aggregates;
mod operators;
#[cfg(test)]
mod tests;

/// Whether a fragment gives the same rows when it runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Determinacy {
    /// It does.
    Exact,
    /// It may not, for this reason.
    Indeterminate(String),
}

impl fmt::Display for Determinacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::Indeterminate(reason) => write!(f, "indeterminate: {reason}"),
        }
    }
}

/// What is known of the rows that a node gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    /// Why all its rows together may be others in a second run.
    doubt: Option<String>,
    /// Why a row may be in another partition in a second run.
    placement: Option<String>,
    /// Why the rows are others unless a merge above takes the first of them.
    unmerged: Option<String>,
    /// The rows of each partition come in the same order in a second run.
    fixed: bool,
    /// Columns with values that a float aggregate has touched.
    floats: BTreeSet<usize>,
    /// Sets of columns that tell every row from every other.
    unique: Vec<BTreeSet<usize>>,
}

impl Facts {
    /// Notes why the rows may differ; the first reason stays.
    fn doubt(&mut self, reason: impl Into<String>) {
        self.doubt.get_or_insert_with(|| reason.into());
    }

    /// The rows of each partition come in the same order, and are the same.
    fn is_reproducible(&self) -> bool {
        self.fixed && self.placement.is_none()
    }

    /// True when rows that are equal in `keys` cannot be told apart at all.
    fn is_total(&self, keys: &BTreeSet<usize>, columns: usize) -> bool {
        (0..columns).all(|column| keys.contains(&column))
            || self.unique.iter().any(|unique| unique.is_subset(keys))
    }
}

/// Assesses fragments, producers before their consumers.
pub(super) fn assess(fragments: &mut [Fragment]) {
    let by_partition: Vec<bool> = (0..fragments.len())
        .map(|producer| {
            let mut inputs = fragments.iter().flat_map(|fragment| &fragment.inputs);
            inputs.any(|input| input.producer == producer && input.wiring == Wiring::Shuffle)
        })
        .collect();
    let mut outputs: Vec<Facts> = Vec::with_capacity(fragments.len());
    for (index, fragment) in fragments.iter_mut().enumerate() {
        let inputs: Vec<Facts> = fragment
            .inputs
            .iter()
            .map(|input| outputs.get(input.producer).map(|facts| arrives(facts, input)))
            .map(Option::unwrap_or_default)
            .collect();
        let facts = match fragment.tasks.first() {
            Some(plan) => facts_of(plan, &inputs),
            None => Facts::default(),
        };
        // Whoever reads all partitions does not mind which of them a row is in.
        let placement = facts.placement.clone().filter(|_| by_partition[index]);
        let reason = facts.doubt.clone().or_else(|| facts.unmerged.clone()).or(placement);
        let mut output = facts;
        output.doubt = reason
            .clone()
            .map(|_| format!("it reads fragment {}, which is indeterminate", fragment.stage));
        output.unmerged = None;
        fragment.determinacy = reason.map_or(Determinacy::Exact, Determinacy::Indeterminate);
        outputs.push(output);
    }
}

/// What a consumer knows of a producer's rows.
fn arrives(producer: &Facts, input: &super::fragment::FragmentInput) -> Facts {
    let keeps_order = matches!(input.wiring, Wiring::Coalesce { .. }) || input.producer_tasks == 1;
    let mut facts = producer.clone();
    facts.fixed &= keeps_order;
    if input.wiring == Wiring::Shuffle {
        facts.placement = None;
    }
    facts
}

/// The facts of a plan; exchange sources read `inputs`.
fn facts_of(plan: &Arc<dyn ExecutionPlan>, inputs: &[Facts]) -> Facts {
    let children: Vec<Facts> =
        plan.children().into_iter().map(|child| facts_of(child, inputs)).collect();
    let mut facts = operators::output(plan, children, inputs);
    if operators::is_volatile(plan) {
        facts.doubt("an expression gives another value each time (random(), uuid())");
    }
    facts
}
