//! Whether a node that was lost is there again.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;
use waterbear_outbound::{OutboundError, Peer};
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::task::{INCARNATION_HEADER, TaskStatus};
use waterbear_scheduler::NodeKey;

use super::calls::Calls;
use super::driver::{Driver, Message};

const EVERY: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(1);
/// A node that was away for longer comes back as a new one, by a restart.
const LONGEST: Duration = Duration::from_secs(1800);

/// Asks the node now and then, until it answers or its process is known to be gone.
pub(super) fn until_back(calls: &Calls, key: NodeKey, node: NodeInfo, driver: Driver) {
    let control = calls.control.clone();
    calls.io.spawn(async move {
        let since = Instant::now();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&node.incarnation.to_string()) {
            headers.insert(INCARNATION_HEADER, value);
        }
        // No query has this id: whoever knows nothing of it is alive.
        let path = "/v1/task/probe.0.0.0/status";
        while since.elapsed() < LONGEST {
            tokio::time::sleep(EVERY).await;
            let peer = Peer::Node(node.clone());
            let answer = control.json::<(), TaskStatus>(
                &peer,
                Method::GET,
                path,
                headers.clone(),
                None,
                TIMEOUT,
            );
            match answer.await {
                Err(OutboundError::Status { status, .. })
                    if status == http::StatusCode::NOT_FOUND =>
                {
                    tracing::info!(node = %node.node_id, "worker answers again");
                    driver.tell(Message::Back(key));
                    return;
                }
                // Nothing listens there, or another process does.
                Err(error) if error.is_gone() => return,
                Err(OutboundError::Status { status, .. }) if status.is_client_error() => return,
                _ => {}
            }
        }
    });
}
