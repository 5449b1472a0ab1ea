//! What travels when a query or a task failed.

use std::fmt;

use serde::{Deserialize, Serialize};
use waterbear_ids::{AttemptId, NodeId};

use crate::error_code::ErrorCode;

/// A place in the SQL text; both numbers count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorLocation {
    /// Line, from one.
    pub line_number: u32,
    /// Column, from one, in characters.
    pub column_number: u32,
}

/// Why a query or a task failed: a code, a message that a user can act on, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Trino's code.
    pub code: ErrorCode,
    /// What happened and what to do, in one sentence where possible.
    pub message: String,
    /// The place in the SQL text, if the statement is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<ErrorLocation>,
    /// The node on which it happened, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Attempts whose committed output is gone or damaged: this task is not to blame, and can run
    /// once they have been made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<AttemptId>,
}

impl Failure {
    /// A failure without place or node.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), location: None, node: None, lost: Vec::new() }
    }

    /// Names the place in the SQL text.
    pub fn at(mut self, location: ErrorLocation) -> Self {
        self.location = Some(location);
        self
    }

    /// Names the node.
    pub fn on(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// Names an input that is lost.
    pub fn without_input(mut self, attempt: AttemptId) -> Self {
        self.lost.push(attempt);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Failure {}
