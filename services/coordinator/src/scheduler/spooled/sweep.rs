//! Deletes what queries leave in the spool: at their end, and after a coordinator's death.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use waterbear_ids::QueryId;
use waterbear_membership::Membership;
use waterbear_protocol::membership::Role;
use waterbear_spool::Spool;

/// How often the spool is looked through.
const EVERY: Duration = Duration::from_secs(20);

/// Deletes everything of a query; what cannot be deleted now is left to the sweeper.
pub(super) async fn delete(spool: &Spool, query: &QueryId) {
    if let Err(error) = spool.delete_query(query).await {
        tracing::warn!(%query, %error, "spooled data stays for now");
    }
}

/// The queries that run here.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<BTreeSet<QueryId>>>);

impl Running {
    pub(super) fn add(&self, query: QueryId) {
        self.lock().insert(query);
    }

    pub(super) fn remove(&self, query: &QueryId) {
        self.lock().remove(query);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<QueryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks now and then for what is left of queries that do not run here: of coordinators that are
/// gone, or written by a worker that had stood still. It is deleted when it is there a second
/// time. A second coordinator of the same cluster has queries of its own: while there is one,
/// nothing is swept, and nothing before it is known who there is.
pub(super) fn start(io: &Handle, spool: Spool, membership: Membership, running: Running) {
    io.spawn(async move {
        let mut before: Vec<QueryId> = Vec::new();
        loop {
            let view = membership.view();
            let coordinators =
                view.nodes.iter().filter(|node| node.role == Role::Coordinator).count();
            let queries = match spool.queries().await {
                Ok(queries) if view.known && coordinators <= 1 => queries,
                Ok(_) => Vec::new(),
                Err(error) => {
                    tracing::warn!(%error, "the spool cannot be swept");
                    Vec::new()
                }
            };
            let left: Vec<_> =
                queries.into_iter().filter(|query| !running.lock().contains(query)).collect();
            for query in left.iter().filter(|query| before.contains(query)) {
                tracing::info!(%query, "sweeps what is left of a query");
                delete(&spool, query).await;
            }
            before = left;
            tokio::time::sleep(EVERY).await;
        }
    });
}
