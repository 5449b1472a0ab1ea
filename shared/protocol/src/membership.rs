//! Announcements of nodes and views of the cluster.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use waterbear_ids::{Incarnation, NodeId};

/// Silence after which a node counts as lost, and life of an announcement. Nodes announce
/// themselves, and coordinators ask for their tasks, each second. An attempt that nobody has asked
/// for so long is not committed.
pub const LEASE: Duration = Duration::from_secs(3);

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Knows who is in the cluster.
    Discovery,
    /// Plans and schedules queries; serves clients.
    Coordinator,
    /// Runs tasks.
    Worker,
    /// A person's command-line tool: lists nodes and changes their states, and nothing else.
    Operator,
}

impl Role {
    /// The lower-case name, as in certificates, tokens and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Discovery => "discovery",
            Role::Coordinator => "coordinator",
            Role::Worker => "worker",
            Role::Operator => "operator",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A node's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NodeState {
    /// Takes tasks.
    Active,
    /// Takes no new tasks; its running ones go on.
    Draining,
    /// Takes no new tasks and has none left.
    Drained,
    /// Takes no new tasks, and its process ends as soon as it has none.
    ShuttingDown,
    /// Listed, but of another build: gets no task. Set by the observer, never announced.
    Invalid,
}

impl NodeState {
    /// The lower-case name, as `system.runtime.nodes` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            NodeState::Active => "active",
            NodeState::Draining => "draining",
            NodeState::Drained => "drained",
            NodeState::ShuttingDown => "shutting_down",
            NodeState::Invalid => "invalid",
        }
    }

    /// The upper-case name, as it is announced and as `/v1/info` shows it.
    pub const fn constant(self) -> &'static str {
        match self {
            NodeState::Active => "ACTIVE",
            NodeState::Draining => "DRAINING",
            NodeState::Drained => "DRAINED",
            NodeState::ShuttingDown => "SHUTTING_DOWN",
            NodeState::Invalid => "INVALID",
        }
    }
}

impl std::fmt::Display for NodeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.constant())
    }
}

/// What a node says of itself, each second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// `node.id`.
    pub node_id: NodeId,
    /// This life of its process.
    pub incarnation: Incarnation,
    /// [`crate::BUILD_ID`] of its binary.
    pub build: String,
    /// `node.environment`.
    pub environment: String,
    /// Its role.
    pub role: Role,
    /// Host name or IP address at which other nodes reach it, without a port.
    pub host: String,
    /// Port of its internal listener (`http-server.https.port`, or the HTTP port without TLS).
    pub internal_port: u16,
    /// Port of its plain HTTP listener (`/v1/info`, `/v1/status`, `/metrics`).
    pub http_port: u16,
    /// Milliseconds since the Unix epoch at its start: the later of two incarnations wins.
    pub started_ms: u64,
    /// Its state.
    pub state: NodeState,
    /// Bytes that its tasks may hold together; zero where it runs none.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Attempts of spooled tasks that it runs at a time (`task.max-spooled-tasks`).
    #[serde(default)]
    pub task_slots: u32,
}

/// The answer to `PUT /v1/announce/{node_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnounceAnswer {
    /// Listed until the lease ends; announce again before.
    Accepted {
        /// Milliseconds until the announcement expires.
        lease_ms: u64,
    },
    /// A later incarnation of this node id is in the cluster: this process must stop.
    Superseded {
        /// The incarnation that won.
        by: Incarnation,
    },
}

/// The answer to `GET /v1/nodes`: who is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// This life of the discovery process; versions compare only within one.
    pub discovery: Incarnation,
    /// Grows with each change.
    pub version: u64,
    /// True for one lease after the discovery's start: what is not listed means nothing yet.
    pub warming: bool,
    /// The listed nodes, by node id.
    pub nodes: Vec<NodeInfo>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_they_are_announced() {
        for state in [
            NodeState::Active,
            NodeState::Draining,
            NodeState::Drained,
            NodeState::ShuttingDown,
            NodeState::Invalid,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
            assert_eq!(state.name().to_uppercase(), state.constant());
        }
    }
}
