//! Deletes what queries leave in the spool: at their end, and after a coordinator's death.

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

/// Looks now and then for queries of coordinators that are gone. A query is given time to end:
/// it is deleted when it is there a second time. A second coordinator of the same cluster has
/// queries of its own: while there is one, nothing is swept.
pub(super) fn start(io: &Handle, spool: Spool, membership: Membership, start_id: String) {
    io.spawn(async move {
        let mut before: Vec<QueryId> = Vec::new();
        loop {
            let view = membership.view();
            let coordinators =
                view.nodes.iter().filter(|node| node.role == Role::Coordinator).count();
            let queries = match spool.queries().await {
                Ok(queries) if coordinators <= 1 => queries,
                Ok(_) => Vec::new(),
                Err(error) => {
                    tracing::warn!(%error, "the spool cannot be swept");
                    Vec::new()
                }
            };
            let foreign = |query: &QueryId| !query.as_str().ends_with(&format!("_{start_id}"));
            let foreign: Vec<_> = queries.into_iter().filter(foreign).collect();
            for query in foreign.iter().filter(|query| before.contains(query)) {
                tracing::info!(%query, "sweeps what a coordinator that is gone has left");
                delete(&spool, query).await;
            }
            before = foreign;
            tokio::time::sleep(EVERY).await;
        }
    });
}
