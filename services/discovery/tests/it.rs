//! A real discovery, announcers and watchers over loopback.

#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use waterbear_discovery::{DiscoveryOptions, DiscoveryService};
use waterbear_ids::Incarnation;
use waterbear_membership::{Announcer, Membership, View};
use waterbear_outbound::{
    Channel, InternalClient, NodeSecurity, OutboundError, Peer, SecurityOptions,
};
use waterbear_protocol::BUILD_ID;
use waterbear_protocol::membership::{AnnounceAnswer, ClusterView, NodeInfo, NodeState, Role};
use waterbear_serve::Lifecycle;
use waterbear_telemetry::install_metrics;

const SECRET: &str = "0123456789abcdef0123456789abcdef-test-secret";
const LEASE: Duration = Duration::from_millis(1500);
/// Within this a change must have reached every watcher.
const SOON: Duration = Duration::from_millis(300);

fn security(secret: &str, tls: bool, role: Role, id: &str) -> NodeSecurity {
    NodeSecurity::new(SecurityOptions {
        secret: secret.as_bytes().to_vec(),
        environment: "test".to_owned(),
        role,
        node_id: id.parse().unwrap(),
        names: vec!["127.0.0.1".to_owned()],
        tls,
        leaf_lifetime: Duration::from_secs(3600),
        http2: true,
    })
    .unwrap()
}

fn node(role: Role, id: &str, started_ms: u64) -> NodeInfo {
    NodeInfo {
        node_id: id.parse().unwrap(),
        incarnation: Incarnation::random(),
        build: BUILD_ID.to_owned(),
        environment: "test".to_owned(),
        role,
        host: "127.0.0.1".to_owned(),
        internal_port: 1,
        http_port: 2,
        started_ms,
        state: NodeState::Active,
        memory_bytes: 0,
        task_slots: 0,
    }
}

/// A cluster's discovery, which can be stopped and started again at the same ports.
struct Discovery {
    tls: bool,
    internal_port: u16,
    http_port: u16,
    running: Option<(DiscoveryService, CancellationToken)>,
}

impl Discovery {
    async fn start(tls: bool) -> Self {
        let mut discovery = Self { tls, internal_port: 0, http_port: 0, running: None };
        discovery.resume().await;
        discovery
    }

    async fn resume(&mut self) {
        let internal = TcpListener::bind(("127.0.0.1", self.internal_port)).await.unwrap();
        let http = TcpListener::bind(("127.0.0.1", self.http_port)).await.unwrap();
        self.internal_port = internal.local_addr().unwrap().port();
        self.http_port = http.local_addr().unwrap().port();
        let shutdown = CancellationToken::new();
        let service = DiscoveryService::start(DiscoveryOptions {
            lifecycle: Lifecycle::new(node(Role::Discovery, "discovery", 1)),
            security: security(SECRET, self.tls, Role::Discovery, "discovery"),
            internal_listener: self.tls.then_some(internal),
            http_listener: http,
            lease: LEASE,
            metrics: install_metrics(),
            shutdown: shutdown.clone(),
        });
        self.running = Some((service, shutdown));
    }

    async fn stop(&mut self) {
        let (service, shutdown) = self.running.take().unwrap();
        shutdown.cancel();
        timeout(Duration::from_secs(1), service.stopped()).await.expect("ends within a second");
    }

    fn peer(&self) -> Peer {
        let port = if self.tls { self.internal_port } else { self.http_port };
        Peer::Discovery { host: "127.0.0.1".to_owned(), port, https: self.tls }
    }

    fn client(&self, role: Role, id: &str) -> InternalClient {
        security(SECRET, self.tls, role, id).client(Channel::Control)
    }

    fn watch(&self) -> Membership {
        let client = self.client(Role::Coordinator, "coordinator");
        Membership::spawn(client, vec![self.peer()], CancellationToken::new())
    }

    fn announce(&self, info: NodeInfo) -> Announced {
        let client = self.client(info.role, info.node_id.as_str());
        Announced::start(client, self.peer(), info)
    }
}

struct Announced {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    info: watch::Sender<NodeInfo>,
}

impl Announced {
    fn start(client: InternalClient, peer: Peer, info: NodeInfo) -> Self {
        let shutdown = CancellationToken::new();
        let (info, receiver) = watch::channel(info);
        let task = Announcer::spawn(client, vec![peer], receiver, shutdown.clone());
        Self { shutdown, task, info }
    }
}

async fn seen_within(membership: &Membership, limit: Duration, what: impl Fn(&View) -> bool) {
    let mut views = membership.subscribe();
    let seen = views.wait_for(|view| what(view));
    if timeout(limit, seen).await.is_err() {
        panic!("not seen within {limit:?}: {:?}", membership.view());
    }
}

fn has(view: &View, id: &str) -> bool {
    view.node(&id.parse().unwrap()).is_some()
}

async fn known(membership: &Membership) {
    seen_within(membership, Duration::from_secs(5), |view| view.known).await;
}

#[tokio::test]
async fn worker_is_seen_soon_and_leaves_at_once_when_it_withdraws() {
    let discovery = Discovery::start(true).await;
    let membership = discovery.watch();
    known(&membership).await;
    let worker = discovery.announce(node(Role::Worker, "w1", 1));
    seen_within(&membership, SOON, |view| has(view, "w1")).await;
    assert_eq!(membership.view().active_workers().count(), 1);

    // A whole lease and more, so that it is really renewed; and warming is over.
    sleep(LEASE * 2).await;
    assert!(has(&membership.view(), "w1"));

    worker.info.send_modify(|info| info.state = NodeState::Draining);
    seen_within(&membership, SOON, |view| view.active_workers().count() == 0).await;

    worker.shutdown.cancel();
    seen_within(&membership, SOON, |view| !has(view, "w1")).await;
    worker.task.await.unwrap();
}

#[tokio::test]
async fn killed_worker_leaves_when_its_lease_ends() {
    let discovery = Discovery::start(true).await;
    let membership = discovery.watch();
    let (w1, w2) = (node(Role::Worker, "w1", 1), node(Role::Worker, "w2", 1));
    let (killed, _living) = (discovery.announce(w1), discovery.announce(w2));
    let both = |view: &View| has(view, "w1") && has(view, "w2");
    seen_within(&membership, Duration::from_secs(5), both).await;
    sleep(LEASE).await;
    killed.task.abort();
    let start = Instant::now();
    seen_within(&membership, LEASE + SOON, |view| !has(view, "w1")).await;
    assert!(start.elapsed() > LEASE - Duration::from_millis(1100), "{:?}", start.elapsed());
    assert!(has(&membership.view(), "w2"));
}

#[tokio::test]
async fn restarted_discovery_takes_nobody_out_of_the_view() {
    let mut discovery = Discovery::start(true).await;
    let membership = discovery.watch();
    let _worker = discovery.announce(node(Role::Worker, "w1", 1));
    seen_within(&membership, Duration::from_secs(5), |view| has(view, "w1")).await;

    let mut views = membership.subscribe();
    let always = tokio::spawn(async move {
        loop {
            assert!(has(&views.borrow_and_update(), "w1"));
            views.changed().await.unwrap();
        }
    });
    discovery.stop().await;
    sleep(LEASE * 2).await;
    discovery.resume().await;
    sleep(LEASE * 2).await;
    assert!(!always.is_finished());
    always.abort();

    // And it works on as before.
    let _second = discovery.announce(node(Role::Worker, "w2", 1));
    seen_within(&membership, Duration::from_secs(2), |view| has(view, "w2")).await;
}

#[tokio::test]
async fn node_started_before_its_discovery_appears_soon_after_it() {
    let mut discovery = Discovery::start(true).await;
    discovery.stop().await;
    let membership = discovery.watch();
    let _worker = discovery.announce(node(Role::Worker, "w1", 1));
    sleep(Duration::from_millis(700)).await;
    assert!(!membership.view().known);
    discovery.resume().await;
    seen_within(&membership, Duration::from_secs(1), |view| has(view, "w1")).await;
}

#[tokio::test]
async fn superseded_incarnation_is_told_to_stop() {
    let discovery = Discovery::start(true).await;
    let membership = discovery.watch();
    let (early, late) = (node(Role::Worker, "w1", 1), node(Role::Worker, "w1", 2));
    let winner = late.incarnation;
    let first = discovery.announce(early);
    seen_within(&membership, Duration::from_secs(5), |view| has(view, "w1")).await;
    let second = discovery.announce(late);
    let stopped = first.shutdown.cancelled();
    timeout(Duration::from_secs(2), stopped).await.expect("told with its next announcement");
    first.task.await.unwrap();
    let wins = |view: &View| view.nodes.iter().any(|node| node.incarnation == winner);
    seen_within(&membership, SOON, wins).await;
    assert!(!second.shutdown.is_cancelled());
}

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn worker_with_another_secret_never_appears_and_its_log_says_why_once() {
    let discovery = Discovery::start(true).await;
    let membership = discovery.watch();
    known(&membership).await;

    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let other = security(&SECRET.replace("test", "best"), true, Role::Worker, "stranger");
    let info = node(Role::Worker, "stranger", 1);
    let _stranger = Announced::start(other.client(Channel::Control), discovery.peer(), info);
    sleep(Duration::from_secs(3)).await;

    assert!(!has(&membership.view(), "stranger"));
    let text = log.text();
    let warnings: Vec<_> =
        text.lines().filter(|line| line.contains("not in the cluster")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(warnings[0].contains("WARN"), "{text}");
    assert!(warnings[0].contains("internal-communication.shared-secret"), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn node_announces_only_itself() {
    let discovery = Discovery::start(true).await;
    let (client, peer) = (discovery.client(Role::Worker, "w1"), discovery.peer());
    for (path, info) in [
        ("/v1/announce/w1", node(Role::Worker, "w2", 1)),
        ("/v1/announce/w2", node(Role::Worker, "w2", 1)),
        ("/v1/announce/w1", node(Role::Coordinator, "w1", 1)),
        ("/v1/announce/w1", NodeInfo { environment: "prod".into(), ..node(Role::Worker, "w1", 1) }),
    ] {
        let answer = client.json::<_, AnnounceAnswer>(
            &peer,
            Method::PUT,
            path,
            HeaderMap::new(),
            Some(&info),
            Duration::from_secs(5),
        );
        let error = answer.await.unwrap_err();
        let refused =
            matches!(&error, OutboundError::Status { status, .. } if status.as_u16() == 403);
        assert!(refused, "{path} {info:?}: {error}");
    }
}

#[tokio::test]
async fn an_operator_sees_the_nodes_and_is_none() {
    let discovery = Discovery::start(true).await;
    let membership = discovery.watch();
    let _worker = discovery.announce(node(Role::Worker, "w1", 1));
    seen_within(&membership, Duration::from_secs(5), |view| has(view, "w1")).await;
    let worker = membership.view().node(&"w1".parse().unwrap()).unwrap().incarnation;
    // He may choose any name, that of a node, too.
    let operator = discovery.client(Role::Operator, "w1");
    let peer = discovery.peer();
    let ask = async |method: Method, path: String, body: Option<NodeInfo>| {
        let within = Duration::from_secs(5);
        operator
            .json::<_, ClusterView>(&peer, method, &path, HeaderMap::new(), body.as_ref(), within)
            .await
    };
    let view = ask(Method::GET, "/v1/nodes".to_owned(), None).await.unwrap();
    let listed: Vec<_> = view.nodes.iter().map(|node| node.node_id.as_str()).collect();
    assert_eq!(listed, ["discovery", "w1"], "a discovery lists itself");
    let withdraw = format!("/v1/announce/w1?incarnation={worker}");
    for (method, path, body) in [
        (Method::PUT, "/v1/announce/w1".to_owned(), Some(node(Role::Operator, "w1", 9))),
        (Method::DELETE, withdraw, None),
    ] {
        let error = ask(method, path, body).await.unwrap_err();
        assert!(error.to_string().contains("403"), "{error}");
    }
    assert!(has(&membership.view(), "w1"));
}

#[tokio::test]
async fn a_discovery_is_told_to_end_and_cannot_be_drained() {
    let discovery = Discovery::start(true).await;
    let peer = discovery.peer();
    let put = async |role: Role, state: NodeState| {
        let (client, within) = (discovery.client(role, "x"), Duration::from_secs(5));
        let (path, headers) = ("/v1/info/state", HeaderMap::new());
        client.json::<_, NodeState>(&peer, Method::PUT, path, headers, Some(&state), within).await
    };
    let error = put(Role::Operator, NodeState::Draining).await.unwrap_err().to_string();
    assert!(error.contains("409") && error.contains("only workers"), "{error}");
    for role in [Role::Coordinator, Role::Worker] {
        let error = put(role, NodeState::ShuttingDown).await.unwrap_err().to_string();
        assert!(error.contains("403"), "{error}");
    }
    assert!(get(discovery.http_port, "/v1/info/state").await.1.contains("ACTIVE"));
    let stopping = put(Role::Operator, NodeState::ShuttingDown).await;
    assert_eq!(stopping.unwrap(), NodeState::ShuttingDown);
    assert!(get(discovery.http_port, "/v1/info").await.1.contains("SHUTTING_DOWN"));
}

/// The first line and the body of a plain HTTP answer.
async fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn http_port_tells_about_the_node_and_nothing_about_the_cluster() {
    let discovery = Discovery::start(true).await;
    let (status, body) = get(discovery.http_port, "/v1/info").await;
    assert!(status.contains("200"), "{status}");
    assert!(body.contains(r#""nodeId":"discovery""#), "{body}");
    assert!(get(discovery.http_port, "/v1/nodes").await.0.contains("404"));
    let membership = discovery.watch();
    known(&membership).await;
    let (_, metrics) = get(discovery.http_port, "/metrics").await;
    assert!(metrics.contains(r#"waterbear_http_requests_total{role="discovery""#), "{metrics}");
    assert!(metrics.contains(r#"route="/v1/nodes""#), "{metrics}");
}

#[tokio::test]
async fn without_tls_the_http_port_serves_nodes_that_know_the_secret() {
    let discovery = Discovery::start(false).await;
    let membership = discovery.watch();
    known(&membership).await;
    let _worker = discovery.announce(node(Role::Worker, "w1", 1));
    seen_within(&membership, SOON, |view| has(view, "w1")).await;
    assert!(get(discovery.http_port, "/v1/nodes").await.0.contains("401"));
    assert!(get(discovery.http_port, "/v1/info").await.0.contains("200"));
}
