//! Watches what the discoveries list.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use waterbear_outbound::{InternalClient, Peer};
use waterbear_protocol::BUILD_ID;
use waterbear_protocol::membership::NodeInfo;
use waterbear_telemetry::LogLimit;

use crate::discovery_api::DiscoveryApi;
use crate::merge::{Merge, View};
use crate::pause::RetryPause;

/// Changes within this time travel together: many nodes start at once.
const COALESCE: Duration = Duration::from_millis(20);

/// A discovery that is away for less is not worth a line.
const PATIENCE: Duration = Duration::from_secs(3);

/// The cluster's view, kept up to date in the background. Clones share it.
#[derive(Debug, Clone)]
pub struct Membership {
    view: watch::Receiver<Arc<View>>,
}

impl Membership {
    /// Watches all discoveries until `shutdown`. A discovery that is away is asked again and again;
    /// while all are, the last view stays.
    pub fn spawn(
        client: InternalClient,
        discovery: Vec<Peer>,
        shutdown: CancellationToken,
    ) -> Self {
        Self::watch(client, discovery, shutdown)
    }

    /// A cluster that never changes: for tests and for a coordinator without workers.
    pub fn fixed(nodes: Vec<NodeInfo>) -> Self {
        let (_, view) = watch::channel(Arc::new(View { nodes, known: true }));
        Self { view }
    }

    /// The view now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Waits until the view is another than at the last call, and forever once it can change no
    /// more.
    pub async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// The stream of views.
    pub fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    fn watch(client: impl DiscoveryApi, discovery: Vec<Peer>, shutdown: CancellationToken) -> Self {
        let (sender, view) = watch::channel(Arc::default());
        let merge = Mutex::new(Merge::new(discovery.len(), BUILD_ID));
        let shared = Arc::new(Shared { merge, view: sender });
        for (number, peer) in discovery.into_iter().enumerate() {
            let watcher = Watcher { client: client.clone(), peer, number, shared: shared.clone() };
            let shutdown = shutdown.clone();
            tokio::spawn(async move { shutdown.run_until_cancelled(watcher.run()).await });
        }
        Self { view }
    }
}

struct Shared {
    merge: Mutex<Merge>,
    view: watch::Sender<Arc<View>>,
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut Merge)) {
        // Published under the lock: views appear in the order of their changes.
        let mut merge = self.merge.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut merge);
        let merged = merge.view();
        self.view.send_if_modified(|view| {
            let differs = **view != merged;
            if differs {
                *view = Arc::new(merged);
            }
            differs
        });
    }
}

/// The conversation with one discovery.
struct Watcher<C> {
    client: C,
    peer: Peer,
    number: usize,
    shared: Arc<Shared>,
}

impl<C: DiscoveryApi> Watcher<C> {
    async fn run(self) {
        let mut seen = None;
        let mut away_since = None;
        let mut pause = RetryPause::default();
        let log = LogLimit::per_minute();
        loop {
            match self.client.nodes(&self.peer, seen).await {
                Ok(view) => {
                    (away_since, seen) = (None, Some((view.discovery, view.version)));
                    pause.reset();
                    self.shared.update(|merge| merge.answered(self.number, view));
                    tokio::time::sleep(COALESCE).await;
                }
                Err(error) => {
                    // Forgotten, so that the next answer comes at once, with the whole view.
                    seen = None;
                    self.shared.update(|merge| merge.lost(self.number));
                    let away = away_since.get_or_insert_with(Instant::now).elapsed();
                    if away >= PATIENCE && log.admit("away", std::time::Instant::now()).is_some() {
                        tracing::warn!(
                            reason = %error,
                            "cannot watch the cluster: the last view of its nodes stays in use"
                        );
                    }
                    tokio::time::sleep(pause.next()).await;
                }
            }
        }
    }
}
