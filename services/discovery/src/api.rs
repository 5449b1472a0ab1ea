//! The routes of the internal listener: announce, withdraw, watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use http::StatusCode;
use internal_auth::Caller;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use waterbear_ids::{Incarnation, NodeId};
use waterbear_protocol::membership::{AnnounceAnswer, ClusterView, NodeInfo, NodeState, Role};
use waterbear_serve::Lifecycle;

use crate::registry::{Event, Registry, TICK};

/// The longest that a watch is held.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The registry as the routes share it.
pub struct Listing {
    own: Lifecycle,
    registry: Mutex<Registry>,
    version: watch::Sender<u64>,
    shutdown: CancellationToken,
}

impl Listing {
    /// A warming listing, empty but for the discovery itself.
    pub fn new(own: Lifecycle, lease: Duration, shutdown: CancellationToken) -> Self {
        let incarnation = own.node().incarnation;
        let registry = Registry::new(incarnation, lease, Instant::now().into_std());
        let (version, _) = watch::channel(registry.version());
        Self { own, registry: Mutex::new(registry), version, shutdown }
    }

    /// Lets leases end; runs until the shutdown.
    pub async fn tick(&self) {
        let mut ticks = tokio::time::interval(TICK);
        // Ticks that were missed are not made up: the registry must see that it was late.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let events = self.update(|registry| registry.tick(Instant::now().into_std()));
            events.iter().for_each(log);
        }
    }

    /// Who is in the cluster now.
    pub fn view(&self) -> ClusterView {
        let mut view = self.lock().view();
        let own = self.own.node();
        let place = view.nodes.partition_point(|node| node.node_id < own.node_id);
        view.nodes.insert(place, own);
        view
    }

    fn announce(&self, node: NodeInfo) -> AnnounceAnswer {
        let now = Instant::now().into_std();
        let (answer, event) = self.update(|registry| registry.announce(now, node));
        event.iter().for_each(log);
        answer
    }

    fn withdraw(&self, node: &NodeId, incarnation: Incarnation) {
        let event = self.update(|registry| registry.withdraw(node, incarnation));
        event.iter().for_each(log);
    }

    fn update<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = self.lock();
        let result = change(&mut registry);
        let now = registry.version();
        self.version.send_if_modified(|version| std::mem::replace(version, now) != now);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first view that is not `seen`, or the current one at the deadline.
    async fn view_other_than(
        &self,
        seen: Option<(Incarnation, u64)>,
        wait: Duration,
    ) -> ClusterView {
        let mut version = self.version.subscribe();
        let deadline = Instant::now() + wait;
        loop {
            let view = self.view();
            if Some((view.discovery, view.version)) != seen || Instant::now() >= deadline {
                return view;
            }
            tokio::select! {
                _ = version.changed() => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.shutdown.cancelled() => return view,
            }
        }
    }
}

fn log(event: &Event) {
    let (what, node) = match event {
        Event::NodeJoined(node) => ("node joined", node),
        Event::NodeChanged(node) => ("node changed", node),
        Event::NodeExpired(node) => ("node fell silent", node),
        Event::NodeWithdrew(node) => ("node withdrew", node),
    };
    tracing::info!(
        node = %node.node_id, role = %node.role, incarnation = %node.incarnation,
        host = node.host, port = node.internal_port, build = node.build, state = node.state.name(),
        "{what}"
    );
}

/// `PUT` and `DELETE /v1/announce/{node_id}`, `GET /v1/nodes`. Each request must carry a
/// [`Caller`], which the stack in front of the routes puts there.
pub fn routes(listing: Arc<Listing>) -> Router {
    Router::new()
        .route("/v1/announce/{node_id}", put(announce).delete(withdraw))
        .route("/v1/nodes", get(nodes))
        .with_state(listing)
}

type Refused = (StatusCode, String);

async fn announce(
    State(listing): State<Arc<Listing>>,
    Path(node_id): Path<NodeId>,
    Extension(caller): Extension<Caller>,
    Json(node): Json<NodeInfo>,
) -> Result<Json<AnnounceAnswer>, Refused> {
    is_node(&caller)?;
    same("node id", node_id.as_str(), &caller.node_id)?;
    same("node id", node.node_id.as_str(), &caller.node_id)?;
    same("role", node.role.name(), &caller.role)?;
    same("environment", &node.environment, &caller.environment)?;
    if node.state == NodeState::Invalid {
        return Err((StatusCode::BAD_REQUEST, "no node announces itself as invalid\n".to_owned()));
    }
    Ok(Json(listing.announce(node)))
}

#[derive(Deserialize)]
struct Withdrawal {
    incarnation: Incarnation,
}

async fn withdraw(
    State(listing): State<Arc<Listing>>,
    Path(node_id): Path<NodeId>,
    Query(Withdrawal { incarnation }): Query<Withdrawal>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<()>, Refused> {
    is_node(&caller)?;
    same("node id", node_id.as_str(), &caller.node_id)?;
    listing.withdraw(&node_id, incarnation);
    Ok(Json(()))
}

/// An operator's tool sees the nodes, and speaks for none.
fn is_node(caller: &Caller) -> Result<(), Refused> {
    if caller.role != Role::Operator.name() {
        return Ok(());
    }
    let text = "an operator is no node: nothing is announced and nothing withdrawn\n".to_owned();
    Err((StatusCode::FORBIDDEN, text))
}

/// A node speaks for itself alone.
fn same(what: &str, announced: &str, proven: &str) -> Result<(), Refused> {
    if announced == proven {
        return Ok(());
    }
    let text = format!("announced {what} '{announced}', but the caller proved to be '{proven}'\n");
    Err((StatusCode::FORBIDDEN, text))
}

#[derive(Deserialize)]
struct Watch {
    discovery: Option<Incarnation>,
    version: Option<u64>,
    #[serde(default)]
    max_wait_ms: u64,
}

async fn nodes(
    State(listing): State<Arc<Listing>>,
    Query(Watch { discovery, version, max_wait_ms }): Query<Watch>,
) -> Json<ClusterView> {
    let wait = Duration::from_millis(max_wait_ms).min(LONGEST_WAIT);
    Json(listing.view_other_than(discovery.zip(version), wait).await)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(3);

    fn listing() -> Arc<Listing> {
        let own = NodeInfo {
            node_id: "d1".parse().unwrap(),
            incarnation: Incarnation::random(),
            build: "1".to_owned(),
            environment: "test".to_owned(),
            role: Role::Discovery,
            host: "127.0.0.1".to_owned(),
            internal_port: 1,
            http_port: 2,
            started_ms: 1,
            state: NodeState::Active,
            memory_bytes: 0,
            task_slots: 0,
        };
        Arc::new(Listing::new(Lifecycle::new(own), LEASE, CancellationToken::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn watch_is_held_until_something_changes() {
        let listing = listing();
        let ticking = listing.clone();
        let ticks = tokio::spawn(async move { ticking.tick().await });
        let first = listing.view_other_than(None, Duration::from_secs(1)).await;
        let start = Instant::now();
        let seen = Some((first.discovery, first.version));
        let same = listing.view_other_than(seen, Duration::from_secs(1)).await;
        assert_eq!((same.version, start.elapsed()), (first.version, Duration::from_secs(1)));

        // Nothing else happens until warming ends.
        let next = listing.view_other_than(seen, Duration::from_secs(30)).await;
        assert!(!next.warming && next.version > first.version);
        assert_eq!(start.elapsed().as_secs(), 3);

        let seen = Some((Incarnation::random(), next.version));
        let other = listing.view_other_than(seen, Duration::from_secs(30)).await;
        assert_eq!(other, next, "the versions of another life mean nothing");
        listing.shutdown.cancel();
        ticks.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_answers_watches_at_once() {
        let listing = listing();
        let seen = Some((listing.view().discovery, listing.view().version));
        let watching = listing.clone();
        let watch = tokio::spawn(async move { watching.view_other_than(seen, LONGEST_WAIT).await });
        tokio::task::yield_now().await;
        let start = Instant::now();
        listing.shutdown.cancel();
        watch.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
