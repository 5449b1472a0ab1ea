//! Workers for tests.

use waterbear_protocol::membership::{NodeInfo, NodeState, Role};

/// An active worker with 4 places, in this life of its process.
pub(super) fn worker(id: &str, incarnation: u64) -> NodeInfo {
    NodeInfo {
        node_id: id.parse().unwrap(),
        incarnation: format!("{incarnation:016x}").parse().unwrap(),
        build: "1".into(),
        environment: "test".into(),
        role: Role::Worker,
        host: "10.0.0.1".into(),
        internal_port: 1,
        http_port: 8080,
        started_ms: 0,
        state: NodeState::Active,
        memory_bytes: 4 << 20,
        task_slots: 4,
    }
}
