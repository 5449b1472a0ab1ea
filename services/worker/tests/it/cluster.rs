//! Workers, a coordinator's clients, and plans for them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use axum::body::{Bytes, HttpBody as Body};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::{SessionConfig, SessionContext};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use waterbear_engine::{Engine, EngineOptions, encode_plan};
use waterbear_exchange::{ExchangeMetrics, ExchangeReader, HeldBytes, ReaderOptions};
use waterbear_ids::{AttemptId, Incarnation, QueryId};
use waterbear_outbound::{
    Channel, InternalClient, NodeSecurity, OutboundError, Peer, SecurityOptions,
};
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};
use waterbear_protocol::task::{
    INCARNATION_HEADER, Producer, SourcePartition, TaskInput, TaskOutput, TaskRequest, TaskSession,
    TaskState, TaskStatus,
};
use waterbear_serve::Lifecycle;
use waterbear_spool::Spool;
use waterbear_spool::spool::Location;
use waterbear_spool::store::FilesystemStore;
use waterbear_worker::{RunningWorker, WorkerLimits, WorkerOptions, WorkerService, WorkerSpool};

pub const WITHIN: Duration = Duration::from_secs(20);

pub fn security(role: Role, id: &str) -> NodeSecurity {
    NodeSecurity::new(SecurityOptions {
        secret: b"0123456789 abcdefghijklmnopqrstuvwxyz".to_vec(),
        environment: "test".into(),
        role,
        node_id: id.parse().unwrap(),
        names: vec!["127.0.0.1".into()],
        tls: true,
        leaf_lifetime: Duration::from_secs(3600),
        http2: false,
    })
    .unwrap()
}

/// A worker and what is needed to ask it.
pub struct Worker {
    pub running: RunningWorker,
    pub node: NodeInfo,
    pub engine: Engine,
    pub lifecycle: Lifecycle,
    _spill: tempfile::TempDir,
}

impl Worker {
    pub async fn start(id: &str, client_timeout: Duration) -> Self {
        Self::start_with(id, client_timeout, WorkerLimits::of_memory(1 << 30)).await
    }

    pub async fn start_with(id: &str, client_timeout: Duration, limits: WorkerLimits) -> Self {
        Self::start_over(id, client_timeout, limits, None).await
    }

    /// A worker whose tasks spool into `folder`.
    pub async fn start_spooling(id: &str, folder: &Path) -> Self {
        let store = Arc::new(FilesystemStore::new("here", folder));
        let location = Location { name: "here".into(), store };
        let spool = Spool::new(vec![location], "0a1b2c3d", "test");
        let spool = WorkerSpool { spool, sink_buffer_bytes: 1 << 20 };
        let limits = WorkerLimits::of_memory(1 << 30);
        Self::start_over(id, Duration::from_secs(10), limits, Some(spool)).await
    }

    async fn start_over(
        id: &str,
        client_timeout: Duration,
        limits: WorkerLimits,
        spool: Option<WorkerSpool>,
    ) -> Self {
        let spill = tempfile::tempdir().unwrap();
        let engine = Engine::new(EngineOptions {
            name: id.into(),
            memory_limit: 1 << 30,
            query_memory_limit: 1 << 30,
            threads: 2,
            spill_dir: spill.path().join("spill"),
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = NodeInfo {
            node_id: id.parse().unwrap(),
            incarnation: Incarnation::random(),
            build: waterbear_protocol::BUILD_ID.into(),
            environment: "test".into(),
            role: Role::Worker,
            host: "127.0.0.1".into(),
            internal_port: listener.local_addr().unwrap().port(),
            http_port: 0,
            started_ms: 0,
            state: NodeState::Active,
            memory_bytes: 0,
            task_slots: 0,
        };
        let lifecycle = Lifecycle::new(node.clone());
        let running = WorkerService::start(WorkerOptions {
            lifecycle: lifecycle.clone(),
            security: security(Role::Worker, id),
            engine: engine.clone(),
            internal_listener: Some(listener),
            client_timeout,
            limits,
            spool,
            shutdown: CancellationToken::new(),
        });
        Self { running, node, engine, lifecycle, _spill: spill }
    }

    /// Waits until it is in this state.
    pub async fn becomes(&self, state: NodeState) {
        let mut announced = self.lifecycle.announced();
        let becomes = announced.wait_for(|node| node.state == state);
        assert!(tokio::time::timeout(WITHIN, becomes).await.is_ok(), "it is not {state}");
    }

    /// Waits until no task runs and no memory is held.
    pub async fn idle(&self) {
        let idle = async {
            while self.running.running_tasks() > 0 || self.engine.memory_reserved() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let idle = tokio::time::timeout(WITHIN, idle).await;
        let (tasks, memory) = (self.running.running_tasks(), self.engine.memory_reserved());
        assert!(idle.is_ok(), "{tasks} tasks and {memory} bytes are left");
    }
}

/// What asks workers: a coordinator, or somebody who must not.
pub struct Caller {
    control: InternalClient,
    exchange: InternalClient,
}

impl Caller {
    pub fn new(role: Role) -> Self {
        let security = security(role, "caller");
        let control = security.client(Channel::Control);
        Self { control, exchange: security.client(Channel::Exchange) }
    }

    pub async fn ask(
        &self,
        node: &NodeInfo,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let (head, body) = self.send(node, method, path, body).await.unwrap().into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    pub async fn send(
        &self,
        node: &NodeInfo,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<http::Response<impl Body<Data = Bytes, Error: std::fmt::Debug>>, OutboundError>
    {
        let mut headers = HeaderMap::new();
        headers.insert(INCARNATION_HEADER, node.incarnation.to_string().parse().unwrap());
        let peer = Peer::Node(node.clone());
        let client = if path.contains("/results/") { &self.exchange } else { &self.control };
        client.send(&peer, method, path, headers, body.into(), WITHIN).await
    }

    pub async fn status_of(
        &self,
        node: &NodeInfo,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> TaskStatus {
        let (status, _, body) = self.ask(node, method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub async fn create(
        &self,
        node: &NodeInfo,
        attempt: &AttemptId,
        request: &TaskRequest,
    ) -> TaskStatus {
        let body = serde_json::to_vec(request).unwrap();
        self.status_of(node, Method::POST, &format!("/v1/task/{attempt}"), body).await
    }

    pub async fn status(
        &self,
        node: &NodeInfo,
        attempt: &AttemptId,
        version: u64,
        max_wait: Duration,
    ) -> TaskStatus {
        let wait = max_wait.as_millis();
        let path = format!("/v1/task/{attempt}/status?version={version}&max_wait_ms={wait}");
        self.status_of(node, Method::GET, &path, Vec::new()).await
    }

    /// Polls until the task is done.
    pub async fn done(&self, node: &NodeInfo, attempt: &AttemptId) -> TaskStatus {
        let done = async {
            loop {
                let status = self.status(node, attempt, 1, Duration::from_secs(1)).await;
                if status.state != TaskState::Running {
                    return status;
                }
            }
        };
        tokio::time::timeout(WITHIN, done).await.expect("the task is not done")
    }

    pub async fn abort(&self, node: &NodeInfo, attempt: &AttemptId) -> TaskStatus {
        self.status_of(node, Method::DELETE, &format!("/v1/task/{attempt}"), Vec::new()).await
    }

    /// Reads one reader's share of one partition.
    pub fn read(
        &self,
        producers: &[Producer],
        partition: u32,
        reader: u32,
        schema: SchemaRef,
    ) -> ExchangeReader {
        let source = SourcePartition { producer: 0, partition, reader };
        let sources = producers.iter().map(|producer| (producer.clone(), source)).collect();
        let options = ReaderOptions {
            runtime: Handle::current(),
            buffer_bytes: 8 << 20,
            held: HeldBytes::default(),
            max_wait: Duration::from_secs(1),
            input_bytes: Arc::new(AtomicU64::new(0)),
            metrics: ExchangeMetrics::new(&[]),
        };
        ExchangeReader::open(self.exchange.clone(), sources, schema, &options)
    }
}

/// A task attempt that no other test uses.
pub fn attempt() -> AttemptId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let query: QueryId = "20261122_020500_00000_ab2cd".parse().unwrap();
    query.stage(NEXT.fetch_add(1, Ordering::Relaxed)).task(0).attempt(0)
}

pub async fn plan(sql: &str) -> Arc<dyn ExecutionPlan> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

/// The plan's rows by the hash of a column.
pub fn partitioned(
    plan: Arc<dyn ExecutionPlan>,
    column: &str,
    partitions: usize,
) -> Arc<dyn ExecutionPlan> {
    let key = col(column, &plan.schema()).unwrap();
    Arc::new(RepartitionExec::try_new(plan, Partitioning::Hash(vec![key], partitions)).unwrap())
}

pub fn request(plan: &Arc<dyn ExecutionPlan>, readers: u32) -> TaskRequest {
    let partitions = plan.properties().partitioning.partition_count() as u32;
    TaskRequest {
        plan: encode_plan(plan).unwrap(),
        producers: Vec::new(),
        inputs: Vec::new(),
        output: TaskOutput { partitions, readers },
        session: TaskSession {
            user: "test".into(),
            start_time_ns: 0,
            settings: Vec::new(),
            max_recursion_depth: 10,
            operator_metrics: false,
        },
        spool: None,
    }
}

/// An input whose partition `n` is partition `n` of all producers.
pub fn input(producers: usize, partitions: std::ops::Range<u32>) -> TaskInput {
    let sources = |partition| {
        let sources = 0..producers as u32;
        sources.map(|producer| SourcePartition { producer, partition, reader: 0 }).collect()
    };
    TaskInput { partitions: partitions.map(sources).collect() }
}
