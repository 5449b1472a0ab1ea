//! What every node has on its HTTP port: Trino's `/v1/info` and `/v1/status`, and `/metrics`, which
//! are read-only and need no authentication; and the node's state ([`crate::state`]).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use waterbear_protocol::membership::NodeState;
use waterbear_telemetry::MetricsHandle;

use crate::lifecycle::Lifecycle;
use crate::state;

/// What a node says of itself now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// `node.id`.
    pub node_id: String,
    /// Version of the binary.
    pub version: String,
    /// `node.environment`.
    pub environment: String,
    /// The role's lower-case name.
    pub role: &'static str,
    /// The start id that this coordinator's query ids end with; only on a coordinator.
    pub coordinator_id: Option<String>,
    /// True until the node can do its work.
    pub starting: bool,
    /// Time since its start.
    pub uptime: Duration,
    /// Whether it takes work.
    pub state: NodeState,
    /// Address under which other nodes reach it.
    pub internal_address: String,
    /// Bytes held in its memory pool.
    pub memory_reserved: u64,
    /// Bytes that the pool may hold.
    pub memory_limit: u64,
    /// Processors that it may use.
    pub processors: usize,
    /// Tasks that are not done.
    pub tasks: usize,
}

/// Knows a node's status. Implemented by closures.
pub trait NodeStatusSource: Send + Sync + 'static {
    /// The status now; cheap, since load balancers ask often.
    fn status(&self) -> NodeStatus;
}

impl<F: Fn() -> NodeStatus + Send + Sync + 'static> NodeStatusSource for F {
    fn status(&self) -> NodeStatus {
        self()
    }
}

/// `/v1/info`, `/v1/info/state`, `/v1/info/coordinator`, `/v1/status`, `/metrics`. Where this port
/// is the internal listener too, `operators` is the stack around [`state::internal`].
pub fn routes(
    node: impl NodeStatusSource,
    lifecycle: Lifecycle,
    operators: Option<Router>,
    metrics: MetricsHandle,
) -> Router {
    let node: Arc<dyn NodeStatusSource> = Arc::new(node);
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/info/coordinator", get(coordinator))
        .route("/v1/status", get(status))
        .with_state(node)
        .merge(state::public(lifecycle, operators))
        .route("/metrics", get(move || async move { ([TEXT_METRICS], metrics.render()) }))
}

const TEXT_METRICS: (&str, &str) = ("content-type", "text/plain; version=0.0.4; charset=utf-8");

type Node = State<Arc<dyn NodeStatusSource>>;

async fn info(State(node): Node) -> Json<Info> {
    Json(Info::of(&node.status()))
}

/// Load balancers find coordinators by it.
async fn coordinator(State(node): Node) -> StatusCode {
    if node.status().is_coordinator() { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

async fn status(State(node): Node) -> Json<Status> {
    Json(Status::of(&node.status()))
}

impl NodeStatus {
    fn is_coordinator(&self) -> bool {
        self.role == "coordinator"
    }
}

/// Trino's document of `/v1/info`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    node_id: String,
    state: NodeState,
    node_version: NodeVersion,
    environment: String,
    coordinator: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    coordinator_id: Option<String>,
    starting: bool,
    uptime: String,
}

#[derive(Serialize)]
struct NodeVersion {
    version: String,
}

impl Info {
    fn of(node: &NodeStatus) -> Self {
        Self {
            node_id: node.node_id.clone(),
            state: node.state,
            node_version: NodeVersion { version: node.version.clone() },
            environment: node.environment.clone(),
            coordinator: node.is_coordinator(),
            coordinator_id: node.coordinator_id.clone(),
            starting: node.starting,
            uptime: succinct(node.uptime),
        }
    }
}

/// Trino's document of `/v1/status`, and after it what is ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    node_id: String,
    node_version: NodeVersion,
    environment: String,
    coordinator: bool,
    uptime: String,
    external_address: String,
    internal_address: String,
    memory_info: MemoryInfo,
    processors: usize,
    /// Negative: not measured, as the JVM says it.
    process_cpu_load: f64,
    /// Negative: not measured.
    system_cpu_load: f64,
    heap_used: u64,
    heap_available: u64,
    non_heap_used: u64,
    role: &'static str,
    state: NodeState,
    starting: bool,
    tasks: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryInfo {
    available_processors: usize,
    pool: MemoryPool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryPool {
    max_bytes: u64,
    reserved_bytes: u64,
    reserved_revocable_bytes: u64,
    free_bytes: u64,
}

impl Status {
    fn of(node: &NodeStatus) -> Self {
        let free_bytes = node.memory_limit.saturating_sub(node.memory_reserved);
        let pool = MemoryPool {
            max_bytes: node.memory_limit,
            reserved_bytes: node.memory_reserved,
            reserved_revocable_bytes: 0,
            free_bytes,
        };
        Self {
            node_id: node.node_id.clone(),
            node_version: NodeVersion { version: node.version.clone() },
            environment: node.environment.clone(),
            coordinator: node.is_coordinator(),
            uptime: succinct(node.uptime),
            external_address: node.internal_address.clone(),
            internal_address: node.internal_address.clone(),
            memory_info: MemoryInfo { available_processors: node.processors, pool },
            processors: node.processors,
            process_cpu_load: -1.0,
            system_cpu_load: -1.0,
            heap_used: node.memory_reserved,
            heap_available: node.memory_limit,
            non_heap_used: 0,
            role: node.role,
            state: node.state,
            starting: node.starting,
            tasks: node.tasks,
        }
    }
}

/// The text of a duration as Trino writes it: two digits in the largest unit of which there is at
/// least one (`1.23m`).
fn succinct(duration: Duration) -> String {
    const UNITS: [(f64, &str); 7] = [
        (86_400e9, "d"),
        (3_600e9, "h"),
        (60e9, "m"),
        (1e9, "s"),
        (1e6, "ms"),
        (1e3, "us"),
        (1.0, "ns"),
    ];
    let nanos = duration.as_nanos() as f64;
    let fits = |(size, _): &&(f64, &str)| nanos / size > 0.9999;
    let (size, unit) = UNITS.iter().find(fits).unwrap_or(&(1.0, "ns"));
    format!("{:.2}{unit}", nanos / size)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;
    use http::{Method, Request};
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;
    use waterbear_protocol::membership::Role;

    use super::*;

    fn node(role: &'static str) -> Router {
        let status = move || NodeStatus {
            node_id: "n1".to_owned(),
            version: "0.1.0".to_owned(),
            environment: "test".to_owned(),
            role,
            coordinator_id: (role == "coordinator").then(|| "ab2cd".to_owned()),
            starting: false,
            uptime: Duration::from_secs(74),
            state: NodeState::Active,
            internal_address: "10.0.0.1".to_owned(),
            memory_reserved: 10,
            memory_limit: 100,
            processors: 2,
            tasks: 3,
        };
        let lifecycle = Lifecycle::new(crate::lifecycle::tests::node(Role::Worker));
        routes(status, lifecycle, None, waterbear_telemetry::install_metrics())
    }

    async fn ask(router: Router, method: Method, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn info_has_the_fields_that_clients_read() {
        let (status, body) = ask(node("coordinator"), Method::GET, "/v1/info").await;
        assert_eq!(status, StatusCode::OK);
        let expected = json!({
            "nodeId": "n1", "state": "ACTIVE", "nodeVersion": {"version": "0.1.0"},
            "environment": "test", "coordinator": true, "coordinatorId": "ab2cd",
            "starting": false, "uptime": "1.23m",
        });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
        let (_, state) = ask(node("worker"), Method::GET, "/v1/info/state").await;
        assert_eq!(state, "\"ACTIVE\"");
    }

    #[tokio::test]
    async fn only_a_coordinator_says_that_it_is_one() {
        let path = "/v1/info/coordinator";
        let coordinator = ask(node("coordinator"), Method::GET, path).await;
        assert_eq!(coordinator, (StatusCode::OK, String::new()));
        assert_eq!(ask(node("worker"), Method::GET, path).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn status_answers_head_and_tells_memory_and_tasks() {
        let head = Request::head("/v1/status").body(Body::empty()).unwrap();
        let response = node("worker").oneshot(head).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/json");

        let (_, body) = ask(node("worker"), Method::GET, "/v1/status").await;
        let status: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status["memoryInfo"]["pool"]["freeBytes"], 90);
        assert_eq!(status["tasks"], 3);
        assert_eq!(status["coordinator"], false);
    }

    #[test]
    fn durations_read_as_trino_writes_them() {
        for (nanos, text) in [
            (0, "0.00ns"),
            (1_500, "1.50us"),
            (999_950_000, "1.00s"),
            (73_800_000_000, "1.23m"),
            (90_000_000_000_000, "1.04d"),
        ] {
            assert_eq!(succinct(Duration::from_nanos(nanos)), text);
        }
    }
}
