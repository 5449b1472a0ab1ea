//! Requests to peers.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Client, connect::CaptureConnection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use internal_auth::{Audience, TIME_HEADER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::connect::{Facts, PeerConnector};
use crate::error::{OutboundError, chain};
use crate::peer::Peer;
use crate::security::NodeSecurity;
use crate::stack::{HeadWithin, PeerLabel};

/// The longest JSON answer that is read.
const LONGEST_JSON: usize = 64 * 1024 * 1024;
/// How much of an error's body is kept.
const LONGEST_ERROR: usize = 4096;
/// A clock difference below this is not worth a word.
const NOTABLE_SKEW_SECONDS: i64 = 5;

/// Kinds of requests that must not wait for each other: each has connections of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Announcements, tasks, statuses: small and urgent.
    Control,
    /// Pages of results between workers: large.
    Exchange,
}

/// Calls peers in this node's name. Clones share connections.
#[derive(Debug, Clone)]
pub struct InternalClient {
    security: NodeSecurity,
    channel: Channel,
}

impl InternalClient {
    pub(crate) fn new(security: NodeSecurity, channel: Channel) -> Self {
        Self { security, channel }
    }

    /// Sends one request, signed for the peer. `within` bounds the time to the response's head;
    /// reading the body is the caller's. Any status is a response.
    ///
    /// # Errors
    /// Fails when no response came; see [`OutboundError`].
    pub async fn send(
        &self,
        peer: &Peer,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<Response<Incoming>, OutboundError> {
        let options = self.security.options();
        let target = peer.target(path_and_query, options.tls)?;
        if let Some((name, host)) = target.resolved {
            self.security.addresses().note(name, host);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.uri;
        *request.headers_mut() = headers;
        let label: Arc<str> = peer.label().into();
        let extensions = request.extensions_mut();
        extensions.insert(PeerLabel(label.clone()));
        extensions.insert(HeadWithin(within));
        extensions.insert(Audience {
            environment: options.environment.clone(),
            role: target.role.name().to_owned(),
        });
        let connection = capture_connection(&mut request);
        // One epoch for the token and for the connection.
        let stack = self.security.epoch().stack(self.channel);
        let response = stack.oneshot(request).await;
        let response = response.map_err(|error| OutboundError::of(&label, &error))?;
        retire_old_connection(&connection, &response);
        Ok(response)
    }

    /// Sends JSON, or nothing, and reads JSON of at most 64 MiB; an empty answer reads as `null`.
    /// `within` bounds the time to the head, and once more the time from there to the end.
    ///
    /// # Errors
    /// As [`InternalClient::send`]; a status that is no success is an error here.
    pub async fn json<Q, R>(
        &self,
        peer: &Peer,
        method: Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Option<&Q>,
        within: Duration,
    ) -> Result<R, OutboundError>
    where
        Q: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let json = HeaderValue::from_static("application/json");
        let body = match body {
            None => Bytes::new(),
            Some(body) => {
                headers.insert(header::CONTENT_TYPE, json.clone());
                serde_json::to_vec(body).map_err(|error| decode(peer, error.to_string()))?.into()
            }
        };
        headers.insert(header::ACCEPT, json);
        let response = self.send(peer, method, path_and_query, headers, body, within).await?;
        let (head, body) = response.into_parts();
        let late = |_| OutboundError::Timeout { peer: peer.label(), after: within };
        if !head.status.is_success() {
            let text = timeout(within, begin_of(body)).await.map_err(late)?;
            return Err(status_error(peer, head.status, &head.headers, text));
        }
        let body =
            timeout(within, Limited::new(body, LONGEST_JSON).collect()).await.map_err(late)?;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return decode(peer, format!("the answer is longer than {LONGEST_JSON} bytes"));
            }
            OutboundError::Reset { peer: peer.label(), reason: chain(error.as_ref()) }
        })?;
        let bytes = body.to_bytes();
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| decode(peer, error.to_string()))
    }
}

fn decode(peer: &Peer, reason: String) -> OutboundError {
    OutboundError::Decode { peer: peer.label(), reason }
}

/// Takes a connection whose certificates end soon out of the pool; what is under way on it ends.
fn retire_old_connection(connection: &CaptureConnection, response: &Response<Incoming>) {
    if response.extensions().get::<Facts>().is_some_and(Facts::is_retired)
        && let Some(connection) = connection.connection_metadata().as_ref()
    {
        connection.poison();
    }
}

/// The first bytes of a body, as far as they come.
async fn begin_of(mut body: Incoming) -> String {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() >= LONGEST_ERROR {
            bytes.truncate(LONGEST_ERROR);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

fn status_error(
    peer: &Peer,
    status: StatusCode,
    headers: &HeaderMap,
    mut body: String,
) -> OutboundError {
    let theirs = headers.get(TIME_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(theirs) = theirs {
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        if let Some(words) = skew(i64::try_from(ours).unwrap_or(i64::MAX), theirs) {
            body.push_str(&format!(" ({words})"));
        }
    }
    OutboundError::Status { peer: peer.label(), status, body }
}

/// The difference of two clocks, in milliseconds since the epoch, in words; none if it is small.
fn skew(ours: i64, theirs: i64) -> Option<String> {
    let seconds = theirs.saturating_sub(ours) / 1000;
    (seconds.abs() >= NOTABLE_SKEW_SECONDS).then(|| {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        format!("its clock is {} s {side} this node's", seconds.abs())
    })
}

/// The HTTP client of one channel and one epoch.
pub(crate) fn http_client(
    connector: PeerConnector,
    http2: bool,
) -> Client<PeerConnector, Full<Bytes>> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        // Below any listener's own idle limit, so that a connection is not reused while it closes.
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(64);
    if http2 {
        builder
            // One connection for each peer, even when many requests begin at once.
            .http2_only(true)
            // A page is up to 1 MiB and many streams share the connection: windows of the
            // default 64 KiB would cost a round trip each.
            .http2_initial_stream_window_size(4 * 1024 * 1024)
            .http2_initial_connection_window_size(32 * 1024 * 1024)
            .http2_max_frame_size(1024 * 1024)
            // Finds a connection whose network is gone, while requests wait on it.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(20));
    }
    builder.build(connector)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn clock_difference_is_told_with_its_side() {
        assert_eq!(skew(1_000_000, 1_004_000), None);
        assert_eq!(skew(0, 3_600_000).unwrap(), "its clock is 3600 s ahead of this node's");
        assert_eq!(skew(60_000, 0).unwrap(), "its clock is 60 s behind this node's");
        assert!(skew(i64::MIN, i64::MAX).is_some());
    }
}
