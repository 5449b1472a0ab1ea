//! The configuration, typed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use waterbear_ids::NodeId;
use waterbear_protocol::RetryPolicy;

use crate::{BaseDirectories, DataSize, DiscoveryUri, MemorySize, Process, Secret};

/// All that a process is told. What is `Option` "unless standalone" is `Some` for each other role.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it is for.
    pub process: Process,
    /// This node.
    pub node: Node,
    /// Security between nodes.
    pub internal: InternalCommunication,
    /// Listeners.
    pub http: HttpServer,
    /// `discovery.uri`; empty on discovery and standalone. All are `https` where
    /// [`InternalCommunication::https_required`].
    pub discovery: Vec<DiscoveryUri>,
    /// Queries.
    pub query: Query,
    /// `memory.pool-size-per-node`, if given.
    pub memory_pool_size: Option<MemorySize>,
    /// Tasks.
    pub task: Task,
    /// `shutdown.grace-period`.
    pub shutdown_grace_period: Duration,
    /// Retry policies.
    pub retry: Retry,
    /// `exchange-manager.properties`; none where there is no such file.
    pub exchange_manager: Option<ExchangeManager>,
    /// The files of `catalog/`, by name; empty on discovery. Without the catalog `system`.
    pub catalogs: Vec<Catalog>,
    /// What was accepted without its usual effect, one line each: to be logged at the start.
    pub warnings: Vec<String>,
}

/// `node.*`.
#[derive(Debug, Clone)]
pub struct Node {
    /// `node.environment`; `standalone` where standalone is told none.
    pub environment: String,
    /// `node.id`, if given.
    pub id: Option<NodeId>,
    /// `node.internal-address`, if given: host name or IP address.
    pub internal_address: Option<String>,
    /// `node.bind-ip`, if given.
    pub bind_ip: Option<IpAddr>,
    /// `node.data-dir`, absolute; not yet made. `Some` unless standalone or operator.
    pub data_dir: Option<PathBuf>,
}

/// `internal-communication.*`.
#[derive(Debug, Clone)]
pub struct InternalCommunication {
    /// `internal-communication.shared-secret`. `Some` unless standalone.
    pub shared_secret: Option<Secret>,
    /// `internal-communication.https.required`.
    pub https_required: bool,
    /// `internal-communication.http2.enabled`.
    pub http2: bool,
}

/// `http-server.*`.
#[derive(Debug, Clone)]
pub struct HttpServer {
    /// `http-server.http.port`; 0 is any that is free. `Some` unless standalone or operator.
    pub http_port: Option<u16>,
    /// `http-server.https.port`, of the internal listener. `Some` on discovery and workers where
    /// [`InternalCommunication::https_required`]; may be given without.
    pub https_port: Option<u16>,
    /// `http-server.process-forwarded`.
    pub process_forwarded: ProcessForwarded,
    /// `protocol.v1.alternate-header-name`, if given: `Presto` makes `X-Presto-*` headers work.
    pub alternate_header: Option<String>,
}

/// What happens to requests with `X-Forwarded-*` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessForwarded {
    /// They are refused.
    Reject,
    /// They are believed.
    Accept,
    /// The headers are ignored.
    Ignore,
}

/// `query.*`.
#[derive(Debug, Clone)]
pub struct Query {
    /// `query.client.timeout`.
    pub client_timeout: Duration,
    /// `query.max-concurrent-queries`.
    pub max_concurrent_queries: usize,
    /// `query.max-queued-queries`.
    pub max_queued_queries: usize,
    /// `query.max-length`: characters of a statement.
    pub max_length: usize,
    /// `max-recursion-depth`: steps of a WITH RECURSIVE.
    pub max_recursion_depth: u32,
    /// `query.max-run-time`.
    pub max_run_time: Duration,
    /// `query.max-execution-time`.
    pub max_execution_time: Duration,
    /// `query.max-planning-time`.
    pub max_planning_time: Duration,
    /// `query.max-cpu-time`.
    pub max_cpu_time: Duration,
    /// The lesser of `query.max-memory` and `query.max-total-memory`.
    pub max_memory: DataSize,
    /// `query.max-memory-per-node`, if given: what one query may have of a node's memory pool.
    pub max_memory_per_node: Option<MemorySize>,
}

/// `task.*`.
#[derive(Debug, Clone)]
pub struct Task {
    /// `task.max-worker-threads`, if given; at least 1.
    pub max_worker_threads: Option<usize>,
    /// `task.concurrency`, if given; at least 1.
    pub concurrency: Option<usize>,
    /// `task.bytes-per-partition`.
    pub bytes_per_partition: DataSize,
    /// `task.client.timeout`.
    pub client_timeout: Duration,
    /// `task.max-spooled-tasks`, if given; at least 1.
    pub max_spooled_tasks: Option<u32>,
}

/// `retry-policy*`.
#[derive(Debug, Clone)]
pub struct Retry {
    /// `retry-policy`: not [`RetryPolicy::Query`] so far.
    pub policy: RetryPolicy,
    /// `retry-policy.allowed`, in order, each once.
    pub allowed: Vec<RetryPolicy>,
    /// `task-retry-attempts-per-task`.
    pub task_attempts: u32,
    /// `retry-initial-delay`.
    pub initial_delay: Duration,
    /// `retry-max-delay`.
    pub max_delay: Duration,
    /// `retry-delay-scale-factor`; at least 1.
    pub delay_scale: f64,
    /// `fault-tolerant-execution-task-memory`, if given.
    pub task_memory: Option<DataSize>,
    /// `fault-tolerant-execution-task-memory-growth-factor`; at least 1.
    pub task_memory_growth: f64,
    /// `fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min`.
    pub task_target_size: DataSize,
    /// `query.max-spool-size`.
    pub max_spool_size: DataSize,
}

/// `exchange-manager.properties`: read and checked.
#[derive(Debug, Clone)]
pub struct ExchangeManager {
    /// `exchange.base-directories`.
    pub base_directories: BaseDirectories,
    /// `exchange.sink-buffer-size`.
    pub sink_buffer_size: DataSize,
    /// `exchange.memory-cache-size`.
    pub memory_cache_size: DataSize,
}

/// One file of `catalog/`.
#[derive(Clone)]
pub struct Catalog {
    /// The catalog's name, of `[a-z0-9_-]`.
    pub name: String,
    /// `connector.name`, a known one.
    pub connector_name: String,
    /// The other honoured properties, expanded and checked.
    pub properties: BTreeMap<String, String>,
    /// The file, for messages.
    pub file: PathBuf,
}

impl fmt::Debug for Catalog {
    /// Without values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("name", &self.name)
            .field("connector_name", &self.connector_name)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("file", &self.file)
            .finish()
    }
}
