//! How a seed went.

use crate::base::Time;
use crate::tally::Tally;

/// A rule that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// What broke it.
    pub seed: u64,
    /// When, in microseconds.
    pub at: Time,
    /// The query, where it is one's.
    pub query: Option<u64>,
    /// What happened.
    pub text: String,
    /// The last events of that query.
    pub trace: Vec<String>,
}

/// How a seed went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How many events there were.
    pub events: u64,
    /// Over all events and actions.
    pub hash: u64,
    /// What happened how often.
    pub tally: Tally,
    /// What broke a rule first.
    pub violation: Option<Violation>,
    /// All lines, where they were asked for.
    pub trace: Vec<String>,
}
