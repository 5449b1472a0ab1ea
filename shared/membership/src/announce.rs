//! Tells the discoveries that this node lives.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use waterbear_outbound::{InternalClient, OutboundError, Peer};
use waterbear_protocol::membership::{AnnounceAnswer, NodeInfo};
use waterbear_telemetry::{LogLimit, variant_name};

use crate::discovery_api::DiscoveryApi;
use crate::pause::RetryPause;

/// How often a node says that it lives; a lease is three times as long.
const INTERVAL: Duration = Duration::from_secs(1);

/// Nodes are often started before their discovery: that it does not listen yet is told after this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Announces a node to all discoveries.
pub struct Announcer;

impl Announcer {
    /// Announces `info` at once, then each second and on each change, until `shutdown`; then
    /// withdraws it. When a later incarnation of the same node id is in the cluster, says so in the
    /// log and cancels `shutdown`. Failures go to the log: the first one within 3 s, then at most
    /// one a minute per reason; announcing goes on.
    pub fn spawn(
        client: InternalClient,
        discovery: Vec<Peer>,
        info: watch::Receiver<NodeInfo>,
        shutdown: CancellationToken,
    ) -> JoinHandle<()> {
        tokio::spawn(announce_to_all(client, discovery, info, shutdown))
    }
}

async fn announce_to_all(
    client: impl DiscoveryApi,
    discovery: Vec<Peer>,
    info: watch::Receiver<NodeInfo>,
    shutdown: CancellationToken,
) {
    let mut announcements = JoinSet::new();
    for peer in discovery {
        let (client, info) = (client.clone(), info.clone());
        let announcement = Announcement::new(client, peer, info, shutdown.clone());
        announcements.spawn(announcement.run());
    }
    announcements.join_all().await;
}

/// The conversation with one discovery.
struct Announcement<C> {
    client: C,
    discovery: Peer,
    info: watch::Receiver<NodeInfo>,
    shutdown: CancellationToken,
    log: FailureLog,
}

impl<C: DiscoveryApi> Announcement<C> {
    fn new(
        client: C,
        discovery: Peer,
        info: watch::Receiver<NodeInfo>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { client, discovery, info, shutdown, log: FailureLog::default() }
    }

    async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.announce() => {}
        }
        let info = self.info.borrow().clone();
        // Not heard: the lease ends instead.
        let _ = self.client.withdraw(&self.discovery, &info).await;
    }

    /// Ends when this node is superseded.
    async fn announce(&mut self) {
        let mut pause = RetryPause::default();
        loop {
            let info = self.info.borrow_and_update().clone();
            let next = match self.client.announce(&self.discovery, &info).await {
                Ok(AnnounceAnswer::Accepted { .. }) => {
                    pause.reset();
                    self.log.succeeded();
                    INTERVAL
                }
                Ok(AnnounceAnswer::Superseded { by }) => {
                    tracing::error!(
                        node = %info.node_id, incarnation = %info.incarnation, %by,
                        "another process with the same node.id started later: this one stops"
                    );
                    return self.shutdown.cancel();
                }
                Err(error) => {
                    self.log.failed(&error);
                    pause.next()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                Ok(()) = self.info.changed() => {}
            }
        }
    }
}

/// Says once why announcing fails, and once that it works.
struct FailureLog {
    limit: LogLimit,
    failing_since: Option<Instant>,
    /// True when the log's last word was a success.
    announced: bool,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self { limit: LogLimit::per_minute(), failing_since: None, announced: false }
    }
}

impl FailureLog {
    fn succeeded(&mut self) {
        self.failing_since = None;
        if !std::mem::replace(&mut self.announced, true) {
            tracing::info!("announced to discovery");
        }
    }

    fn failed(&mut self, error: &OutboundError) {
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        // What does not mend by waiting is told at once.
        let stays = matches!(error, OutboundError::Tls { .. } | OutboundError::Status { .. });
        if !stays && now.duration_since(since) < PATIENCE {
            return;
        }
        if let Some(held_back) = self.limit.admit(&variant_name(error), now) {
            self.announced = false;
            tracing::warn!(
                reason = %error, held_back,
                "not in the cluster: the discovery cannot be told of this node; trying again"
            );
        }
    }
}
