//! Whether a node that was lost is there again.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use waterbear_outbound::{InternalClient, OutboundError, Peer};
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::task::{INCARNATION_HEADER, TaskStatus};
use waterbear_scheduler::NodeKey;

use super::calls::Calls;
use super::driver::{Driver, Message};
use crate::scheduler::health::Contact;

const EVERY: Duration = Duration::from_millis(250);
/// A node that is away for longer is asked less often.
const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the node now and then, until it answers or another process answers in its place; until
/// the handle is dropped at the longest. What still runs there of before is aborted first.
pub(super) fn until_back(
    calls: &Calls,
    key: NodeKey,
    node: NodeInfo,
    driver: Driver,
) -> AbortOnDropHandle<()> {
    let (control, contact) = (calls.control.clone(), calls.health.contact(&node));
    AbortOnDropHandle::new(calls.io.spawn(async move {
        let since = Instant::now();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&node.incarnation.to_string()) {
            headers.insert(INCARNATION_HEADER, value);
        }
        // No query has this id: whoever knows nothing of it is alive.
        let path = "/v1/task/probe.0.0.0/status";
        loop {
            tokio::time::sleep(if since.elapsed() < SOON { EVERY } else { LATER }).await;
            let (peer, headers) = (Peer::Node(node.clone()), headers.clone());
            let answer: Result<TaskStatus, _> =
                control.json::<(), _>(&peer, Method::GET, path, headers, None, TIMEOUT).await;
            match answer {
                Err(OutboundError::Status { status: StatusCode::NOT_FOUND, .. }) => {
                    contact.heard();
                    if abort_left(&contact, &control).await {
                        tracing::info!(node = %node.node_id, "worker answers again");
                        driver.tell(Message::Back(key));
                        return;
                    }
                }
                Err(OutboundError::Status { status: StatusCode::CONFLICT, .. }) => return,
                // A port that refuses is most likely a process that is gone; who knows.
                _ => {}
            }
        }
    }))
}

/// Ends the attempts that could not be ended while the node did not answer; at the first that
/// cannot be ended now, the rest waits for the next time.
async fn abort_left(contact: &Arc<Contact>, control: &InternalClient) -> bool {
    let mut all = true;
    for attempt in contact.take_left() {
        if !all || attempt.abort(control).await.is_err() {
            contact.leave(attempt);
            all = false;
        }
    }
    all
}
