//! A node's state as the binary runs it: announced, changed by operators, and the node's end.

use std::future::Future;

use axum::Router;
use tokio::task::JoinHandle;
use waterbear_membership::Announcer;
use waterbear_outbound::Channel;
use waterbear_protocol::membership::{NodeState, Role};
use waterbear_serve::{Lifecycle, stacks, state};
use waterbear_telemetry::ServiceMetrics;

use crate::node::Node;

/// The longest request that changes a node's state.
const STATE_BYTES: usize = 1 << 10;

/// A coordinator has no internal listener; without TLS its HTTP port is one, for operators.
pub fn operators_in_clear(node: &Node, lifecycle: &Lifecycle) -> Option<Router> {
    let clear = node.security.acceptor().is_none();
    clear.then(|| {
        let metrics = ServiceMetrics::new(node.info.role.name(), node.info.node_id.as_str());
        let require = node.security.require(&[Role::Operator]);
        let routes = state::internal(lifecycle.clone());
        stacks::internal_control(routes, require, &metrics, STATE_BYTES)
    })
}

/// Announces the node, and each change of its state.
pub fn announce(node: &Node, lifecycle: &Lifecycle) -> JoinHandle<()> {
    Announcer::spawn(
        node.security.client(Channel::Control),
        node.discovery.clone(),
        lifecycle.announced(),
        node.shutdown.clone(),
    )
}

/// Ends the node once it is asked to, by a signal or over its state, and has done its last work.
/// Told to end at once, it waits for nothing.
pub fn end_when_asked(
    node: &Node,
    lifecycle: &Lifecycle,
    last: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let (asked, shutdown, lifecycle) =
        (node.asked.clone(), node.shutdown.clone(), lifecycle.clone());
    tokio::spawn(async move {
        let end = async {
            tokio::select! {
                () = lifecycle.stopping() => {}
                () = asked.cancelled() => {
                    // Nothing hinders this change.
                    let _ = lifecycle.change(NodeState::ShuttingDown);
                }
            }
            last.await;
        };
        shutdown.run_until_cancelled(end).await;
        shutdown.cancel();
    })
}
