//! Two nodes over real sockets: what gets through, and how everything else fails.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use internal_auth::{Caller, CertificateThumbprint};
use internal_tls::HandshakeError;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use waterbear_ids::Incarnation;
use waterbear_outbound::{
    Channel, InternalClient, NodeSecurity, OutboundError, Peer, SecurityOptions,
};
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};

const SECRET: &[u8] = b"the secret of the cluster under test: long enough";
const SECOND: Duration = Duration::from_secs(1);

fn options(role: Role, id: &str) -> SecurityOptions {
    SecurityOptions {
        secret: SECRET.to_vec(),
        environment: "test".into(),
        role,
        node_id: id.parse().unwrap(),
        names: vec!["127.0.0.1".into(), "localhost".into()],
        tls: true,
        leaf_lifetime: Duration::from_secs(3600),
        http2: true,
    }
}

fn node(options: SecurityOptions) -> NodeSecurity {
    NodeSecurity::new(options).unwrap()
}

fn coordinator() -> NodeSecurity {
    node(options(Role::Coordinator, "c"))
}

/// A listening node.
struct Listening {
    info: NodeInfo,
    refusals: Arc<Mutex<Vec<HandshakeError>>>,
    connections: Arc<AtomicUsize>,
    thumbprints: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Listening {
    fn peer(&self) -> Peer {
        Peer::Node(self.info.clone())
    }

    /// What it said of the peer that it refused last.
    async fn refusal(&self) -> String {
        for _ in 0..100 {
            if let Some(refusal) = self.refusals.lock().unwrap().last() {
                return refusal.to_string();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nothing was refused")
    }
}

/// Serves the test's routes as a node of these options; coordinators may call.
async fn listening(options: SecurityOptions) -> Listening {
    let renewed = options.leaf_lifetime < Duration::from_secs(60);
    let security = node(options.clone());
    if renewed {
        drop(security.start_renewal(CancellationToken::new()));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let info = NodeInfo {
        node_id: options.node_id,
        incarnation: Incarnation::random(),
        build: "test".into(),
        environment: options.environment,
        role: options.role,
        host: "127.0.0.1".into(),
        internal_port: listener.local_addr().unwrap().port(),
        http_port: 0,
        started_ms: 0,
        state: NodeState::Active,
        memory_bytes: 0,
        task_slots: 0,
    };
    let node = Listening {
        info,
        refusals: Arc::default(),
        connections: Arc::default(),
        thumbprints: Arc::default(),
    };
    let refusals = node.refusals.clone();
    let (connections, thumbprints) = (node.connections.clone(), node.thumbprints.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            connections.fetch_add(1, Ordering::Relaxed);
            let (security, refusals) = (security.clone(), refusals.clone());
            let thumbprints = thumbprints.clone();
            tokio::spawn(async move {
                let Some(acceptor) = security.acceptor() else {
                    return serve(stream, None, &security, None).await;
                };
                match acceptor.accept(stream).await {
                    Ok((stream, peer)) => {
                        thumbprints.lock().unwrap().insert(peer.thumbprint);
                        let thumbprint = Some(CertificateThumbprint(peer.thumbprint));
                        serve(stream, thumbprint, &security, Some(peer.not_after)).await;
                    }
                    Err(refusal) => refusals.lock().unwrap().push(refusal),
                }
            });
        }
    });
    node
}

fn routes() -> Router {
    async fn caller(Extension(caller): Extension<Caller>) -> axum::Json<String> {
        axum::Json(format!("{}/{}/{}", caller.environment, caller.role, caller.node_id))
    }
    Router::new()
        .route("/caller", get(caller))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/slow", get(|| tokio::time::sleep(Duration::from_secs(60))))
        .route("/short", get(|| tokio::time::sleep(Duration::from_millis(30))))
        .route("/text", get(|| async { "not json" }))
        .route("/fail", get(|| async { (StatusCode::CONFLICT, "the reason") }))
}

/// As the real server: the connection ends, gracefully, when a certificate ends.
async fn serve<S>(
    stream: S,
    thumbprint: Option<CertificateThumbprint>,
    security: &NodeSecurity,
    ends: Option<SystemTime>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let require = security.require(&[Role::Coordinator]);
    let service = ServiceBuilder::new()
        .map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().extend(
                thumbprint
                    .map(|t| {
                        let mut extensions = http::Extensions::new();
                        extensions.insert(t);
                        extensions
                    })
                    .unwrap_or_default(),
            );
            request
        })
        .layer(require)
        .service(routes());
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let left = ends.map_or(Duration::from_secs(3600), |ends| {
        ends.duration_since(SystemTime::now()).unwrap_or_default()
    });
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(left) => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(SECOND, connection).await;
}

async fn ask(client: &InternalClient, peer: &Peer, path: &str) -> Result<String, OutboundError> {
    client.json(peer, Method::GET, path, HeaderMap::new(), None::<&()>, 5 * SECOND).await
}

async fn ask_once(security: &NodeSecurity, peer: &Peer) -> Result<String, OutboundError> {
    ask(&security.client(Channel::Control), peer, "/caller").await
}

/// The refusal of a request, which must be one of TLS; asked by HTTP/2 and by HTTP/1.1.
async fn tls_refusals(mut options: SecurityOptions, peer: &Peer) -> Vec<String> {
    let mut texts = Vec::new();
    for http2 in [true, false] {
        options.http2 = http2;
        let error = ask_once(&node(options.clone()), peer).await.unwrap_err();
        assert!(matches!(error, OutboundError::Tls { .. }), "http2 {http2}: {error:?}");
        assert!(error.is_refused_identity() && !error.is_gone());
        texts.push(error.to_string());
    }
    texts
}

#[tokio::test]
async fn signed_request_of_a_node_is_answered() {
    for (tls, http2) in [(true, true), (true, false), (false, true), (false, false)] {
        let worker = listening(SecurityOptions { tls, ..options(Role::Worker, "w") }).await;
        let security = node(SecurityOptions { tls, http2, ..options(Role::Coordinator, "c") });
        for channel in [Channel::Control, Channel::Exchange] {
            let client = security.client(channel);
            let caller = ask(&client, &worker.peer(), "/caller").await.unwrap();
            assert_eq!(caller, "test/coordinator/c", "tls {tls} http2 {http2}");
            let body = Bytes::from(vec![b'x'; 3 << 20]);
            let response = client
                .send(
                    &worker.peer(),
                    Method::POST,
                    "/echo",
                    HeaderMap::new(),
                    body.clone(),
                    9 * SECOND,
                )
                .await;
            // axum's default body limit is 2 MiB: what counts is that a response comes.
            assert_eq!(response.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
            let body = body.slice(..1 << 20);
            let response = client
                .send(
                    &worker.peer(),
                    Method::POST,
                    "/echo",
                    HeaderMap::new(),
                    body.clone(),
                    9 * SECOND,
                )
                .await;
            assert_eq!(response.unwrap().into_body().collect().await.unwrap().to_bytes(), body);
        }
    }
}

#[tokio::test]
async fn channels_have_connections_of_their_own_and_keep_them() {
    let worker = listening(options(Role::Worker, "w")).await;
    let security = coordinator();
    for channel in [Channel::Control, Channel::Exchange] {
        let asked = (0..20).map(|_| {
            let (client, peer) = (security.client(channel), worker.peer());
            tokio::spawn(async move { ask(&client, &peer, "/caller").await })
        });
        for answer in futures::future::join_all(asked).await {
            answer.unwrap().unwrap();
        }
    }
    assert_eq!(worker.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn discovery_is_dialled_by_address_and_must_be_one() {
    let discovery = listening(options(Role::Discovery, "d")).await;
    let worker = listening(options(Role::Worker, "w")).await;
    let at = |host: &str, port, https| Peer::Discovery { host: host.into(), port, https };
    let port = discovery.info.internal_port;
    for host in ["127.0.0.1", "localhost"] {
        let caller = ask_once(&coordinator(), &at(host, port, true)).await.unwrap();
        assert_eq!(caller, "test/coordinator/c");
    }
    let impostor = at("127.0.0.1", worker.info.internal_port, true);
    let error = ask_once(&coordinator(), &impostor).await.unwrap_err().to_string();
    assert!(error.contains("a worker answers at this address, expected a discovery"), "{error}");
    let insecure = ask_once(&coordinator(), &at("127.0.0.1", port, false)).await.unwrap_err();
    assert!(matches!(insecure, OutboundError::Insecure { .. }), "{insecure}");
}

#[tokio::test]
async fn another_secret_is_named_on_both_sides() {
    let worker = listening(options(Role::Worker, "w")).await;
    let mut other = options(Role::Coordinator, "c");
    other.secret = b"another secret, just as long as the first one".to_vec();
    for text in tls_refusals(other, &worker.peer()).await {
        assert!(text.contains("internal-communication.shared-secret"), "{text}");
        assert!(text.contains("worker w (127.0.0.1:"), "{text}");
    }
    let refusal = worker.refusal().await;
    assert!(refusal.contains("internal-communication.shared-secret"), "{refusal}");
}

#[tokio::test]
async fn another_secret_without_tls_is_named_in_the_401() {
    let worker = listening(SecurityOptions { tls: false, ..options(Role::Worker, "w") }).await;
    let secret = b"another secret, just as long as the first one".to_vec();
    let other = node(SecurityOptions { secret, tls: false, ..options(Role::Coordinator, "c") });
    let error = ask_once(&other, &worker.peer()).await.unwrap_err();
    assert!(error.is_refused_identity());
    assert!(error.to_string().contains("internal-communication.shared-secret"), "{error}");
}

#[tokio::test]
async fn another_environment_is_refused() {
    let worker = listening(options(Role::Worker, "w")).await;
    let other = SecurityOptions { environment: "prod".into(), ..options(Role::Coordinator, "c") };
    // It knows the node as one of its own environment, or has the announcement of another.
    for text in tls_refusals(other, &worker.peer()).await {
        assert!(text.contains("environment 'test', this node to 'prod'"), "{text}");
    }
    let refusal = worker.refusal().await;
    assert!(refusal.contains("environment 'prod', this node to 'test'"), "{refusal}");
}

#[tokio::test]
async fn another_role_is_refused() {
    let worker = listening(options(Role::Worker, "w")).await;
    let operator = node(options(Role::Operator, "o"));
    match ask_once(&operator, &worker.peer()).await {
        Err(OutboundError::Status { status: StatusCode::UNAUTHORIZED, body, .. }) => {
            assert!(body.contains("a operator may not call this"), "{body}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_node_at_the_announced_address_is_refused() {
    let (a, b) =
        (listening(options(Role::Worker, "a")).await, listening(options(Role::Worker, "b")).await);
    let mut moved = a.info.clone();
    moved.internal_port = b.info.internal_port;
    for text in tls_refusals(options(Role::Coordinator, "c"), &Peer::Node(moved)).await {
        assert!(text.contains("another node answers at this address"), "{text}");
    }
    // One that answers where it should goes on being reached.
    ask_once(&coordinator(), &a.peer()).await.unwrap();
}

#[tokio::test]
async fn refusal_after_the_handshake_is_told_with_its_cause() {
    let worker = listening(options(Role::Worker, "w")).await;
    for http2 in [true, false] {
        let lifetime = Duration::from_secs(1);
        let expired = node(SecurityOptions {
            leaf_lifetime: lifetime,
            http2,
            ..options(Role::Coordinator, "c")
        });
        tokio::time::sleep(lifetime + SECOND).await;
        // Several at once: each must hear it.
        let peer = worker.peer();
        let asked = (0..8).map(|_| ask_once(&expired, &peer));
        for answer in futures::future::join_all(asked.collect::<Vec<_>>()).await {
            let error = answer.unwrap_err();
            assert!(matches!(error, OutboundError::Tls { .. }), "http2 {http2}: {error:?}");
            assert!(error.to_string().contains("compare the clocks"), "{error}");
        }
        assert!(worker.refusal().await.contains("not valid at this time"));
    }
}

#[tokio::test]
async fn http_and_https_do_not_meet() {
    let plain = listening(SecurityOptions { tls: false, ..options(Role::Worker, "w") }).await;
    for text in tls_refusals(options(Role::Coordinator, "c"), &plain.peer()).await {
        assert!(text.contains("does not speak TLS"), "{text}");
    }
    let secure = listening(options(Role::Worker, "w")).await;
    for http2 in [true, false] {
        let client = node(SecurityOptions { tls: false, http2, ..options(Role::Coordinator, "c") });
        let error = ask_once(&client, &secure.peer()).await.unwrap_err();
        assert!(matches!(error, OutboundError::Reset { .. }), "{error:?}");
    }
    assert!(secure.refusal().await.contains("does not speak TLS"));
}

#[tokio::test]
async fn port_where_nothing_listens_is_gone() {
    let mut info = listening(options(Role::Worker, "w")).await.info;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    info.internal_port = free.local_addr().unwrap().port();
    drop(free);
    let error = ask_once(&coordinator(), &Peer::Node(info.clone())).await.unwrap_err();
    assert!(error.is_gone(), "{error:?}");
    info.host = "no-such-host.invalid".into();
    let error = ask_once(&coordinator(), &Peer::Node(info)).await.unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn slow_silent_and_broken_peers_are_told_apart() {
    let worker = listening(options(Role::Worker, "w")).await;
    let client = coordinator().client(Channel::Control);
    let send = async |info: &NodeInfo, path: &str, within| {
        let peer = Peer::Node(info.clone());
        client.send(&peer, Method::GET, path, HeaderMap::new(), Bytes::new(), within).await
    };
    let begun = Instant::now();
    let error = send(&worker.info, "/slow", SECOND / 5).await.unwrap_err();
    assert!(
        matches!(error, OutboundError::Timeout { after, .. } if after == SECOND / 5),
        "{error:?}"
    );
    assert!(begun.elapsed() < 2 * SECOND);

    // Accepts and says nothing; accepts and closes.
    for (closes, info) in [(false, worker.info.clone()), (true, worker.info.clone())] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let info = NodeInfo { internal_port: listener.local_addr().unwrap().port(), ..info };
        let held = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            if closes {
                stream.shutdown().await.unwrap();
                return;
            }
            tokio::time::sleep(60 * SECOND).await;
        });
        let error = send(&info, "/caller", SECOND).await.unwrap_err();
        match (closes, &error) {
            (false, OutboundError::Timeout { .. }) | (true, OutboundError::Reset { .. }) => {}
            _ => panic!("closes {closes}: {error:?}"),
        }
        held.abort();
    }
}

#[tokio::test]
async fn answers_that_are_no_answer_are_told_apart() {
    let worker = listening(options(Role::Worker, "w")).await;
    let client = coordinator().client(Channel::Control);
    let error = ask(&client, &worker.peer(), "/text").await.unwrap_err();
    assert!(matches!(error, OutboundError::Decode { .. }), "{error:?}");
    match ask(&client, &worker.peer(), "/fail").await {
        Err(OutboundError::Status { status, body, .. }) => {
            assert_eq!((status, body.as_str()), (StatusCode::CONFLICT, "the reason"));
        }
        other => panic!("{other:?}"),
    }
    let nothing: Result<(), _> = client
        .json(&worker.peer(), Method::GET, "/short", HeaderMap::new(), None::<&()>, SECOND)
        .await;
    nothing.unwrap();
}

/// Certificates of three seconds, on both sides, under load.
async fn renewal_under_load(http2: bool) {
    let lifetime = 3 * SECOND;
    let worker =
        listening(SecurityOptions { leaf_lifetime: lifetime, ..options(Role::Worker, "w") }).await;
    let security =
        node(SecurityOptions { leaf_lifetime: lifetime, http2, ..options(Role::Coordinator, "c") });
    let shutdown = CancellationToken::new();
    let renewal = security.start_renewal(shutdown.clone());
    let ends = Instant::now() + 11 * SECOND;
    let callers = (0..16).map(|number| {
        let (security, peer) = (security.clone(), worker.peer());
        tokio::spawn(async move {
            let channel = if number % 2 == 0 { Channel::Control } else { Channel::Exchange };
            let client = security.client(channel);
            let mut answered = 0_u32;
            while Instant::now() < ends {
                // Some requests are under way while certificates change.
                let path = if number < 4 { "/short" } else { "/caller" };
                let response = client
                    .send(&peer, Method::GET, path, HeaderMap::new(), Bytes::new(), 5 * SECOND)
                    .await
                    .unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                response.into_body().collect().await.unwrap();
                answered += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            answered
        })
    });
    for answered in futures::future::join_all(callers.collect::<Vec<_>>()).await {
        assert!(answered.unwrap() > 50);
    }
    shutdown.cancel();
    renewal.await.unwrap();
    let certificates = worker.thumbprints.lock().unwrap().len();
    assert!(certificates >= 4, "only {certificates} certificates in 11 s of 3 s lives");
    assert!(worker.refusals.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewal_under_load_drops_no_request() {
    tokio::join!(renewal_under_load(true), renewal_under_load(false));
}

#[test]
fn short_secret_is_refused() {
    let short = SecurityOptions { secret: vec![b'x'; 31], ..options(Role::Worker, "w") };
    let error = NodeSecurity::new(short).unwrap_err().to_string();
    assert!(error.contains("internal-communication.shared-secret"), "{error}");
}

#[test]
fn secret_is_never_printed() {
    let security = coordinator();
    let printed = format!("{security:?} {:?}", security.client(Channel::Control));
    assert!(!printed.contains("116, 104, 101") && !printed.contains("the secret"), "{printed}");
}
