//! What announcing and watching ask of a discovery:
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `PUT /v1/announce/{node_id}` | [`NodeInfo`] | 200 [`AnnounceAnswer`] |
//! | `DELETE /v1/announce/{node_id}?incarnation=I` | | 200 `null` |
//! | `GET /v1/nodes?discovery=I&version=V&max_wait_ms=M` | | 200 [`ClusterView`] other than version V of discovery I, or the current one after M |

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, Method};
use waterbear_ids::Incarnation;
use waterbear_outbound::{InternalClient, OutboundError, Peer};
use waterbear_protocol::membership::{AnnounceAnswer, ClusterView, NodeInfo};

/// How long a discovery may hold a watch.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Time for an answer that waits for nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Nobody waits for a withdrawal: the lease would end anyway.
const WITHDRAW_TIMEOUT: Duration = Duration::from_millis(500);

/// What a watcher has seen: a discovery's incarnation and the version of its view.
pub(crate) type Seen = Option<(Incarnation, u64)>;

/// The requests; a trait, so that the loops around them are tested without a network.
pub(crate) trait DiscoveryApi: Clone + Send + Sync + 'static {
    fn announce(
        &self,
        discovery: &Peer,
        node: &NodeInfo,
    ) -> impl Future<Output = Result<AnnounceAnswer, OutboundError>> + Send;

    fn withdraw(
        &self,
        discovery: &Peer,
        node: &NodeInfo,
    ) -> impl Future<Output = Result<(), OutboundError>> + Send;

    fn nodes(
        &self,
        discovery: &Peer,
        seen: Seen,
    ) -> impl Future<Output = Result<ClusterView, OutboundError>> + Send;
}

impl DiscoveryApi for InternalClient {
    async fn announce(
        &self,
        discovery: &Peer,
        node: &NodeInfo,
    ) -> Result<AnnounceAnswer, OutboundError> {
        let path = format!("/v1/announce/{}", node.node_id);
        let headers = HeaderMap::new();
        self.json(discovery, Method::PUT, &path, headers, Some(node), ANSWER_TIMEOUT).await
    }

    async fn withdraw(&self, discovery: &Peer, node: &NodeInfo) -> Result<(), OutboundError> {
        let path = format!("/v1/announce/{}?incarnation={}", node.node_id, node.incarnation);
        let (headers, body) = (HeaderMap::new(), None::<&()>);
        self.json(discovery, Method::DELETE, &path, headers, body, WITHDRAW_TIMEOUT).await
    }

    async fn nodes(&self, discovery: &Peer, seen: Seen) -> Result<ClusterView, OutboundError> {
        let path = match seen {
            None => "/v1/nodes".to_owned(),
            Some((incarnation, version)) => format!(
                "/v1/nodes?discovery={incarnation}&version={version}&max_wait_ms={}",
                MAX_WAIT.as_millis()
            ),
        };
        let (headers, body) = (HeaderMap::new(), None::<&()>);
        let timeout = MAX_WAIT + ANSWER_TIMEOUT;
        self.json(discovery, Method::GET, &path, headers, body, timeout).await
    }
}
