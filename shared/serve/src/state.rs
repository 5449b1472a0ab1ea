//! `/v1/info/state`: what a node's state is, and who may change it.
//!
//! An operator does so over the internal listener, where he proves who he is. The HTTP port knows
//! nobody, so there only somebody on the same machine may; that is the one write on that port.

use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::{HeaderMap, StatusCode, Uri, header};
use internal_auth::Caller;
use tower::ServiceExt;
use waterbear_protocol::membership::{NodeState, Role};

use crate::connection::PeerAddress;
use crate::lifecycle::{Lifecycle, Refused};

const PATH: &str = "/v1/info/state";

/// The route for an internal listener: operators alone. The stack around it must say who calls
/// ([`Caller`]).
pub fn internal(lifecycle: Lifecycle) -> Router {
    Router::new().route(PATH, get(shown).put(change_by_operator)).with_state(lifecycle)
}

/// The route for the HTTP port: everybody may read; the state is changed from this machine alone.
/// Where the HTTP port is the internal listener too, `operators` are those who may, too: the stack
/// around [`internal`].
pub(crate) fn public(lifecycle: Lifecycle, operators: Option<Router>) -> Router {
    let change = move |State(lifecycle): State<Lifecycle>, request: Request| async move {
        match (check_local(&request), operators) {
            (Ok(()), _) => change(&lifecycle, "a process on this machine", request).await,
            (Err(_), Some(operators)) => operators.oneshot(request).await.into_response(),
            (Err(text), None) => (StatusCode::FORBIDDEN, text).into_response(),
        }
    };
    Router::new().route(PATH, get(shown).put(change)).with_state(lifecycle)
}

async fn shown(State(lifecycle): State<Lifecycle>) -> Json<NodeState> {
    Json(lifecycle.state())
}

async fn change_by_operator(
    State(lifecycle): State<Lifecycle>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    if caller.role != Role::Operator.name() {
        let text = format!("a {} does not change the state of a node", caller.role);
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    change(&lifecycle, &format!("operator {}", caller.node_id), request).await
}

async fn change(lifecycle: &Lifecycle, who: &str, request: Request<Body>) -> Response {
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(refused) => return refused.into_response(),
    };
    let Ok(wanted) = serde_json::from_slice::<NodeState>(&body) else {
        let text = "the body is none of \"ACTIVE\", \"DRAINING\", \"SHUTTING_DOWN\" (a JSON text)";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    tracing::info!(%who, %wanted, "asked to change the state");
    match lifecycle.change(wanted) {
        Ok(state) => Json(state).into_response(),
        Err(refused @ Refused::NotToBeAsked(_)) => {
            (StatusCode::BAD_REQUEST, refused.to_string()).into_response()
        }
        Err(refused) => (StatusCode::CONFLICT, refused.to_string()).into_response(),
    }
}

/// Whether a request was made on this machine, for this machine: not sent on by a proxy, nor by a
/// browser that was told that somebody else's name is this address.
fn check_local(request: &Request) -> Result<(), &'static str> {
    let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0.ip());
    if !peer.is_some_and(is_loopback) {
        return Err("the state is changed on this port from the node's own machine alone: use \
                    'waterbear drain' or 'waterbear shutdown', or ask on that machine");
    }
    let headers = request.headers();
    let is_of_proxy = |name: &http::HeaderName| {
        let name = name.as_str();
        name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "via" | "x-real-ip")
    };
    if headers.keys().any(is_of_proxy) {
        return Err("the state is not changed through a proxy");
    }
    if !host(request.uri(), headers).is_some_and(is_local_name) {
        return Err("the state is changed at localhost or 127.0.0.1, not under another name");
    }
    Ok(())
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whom the request is addressed to, without the port.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(host) = uri.host() {
        return Some(host);
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    match host.rfind(':') {
        // Not one of the colons of an IPv6 address.
        Some(colon) if !host[colon..].contains(']') => Some(&host[..colon]),
        _ => Some(host),
    }
}

fn is_local_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::lifecycle::tests::node;

    fn put(peer: &str, host: &str, body: &'static str) -> Request {
        let mut request = Request::put(PATH).header("host", host).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(PeerAddress((peer.parse::<IpAddr>().unwrap(), 9).into()));
        request
    }

    async fn ask(router: &Router, request: Request) -> (u16, String) {
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn worker() -> (Lifecycle, Router) {
        let lifecycle = Lifecycle::new(node(Role::Worker));
        let router = public(lifecycle.clone(), None);
        (lifecycle, router)
    }

    #[tokio::test]
    async fn the_own_machine_changes_the_state_as_with_trino() {
        let (lifecycle, router) = worker();
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"] {
            let drained = (200, "\"DRAINED\"".to_owned());
            assert_eq!(ask(&router, put("127.0.0.1", host, "\"DRAINING\"")).await, drained);
            let active = (200, "\"ACTIVE\"".to_owned());
            assert_eq!(ask(&router, put("::ffff:127.0.0.1", host, "\"ACTIVE\"")).await, active);
        }
        let get = Request::get(PATH).body(Body::empty()).unwrap();
        assert_eq!(ask(&router, get).await, (200, "\"ACTIVE\"".to_owned()));
        let (status, _) = ask(&router, put("::1", "localhost", "\"SHUTTING_DOWN\"")).await;
        assert_eq!((status, lifecycle.state()), (200, NodeState::ShuttingDown));
    }

    #[tokio::test]
    async fn nobody_else_changes_it_on_the_http_port() {
        let (lifecycle, router) = worker();
        let drain = "\"DRAINING\"";
        let mut cases = vec![
            (put("10.0.0.7", "localhost", drain), "own machine"),
            (put("::ffff:10.0.0.7", "localhost", drain), "own machine"),
            (put("127.0.0.1", "rebound.example:8080", drain), "another name"),
            (put("127.0.0.1", "localhost.example", drain), "another name"),
        ];
        for name in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
            let mut request = put("127.0.0.1", "localhost", drain);
            request.headers_mut().insert(name, "10.0.0.7".parse().unwrap());
            cases.push((request, "proxy"));
        }
        let mut unknown = put("127.0.0.1", "localhost", drain);
        unknown.extensions_mut().clear();
        cases.push((unknown, "own machine"));
        for (request, text) in cases {
            let (status, body) = ask(&router, request).await;
            assert_eq!(status, 403, "{body}");
            assert!(body.contains(text), "{body}");
        }
        assert_eq!(lifecycle.state(), NodeState::Active);
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_its_reason() {
        let (lifecycle, router) = worker();
        for body in ["", "DRAINING", "\"GONE\"", "{}", "\"draining\""] {
            let (status, text) = ask(&router, put("127.0.0.1", "localhost", body)).await;
            assert_eq!(status, 400, "{body}");
            assert!(text.contains("SHUTTING_DOWN"), "{text}");
        }
        let (status, text) = ask(&router, put("127.0.0.1", "localhost", "\"DRAINED\"")).await;
        assert_eq!(status, 400, "{text}");
        lifecycle.change(NodeState::ShuttingDown).unwrap();
        let (status, text) = ask(&router, put("127.0.0.1", "localhost", "\"ACTIVE\"")).await;
        assert_eq!(status, 409);
        assert_eq!(text, "the node is SHUTTING_DOWN, and cannot become ACTIVE any more");
        let coordinator = public(Lifecycle::new(node(Role::Coordinator)), None);
        let drain = put("127.0.0.1", "localhost", "\"DRAINING\"");
        let (status, text) = ask(&coordinator, drain).await;
        assert_eq!(status, 409);
        assert!(text.contains("only workers"), "{text}");
    }

    #[tokio::test]
    async fn on_the_internal_listener_operators_alone_change_it() {
        let lifecycle = Lifecycle::new(node(Role::Worker));
        let router = internal(lifecycle.clone());
        let by = |role: &str| {
            let mut request = put("10.0.0.7", "n1.worker.node.waterbear", "\"DRAINING\"");
            let caller = Caller {
                environment: "test".to_owned(),
                role: role.to_owned(),
                node_id: "x".to_owned(),
            };
            request.extensions_mut().insert(caller);
            request
        };
        for role in ["coordinator", "worker", "discovery"] {
            assert_eq!(ask(&router, by(role)).await.0, 403);
        }
        assert_eq!(lifecycle.state(), NodeState::Active);
        assert_eq!(ask(&router, by("operator")).await.0, 200);
        assert_eq!(lifecycle.state(), NodeState::Drained);
    }

    /// Where both are one port, who is not of this machine must prove who he is.
    #[tokio::test]
    async fn without_tls_operators_come_to_the_http_port() {
        let lifecycle = Lifecycle::new(node(Role::Worker));
        let operators = Router::new().fallback(|| async { (StatusCode::UNAUTHORIZED, "token?") });
        let router = public(lifecycle.clone(), Some(operators));
        let (status, text) = ask(&router, put("10.0.0.7", "n1", "\"DRAINING\"")).await;
        assert_eq!((status, text.as_str()), (401, "token?"));
        let (status, _) = ask(&router, put("127.0.0.1", "localhost", "\"DRAINING\"")).await;
        assert_eq!((status, lifecycle.state()), (200, NodeState::Drained));
    }
}
