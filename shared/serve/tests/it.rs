//! Listeners and stacks over loopback.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use internal_auth::Caller;
use internal_tls::PeerIdentity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use waterbear_ids::Incarnation;
use waterbear_outbound::{Channel, NodeSecurity, OutboundError, Peer, SecurityOptions};
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};
use waterbear_serve::{PeerAddress, Server, bind, stacks};
use waterbear_telemetry::{ServiceMetrics, install_metrics};

fn metrics() -> ServiceMetrics {
    install_metrics();
    ServiceMetrics::new("worker", "w1")
}

fn security(role: Role, id: &str, leaf_lifetime: Duration) -> NodeSecurity {
    NodeSecurity::new(SecurityOptions {
        secret: b"0123456789abcdef0123456789abcdef".to_vec(),
        environment: "test".to_owned(),
        role,
        node_id: id.parse().unwrap(),
        names: vec!["127.0.0.1".to_owned()],
        tls: true,
        leaf_lifetime,
        http2: true,
    })
    .unwrap()
}

async fn answer(app: Router, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let (head, body) = app.oneshot(request).await.unwrap().into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

// --- stacks

#[tokio::test]
async fn panic_is_an_internal_error_without_its_text() {
    async fn boom() {
        panic!("the password is 1234")
    }
    let app = stacks::client(Router::new().route("/boom", get(boom)), &metrics(), 10, 100);
    let (status, _, body) = answer(app, get_request("/boom")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!String::from_utf8_lossy(&body).contains("1234"));
}

#[tokio::test]
async fn body_over_the_limit_is_refused_with_or_without_its_length() {
    let echo = Router::new().route("/", post(|body: Bytes| async { body }));
    let app = stacks::client(echo, &metrics(), 10, 100);
    let chunked = Body::from_stream(futures::stream::iter([
        Ok::<_, std::io::Error>(Bytes::from_static(&[0; 60])),
        Ok(Bytes::from_static(&[0; 60])),
    ]));
    for body in [Body::from(vec![0; 101]), chunked] {
        let mut request = Request::post("/").body(body).unwrap();
        let length = axum::body::HttpBody::size_hint(request.body()).exact();
        if let Some(length) = length {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        let (status, ..) = answer(app.clone(), request).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let request = Request::post("/").body(Body::from(vec![0; 100])).unwrap();
    assert_eq!(answer(app, request).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_too_much_is_shed_with_503_for_all_routes_together() {
    let release = Arc::new(Notify::new());
    let wait = release.clone();
    let routes = Router::new()
        .route("/slow", get(move || async move { wait.notified().await }))
        .route("/other", get(|| async {}));
    let app = stacks::client(routes, &metrics(), 1, 100);
    let slow = tokio::spawn(answer(app.clone(), get_request("/slow")));
    sleep(Duration::from_millis(50)).await;
    let (status, headers, _) = answer(app.clone(), get_request("/other")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers[header::RETRY_AFTER], "1");
    release.notify_one();
    assert_eq!(slow.await.unwrap().0, StatusCode::OK);
    assert_eq!(answer(app, get_request("/other")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn large_answers_are_compressed_for_clients_that_accept_it() {
    let routes = Router::new().route("/", get(|| async { "x".repeat(10_000) }));
    let app = stacks::client(routes, &metrics(), 10, 100);
    let (_, _, plain) = answer(app.clone(), get_request("/")).await;
    assert_eq!(plain.len(), 10_000);
    let request = Request::get("/").header(header::ACCEPT_ENCODING, "gzip").body(Body::empty());
    let (_, headers, body) = answer(app, request.unwrap()).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert!(body.len() < 1000);
}

#[tokio::test]
async fn requests_count_by_route_template_and_status() {
    let routes = Router::new().route("/v1/thing/{id}", get(|| async { StatusCode::NOT_FOUND }));
    let app = stacks::client(routes, &ServiceMetrics::new("coordinator", "counted"), 10, 100);
    answer(app.clone(), get_request("/v1/thing/7")).await;
    answer(app, get_request("/v1/invented/path")).await;
    let text = install_metrics().render();
    let labels = r#"role="coordinator",node="counted""#;
    for line in [
        format!(
            "waterbear_http_requests_total{{{labels},route=\"/v1/thing/{{id}}\",method=\"GET\",status=\"4xx\"}} 1"
        ),
        format!(
            "waterbear_http_requests_total{{{labels},route=\"other\",method=\"GET\",status=\"4xx\"}} 1"
        ),
    ] {
        assert!(text.contains(&line), "{line} not in {text}");
    }
}

#[tokio::test]
async fn internal_stacks_answer_401_before_they_look_at_the_body() {
    let read = Arc::new(AtomicBool::new(false));
    let seen = read.clone();
    let body = Body::from_stream(futures::stream::poll_fn(move |_| {
        seen.store(true, Ordering::Relaxed);
        std::task::Poll::Ready(None::<Result<Bytes, std::io::Error>>)
    }));
    let require = security(Role::Worker, "w1", Duration::from_secs(60)).require(&[Role::Worker]);
    let echo = Router::new().route("/", post(|body: Bytes| async { body }));
    let app = stacks::internal_control(echo, require.clone(), &metrics(), 100);
    let (status, headers, _) = answer(app, Request::post("/").body(body).unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers.contains_key(internal_auth::TIME_HEADER));
    assert!(!read.load(Ordering::Relaxed));

    let pages = Router::new().route("/", get(|| async { "page" }));
    let app = stacks::internal_data(pages, require, &metrics(), 10);
    assert_eq!(answer(app, get_request("/")).await.0, StatusCode::UNAUTHORIZED);
}

// --- plain listener

struct Running {
    port: u16,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

async fn serve_plain(app: Router) -> Running {
    let listener = bind(([127, 0, 0, 1], 0).into(), "http-server.http.port").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shutdown = CancellationToken::new();
    let server = Server::plain(listener, app, shutdown.clone());
    Running { port, shutdown, server }
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

async fn ask(port: u16, path: &str) -> String {
    let mut stream = connect(port).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_carry_the_address_of_their_peer() {
    let who =
        |Extension(PeerAddress(peer)): Extension<PeerAddress>| async move { peer.ip().to_string() };
    let running = serve_plain(Router::new().route("/", get(who))).await;
    assert!(ask(running.port, "/").await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn request_under_way_is_answered_though_the_port_closes_at_once() {
    let slow = || async {
        sleep(Duration::from_millis(500)).await;
        "done"
    };
    let running = serve_plain(Router::new().route("/", get(slow))).await;
    let _idle = connect(running.port).await;
    let port = running.port;
    let answer = tokio::spawn(async move { ask(port, "/").await });
    sleep(Duration::from_millis(100)).await;
    running.shutdown.cancel();
    sleep(Duration::from_millis(50)).await;
    let refused = TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(answer.await.unwrap().ends_with("done"));
    timeout(Duration::from_secs(1), running.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn request_that_never_ends_does_not_hold_up_the_shutdown() {
    let running = serve_plain(Router::new().route("/", get(std::future::pending::<()>))).await;
    let port = running.port;
    let _stuck = tokio::spawn(async move { ask(port, "/").await });
    sleep(Duration::from_millis(100)).await;
    running.shutdown.cancel();
    let start = Instant::now();
    timeout(Duration::from_secs(6), running.server).await.unwrap().unwrap();
    assert!(start.elapsed() > Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn garbage_and_idle_connections_do_no_harm() {
    let running = serve_plain(Router::new().route("/", get(|| async { "ok" }))).await;
    let mut idle = Vec::new();
    for garbage in [&b""[..], b"P", b"\x16\x03\x01\x02\x00", b"\r\n\r\n\r\n", b"GET"] {
        let mut stream = connect(running.port).await;
        stream.write_all(garbage).await.unwrap();
        idle.push(stream);
    }
    assert!(ask(running.port, "/").await.ends_with("ok"));
    running.shutdown.cancel();
    timeout(Duration::from_secs(6), running.server).await.unwrap().unwrap();
}

// --- mutual TLS

fn whoami() -> Router {
    let answer = |Extension(identity): Extension<PeerIdentity>,
                  Extension(caller): Extension<Caller>,
                  Extension(PeerAddress(peer)): Extension<PeerAddress>| async move {
        assert_eq!(identity.node_id, caller.node_id);
        format!("{} {} {}", caller.role, caller.node_id, peer.ip())
    };
    let hang = get(std::future::pending::<()>);
    Router::new().route("/whoami", get(answer)).route("/hang", hang)
}

struct Secured {
    running: Running,
    peer: Peer,
}

async fn serve_secured(server: &NodeSecurity) -> Secured {
    let require = server.require(&[Role::Coordinator]);
    let app = stacks::internal_control(whoami(), require, &metrics(), 1000);
    let listener = bind(([127, 0, 0, 1], 0).into(), "http-server.https.port").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shutdown = CancellationToken::new();
    let acceptor = server.acceptor().unwrap();
    let server = Server::mutual_tls(listener, acceptor, app, shutdown.clone());
    let peer = Peer::Node(NodeInfo {
        node_id: "w1".parse().unwrap(),
        incarnation: Incarnation::random(),
        build: "1".to_owned(),
        environment: "test".to_owned(),
        role: Role::Worker,
        host: "127.0.0.1".to_owned(),
        internal_port: port,
        http_port: 0,
        started_ms: 1,
        state: NodeState::Active,
        memory_bytes: 0,
        task_slots: 0,
    });
    Secured { running: Running { port, shutdown, server }, peer }
}

async fn ask_secured(client: &NodeSecurity, peer: &Peer) -> String {
    let client = client.client(Channel::Control);
    let (headers, body, within) = (HeaderMap::new(), Bytes::new(), Duration::from_secs(5));
    let answer = client.send(peer, Method::GET, "/whoami", headers, body, within).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    format!("{status} {}", String::from_utf8_lossy(&body))
}

#[tokio::test]
async fn peer_is_known_by_its_certificate_and_its_token() {
    let hour = Duration::from_secs(3600);
    let worker = security(Role::Worker, "w1", hour);
    let coordinator = security(Role::Coordinator, "c1", hour);
    let Secured { peer, .. } = serve_secured(&worker).await;
    assert_eq!(ask_secured(&coordinator, &peer).await, "200 OK coordinator c1 127.0.0.1");
}

#[tokio::test]
async fn slow_handshakes_hold_up_nobody() {
    let hour = Duration::from_secs(3600);
    let worker = security(Role::Worker, "w1", hour);
    let coordinator = security(Role::Coordinator, "c1", hour);
    let Secured { peer, running } = serve_secured(&worker).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect(running.port).await);
    }
    let start = Instant::now();
    assert!(ask_secured(&coordinator, &peer).await.starts_with("200"));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    running.shutdown.cancel();
    timeout(Duration::from_secs(1), running.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn connection_ends_with_its_certificate_whatever_is_under_way() {
    let worker = security(Role::Worker, "w1", Duration::from_secs(3600));
    let coordinator = security(Role::Coordinator, "c1", Duration::from_secs(3));
    let Secured { peer, .. } = serve_secured(&worker).await;
    let start = Instant::now();
    let within = Duration::from_secs(30);
    let client = coordinator.client(Channel::Control);
    let hanging =
        client.send(&peer, Method::GET, "/hang", HeaderMap::new(), Bytes::new(), within).await;
    assert!(matches!(hanging, Err(OutboundError::Reset { .. })), "{hanging:?}");
    let elapsed = start.elapsed().as_secs();
    assert!((2..=9).contains(&elapsed), "{elapsed} s: three of the certificate, five to drain");
}
