//! A node's own state: who may be asked to become what, and when a node is drained.
//!
//! ```text
//! active ──► draining ──► drained      (workers alone; both can become active again)
//!    │          │            │
//!    └──────────┴────────────┴──► shutting down ──► the process ends
//! ```

use std::sync::Arc;

use tokio::sync::watch;
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};

/// The state of this node, and the tasks that keep it from being drained. Clones share it.
///
/// A task begins and the state changes under one lock: no task begins on a node that has said that
/// it takes none.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What the node announces. Locked before `tasks`.
    node: watch::Sender<NodeInfo>,
    /// How many tasks run.
    tasks: watch::Sender<usize>,
}

/// Why a node does not become what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No request can ask for this state.
    #[error("a node cannot be asked to become {0}: ask for ACTIVE, DRAINING or SHUTTING_DOWN")]
    NotToBeAsked(NodeState),
    /// The node runs no tasks.
    #[error("a {0} runs no tasks, so it cannot be drained: only workers can")]
    NoTasks(Role),
    /// The process is about to end, and nothing stops that.
    #[error("the node is SHUTTING_DOWN, and cannot become {0} any more")]
    Ending(NodeState),
}

impl Lifecycle {
    /// The life of a node that announces itself so.
    pub fn new(node: NodeInfo) -> Self {
        let shared = Shared { node: watch::Sender::new(node), tasks: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// The node as it announces itself now.
    pub fn node(&self) -> NodeInfo {
        self.shared.node.borrow().clone()
    }

    /// The node as it announces itself, and each change of it.
    pub fn announced(&self) -> watch::Receiver<NodeInfo> {
        self.shared.node.subscribe()
    }

    /// Its state now.
    pub fn state(&self) -> NodeState {
        self.shared.node.borrow().state
    }

    /// Asks it to become `wanted`; returns what it is then. A worker that drains and has no task
    /// is drained at once.
    ///
    /// # Errors
    /// When it cannot become that; nothing has changed then.
    pub fn change(&self, wanted: NodeState) -> Result<NodeState, Refused> {
        let mut result = Ok(wanted);
        self.shared.node.send_if_modified(|node| {
            result = next(node.role, node.state, wanted);
            result.is_ok_and(|state| self.shared.enter(node, state))
        });
        result?;
        self.shared.drained_if_idle();
        Ok(self.state())
    }

    /// A task begins; it runs until what is returned is dropped.
    ///
    /// # Errors
    /// The state, when it is one in which the node takes no tasks.
    pub fn begin(&self) -> Result<Work, NodeState> {
        let node = self.shared.node.borrow();
        if node.state != NodeState::Active {
            return Err(node.state);
        }
        // Still under the lock: the state is this one until the task is counted.
        self.shared.tasks.send_modify(|tasks| *tasks += 1);
        Ok(Work(Arc::clone(&self.shared)))
    }

    /// Resolves when the node is to end.
    pub async fn stopping(&self) {
        let mut node = self.announced();
        // The sender lives as long as this.
        let _ = node.wait_for(|node| node.state == NodeState::ShuttingDown).await;
    }

    /// Resolves when no task runs.
    pub async fn idle(&self) {
        let mut tasks = self.shared.tasks.subscribe();
        let _ = tasks.wait_for(|tasks| *tasks == 0).await;
    }
}

impl Shared {
    /// True when that is a change.
    fn enter(&self, node: &mut NodeInfo, state: NodeState) -> bool {
        let before = std::mem::replace(&mut node.state, state);
        if before != state {
            tracing::info!(node = %node.node_id, from = %before, to = %state, "state changed");
        }
        before != state
    }

    fn drained_if_idle(&self) {
        self.node.send_if_modified(|node| {
            let drained = node.state == NodeState::Draining && *self.tasks.borrow() == 0;
            drained && self.enter(node, NodeState::Drained)
        });
    }
}

/// A task that runs: the node is not drained before it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Work(Arc<Shared>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.tasks.send_modify(|tasks| *tasks -= 1);
        self.0.drained_if_idle();
    }
}

/// What a node of this role and state becomes when it is asked to become `wanted`.
fn next(role: Role, state: NodeState, wanted: NodeState) -> Result<NodeState, Refused> {
    match (state, wanted) {
        (_, NodeState::Drained | NodeState::Invalid) => Err(Refused::NotToBeAsked(wanted)),
        (_, NodeState::ShuttingDown) => Ok(wanted),
        (NodeState::ShuttingDown, _) => Err(Refused::Ending(wanted)),
        (_, NodeState::Draining) if role != Role::Worker => Err(Refused::NoTasks(role)),
        (NodeState::Drained, NodeState::Draining) => Ok(state),
        (_, NodeState::Draining | NodeState::Active) => Ok(wanted),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::time::Duration;

    use waterbear_ids::Incarnation;

    use super::*;
    use NodeState::{Active, Drained, Draining, Invalid, ShuttingDown};

    pub(crate) fn node(role: Role) -> NodeInfo {
        NodeInfo {
            node_id: "n1".parse().unwrap(),
            incarnation: Incarnation::random(),
            build: "1".to_owned(),
            environment: "test".to_owned(),
            role,
            host: "127.0.0.1".to_owned(),
            internal_port: 1,
            http_port: 2,
            started_ms: 1,
            state: Active,
            memory_bytes: 0,
            task_slots: 0,
        }
    }

    fn worker() -> Lifecycle {
        Lifecycle::new(node(Role::Worker))
    }

    #[test]
    fn a_worker_is_drained_when_its_last_task_ends() {
        let worker = worker();
        let (first, second) = (worker.begin().unwrap(), worker.begin().unwrap());
        assert_eq!(worker.change(Draining), Ok(Draining));
        assert_eq!(worker.begin().unwrap_err(), Draining);
        drop(first);
        assert_eq!(worker.state(), Draining);
        drop(second);
        assert_eq!(worker.state(), Drained);
        assert_eq!(worker.begin().unwrap_err(), Drained);
        assert_eq!(worker.change(Draining), Ok(Drained), "it is what was asked for");
        assert_eq!(worker.change(Active), Ok(Active));
        drop(worker.begin().unwrap());
        assert_eq!(worker.state(), Active);
        assert_eq!(worker.change(Draining), Ok(Drained), "without a task at once");
    }

    #[test]
    fn a_worker_that_drains_can_be_taken_back() {
        let worker = worker();
        let task = worker.begin().unwrap();
        worker.change(Draining).unwrap();
        assert_eq!(worker.change(Active), Ok(Active));
        drop(task);
        assert_eq!(worker.state(), Active);
    }

    #[test]
    fn nothing_stops_a_shutdown() {
        for role in [Role::Worker, Role::Coordinator, Role::Discovery] {
            let life = Lifecycle::new(node(role));
            assert_eq!(life.change(ShuttingDown), Ok(ShuttingDown));
            assert_eq!(life.change(ShuttingDown), Ok(ShuttingDown));
            assert_eq!(life.change(Active), Err(Refused::Ending(Active)));
            assert_eq!(life.change(Draining), Err(Refused::Ending(Draining)));
            assert_eq!(life.begin().unwrap_err(), ShuttingDown);
            assert_eq!(life.state(), ShuttingDown);
        }
        let drained = worker();
        drained.change(Draining).unwrap();
        assert_eq!(drained.change(ShuttingDown), Ok(ShuttingDown));
    }

    #[test]
    fn only_workers_drain_and_nobody_is_asked_to_be_drained() {
        for role in [Role::Coordinator, Role::Discovery] {
            let life = Lifecycle::new(node(role));
            assert_eq!(life.change(Draining), Err(Refused::NoTasks(role)));
            assert_eq!(life.change(Active), Ok(Active));
        }
        for state in [Drained, Invalid] {
            assert_eq!(worker().change(state), Err(Refused::NotToBeAsked(state)));
        }
    }

    #[tokio::test]
    async fn only_changes_of_the_state_are_announced() {
        let worker = worker();
        let mut announced = worker.announced();
        drop(worker.begin().unwrap());
        worker.change(Active).unwrap();
        assert!(!announced.has_changed().unwrap());
        worker.change(ShuttingDown).unwrap();
        assert_eq!(announced.borrow_and_update().state, ShuttingDown);
    }

    #[tokio::test]
    async fn waiters_hear_of_the_end_and_of_the_last_task() {
        let worker = worker();
        let task = worker.begin().unwrap();
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, worker.idle()).await.is_err());
        assert!(tokio::time::timeout(soon, worker.stopping()).await.is_err());
        let waiting = worker.clone();
        let waiting = tokio::spawn(async move {
            waiting.stopping().await;
            waiting.idle().await;
        });
        worker.change(ShuttingDown).unwrap();
        drop(task);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }

    /// Whatever the order, a drained worker has no task.
    #[test]
    fn no_task_begins_on_a_drained_worker() {
        for _ in 0..200 {
            let worker = worker();
            let other = worker.clone();
            let begun = std::thread::spawn(move || other.begin());
            worker.change(Draining).unwrap();
            let begun = begun.join().unwrap();
            assert_eq!(worker.state(), if begun.is_ok() { Draining } else { Drained });
        }
    }
}
