//! Starts each role on a [`Node`]: what a process of that role runs, and what standalone runs
//! several of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use tokio::task::JoinHandle;
use waterbear_config::{BaseDirectories, Config, ProcessForwarded, Retry};
use waterbear_connector::Connector;
use waterbear_coordinator::client_api::Forwarded;
use waterbear_coordinator::query::limits::QueryLimits;
use waterbear_coordinator::query::runner::RunnerOptions;
use waterbear_coordinator::scheduler::spooled::{Limits, MemoryGrowth, RetryOptions};
use waterbear_coordinator::{Coordinator, CoordinatorOptions};
use waterbear_discovery::{DiscoveryOptions, DiscoveryService};
use waterbear_engine::{Engine, EngineOptions};
use waterbear_membership::Membership;
use waterbear_outbound::Channel;
use waterbear_protocol::membership::{LEASE, NodeState};
use waterbear_serve::info::{self, NodeStatus};
use waterbear_serve::{Lifecycle, Server};
use waterbear_spool::Spool;
use waterbear_spool::spool::Location;
use waterbear_spool::store::FilesystemStore;
use waterbear_worker::{WorkerLimits, WorkerOptions, WorkerService, WorkerSpool};

use crate::life::{announce, end_when_asked, operators_in_clear};
use crate::machine;
use crate::node::Node;

/// How long a worker that ends stays when its last task is done: coordinators then hear how tasks
/// ended, and that no new one is to be placed there, before the port refuses.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How long a query waits for the first worker (Trino's query-manager.required-workers-max-wait).
const WORKERS_MAX_WAIT: Duration = Duration::from_secs(300);
/// How long attempts wait while there is no worker at all
/// (Trino's node-scheduler.allowed-no-matching-node-period).
const NO_NODES_AFTER: Duration = Duration::from_secs(600);

/// A role that runs.
pub struct Running {
    parts: Vec<JoinHandle<()>>,
    /// Its folder is removed when the role has ended.
    _node: Arc<Node>,
}

impl Running {
    /// Waits until all parts have ended after the shutdown.
    pub async fn ended(self) {
        for part in self.parts {
            // A part's panic was reported where it happened.
            let _ = part.await;
        }
    }
}

/// What a role that runs plans may use.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Bytes of its memory pool.
    pub memory: u64,
    /// Bytes of it that one query may have.
    pub query_memory: u64,
    /// CPU threads.
    pub threads: usize,
}

impl Share {
    /// The share of each of `nodes` nodes on this machine, as the configuration says, and where it
    /// says nothing: six tenths of the memory, half of it for one query.
    pub fn of(config: &Config, nodes: u32, threads: usize) -> Self {
        let machine = machine::memory();
        let memory = match config.memory_pool_size {
            Some(size) => size.of(machine),
            None => machine / 10 * 6 / u64::from(nodes.max(1)),
        };
        let query_memory = match config.query.max_memory_per_node {
            Some(size) => size.of(machine).min(memory),
            None => memory / 2,
        };
        Self { memory, query_memory, threads }
    }
}

/// Starts the service that knows who is in the cluster.
pub fn discovery(mut node: Node) -> Result<Running> {
    let renewal = node.security.start_renewal(node.shutdown.clone());
    let lifecycle = Lifecycle::new(node.info.clone());
    let service = DiscoveryService::start(DiscoveryOptions {
        lifecycle: lifecycle.clone(),
        security: node.security.clone(),
        internal_listener: node.internal.take(),
        http_listener: node.http_listener()?,
        lease: LEASE,
        metrics: node.metrics.clone(),
        shutdown: node.shutdown.clone(),
    });
    let service = tokio::spawn(service.stopped());
    let end = end_when_asked(&node, &lifecycle, std::future::ready(()));
    Ok(Running { parts: vec![service, renewal, end], _node: Arc::new(node) })
}

/// Where a node spools, and in what pieces.
#[derive(Debug, Clone)]
pub struct ExchangeSettings {
    /// The base directories.
    pub folders: Vec<PathBuf>,
    /// `exchange.sink-buffer-size`.
    pub sink_buffer_size: u64,
    /// `exchange.memory-cache-size`.
    pub memory_cache_size: u64,
}

impl ExchangeSettings {
    /// What `exchange-manager.properties` says; S3 is refused when it is read.
    pub fn of(config: &Config) -> Option<Self> {
        let manager = config.exchange_manager.as_ref()?;
        let folders = match &manager.base_directories {
            BaseDirectories::Local(folders) => folders.clone(),
            BaseDirectories::S3(_) => return None,
        };
        Some(Self {
            folders,
            sink_buffer_size: manager.sink_buffer_size.bytes(),
            memory_cache_size: manager.memory_cache_size.bytes(),
        })
    }

    /// Opens the spool, and finds out whether it can be used.
    async fn open(&self, node: &Node) -> Result<Spool> {
        let location = |folder: &PathBuf| {
            let name = folder.display().to_string();
            Location { store: Arc::new(FilesystemStore::new(name.clone(), folder)), name }
        };
        let locations = self.folders.iter().map(location).collect();
        let namespace = node.security.keys().spool_namespace();
        let spool = Spool::new(locations, namespace, &node.info.environment);
        spool.check().await.context("exchange.base-directories")?;
        Ok(spool)
    }
}

/// How a worker runs its tasks.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// What it may use.
    pub share: Share,
    /// `task.client.timeout`.
    pub client_timeout: Duration,
    /// Where tasks spool.
    pub exchange: Option<ExchangeSettings>,
    /// `task.max-spooled-tasks`.
    pub max_spooled_tasks: Option<u32>,
    /// `shutdown.grace-period`.
    pub grace_period: Duration,
}

/// Starts a service that executes tasks.
pub async fn worker(mut node: Node, settings: WorkerSettings) -> Result<Running> {
    let engine = engine(&node, settings.share)?;
    node.info.memory_bytes = engine.memory_limit() as u64;
    let threads = u32::try_from(settings.share.threads).unwrap_or(u32::MAX);
    node.info.task_slots = settings.max_spooled_tasks.unwrap_or(threads.max(2));
    let spool = match &settings.exchange {
        Some(exchange) => Some(WorkerSpool {
            spool: exchange.open(&node).await?,
            sink_buffer_bytes: usize::try_from(exchange.sink_buffer_size).unwrap_or(usize::MAX),
        }),
        None => None,
    };
    let mut limits = WorkerLimits::of_memory(engine.memory_limit());
    if let Some(own) = &settings.exchange {
        limits.spool_cache_bytes = usize::try_from(own.memory_cache_size).unwrap_or(usize::MAX);
    }
    let http = node.http_listener()?;
    let lifecycle = Lifecycle::new(node.info.clone());
    let mut running = WorkerService::start(WorkerOptions {
        lifecycle: lifecycle.clone(),
        security: node.security.clone(),
        engine: engine.clone(),
        internal_listener: node.internal.take(),
        client_timeout: settings.client_timeout,
        limits,
        spool,
        shutdown: node.shutdown.clone(),
    });
    let mut parts = running.take_parts();
    // Without TLS the HTTP port is the internal listener too.
    let internal = node.security.acceptor().is_none().then(|| running.router());
    let (node, running) = (Arc::new(node), Arc::new(running));
    let (facts, life, tasks) = (Arc::clone(&node), lifecycle.clone(), Arc::clone(&running));
    let started = Instant::now();
    let status = move || NodeStatus {
        tasks: tasks.running_tasks(),
        memory_reserved: tasks.memory_reserved() as u64,
        memory_limit: tasks.memory_limit() as u64,
        processors: settings.share.threads,
        ..status_of(&facts, life.state(), started, None)
    };
    let info = info::routes(status, lifecycle.clone(), internal.clone(), node.metrics.clone());
    let routes = match internal {
        Some(internal) => info.fallback_service(internal),
        None => info,
    };
    parts.push(node.security.start_renewal(node.shutdown.clone()));
    parts.push(Server::plain(http, routes, node.shutdown.clone()));
    parts.push(announce(&node, &lifecycle));
    let life = lifecycle.clone();
    let last = async move {
        if tokio::time::timeout(settings.grace_period, life.idle()).await.is_err() {
            tracing::warn!(after = ?settings.grace_period, "tasks still run: they fail");
            running.fail_tasks();
        }
        tokio::time::sleep(LAST_WORDS).await;
    };
    parts.push(end_when_asked(&node, &lifecycle, last));
    Ok(Running { parts, _node: node })
}

/// How a coordinator plans.
#[derive(Debug, Clone)]
pub struct CoordinatorSettings {
    /// What it may use.
    pub share: Share,
    /// Partitions inside a task (`task.concurrency`).
    pub partitions: usize,
    /// `task.bytes-per-partition`.
    pub bytes_per_partition: u64,
    /// `max-recursion-depth`.
    pub max_recursion_depth: u32,
    /// `query.client.timeout`.
    pub client_timeout: Duration,
    /// `http-server.process-forwarded`.
    pub process_forwarded: Forwarded,
    /// How many queries run, how long, and with how much memory.
    pub limits: QueryLimits,
    /// `protocol.v1.alternate-header-name`.
    pub alternate_header: Option<String>,
    /// The configured catalogs.
    pub catalogs: BTreeMap<String, Arc<dyn Connector>>,
    /// Where tasks spool.
    pub exchange: Option<ExchangeSettings>,
    /// What runs again after a failure.
    pub retry: Retry,
}

impl CoordinatorSettings {
    /// What a configuration says of `X-Forwarded-*` headers.
    pub fn forwarded(http: &waterbear_config::HttpServer) -> Forwarded {
        match http.process_forwarded {
            ProcessForwarded::Reject => Forwarded::Reject,
            ProcessForwarded::Accept => Forwarded::Accept,
            ProcessForwarded::Ignore => Forwarded::Ignore,
        }
    }

    /// The limits of a configuration.
    pub fn limits(query: &waterbear_config::Query) -> QueryLimits {
        QueryLimits {
            concurrent: query.max_concurrent_queries,
            queued: query.max_queued_queries,
            length: query.max_length,
            run_time: query.max_run_time,
            execution_time: query.max_execution_time,
            planning_time: query.max_planning_time,
            cpu_time: query.max_cpu_time,
            memory: query.max_memory.bytes(),
        }
    }
}

/// How tasks run again.
fn retry_options(retry: &Retry) -> RetryOptions {
    let limits = Limits {
        retries: retry.task_attempts,
        initial_delay: retry.initial_delay,
        max_delay: retry.max_delay,
        delay_scale: retry.delay_scale,
        memory: MemoryGrowth { factor: retry.task_memory_growth, ..MemoryGrowth::default() },
        ..Limits::default()
    };
    let task_memory = retry.task_memory.map(|size| size.bytes());
    let max_spool_bytes = retry.max_spool_size.bytes();
    RetryOptions { limits, task_memory, max_spool_bytes, no_nodes_after: NO_NODES_AFTER }
}

/// Starts the service that clients talk to.
pub async fn coordinator(mut node: Node, settings: CoordinatorSettings) -> Result<Running> {
    let engine = engine(&node, settings.share)?;
    let spool = match &settings.exchange {
        Some(exchange) => Some((exchange.open(&node).await?, retry_options(&settings.retry))),
        None => None,
    };
    let http = node.http_listener()?;
    let membership = Membership::spawn(
        node.security.client(Channel::Control),
        node.discovery.clone(),
        node.shutdown.clone(),
    );
    let coordinator = Coordinator::new(CoordinatorOptions {
        node: node.info.clone(),
        security: node.security.clone(),
        membership,
        engine: engine.clone(),
        catalogs: settings.catalogs,
        runner: RunnerOptions {
            partitions: settings.partitions,
            bytes_per_partition: usize::try_from(settings.bytes_per_partition)
                .unwrap_or(usize::MAX),
            workers_max_wait: WORKERS_MAX_WAIT,
            max_recursion_depth: settings.max_recursion_depth,
            retry_policy: settings.retry.policy,
            allowed_policies: settings.retry.allowed,
            bytes_per_task: usize::try_from(settings.retry.task_target_size.bytes())
                .unwrap_or(usize::MAX),
        },
        lease: LEASE,
        spool,
        client_timeout: settings.client_timeout,
        process_forwarded: settings.process_forwarded,
        limits: settings.limits,
        alternate_header: settings.alternate_header,
    });
    let routes = coordinator.routes();
    let (node, coordinator) = (Arc::new(node), Arc::new(coordinator));
    let lifecycle = Lifecycle::new(node.info.clone());
    let (facts, life, queries) = (Arc::clone(&node), lifecycle.clone(), Arc::clone(&coordinator));
    let started = Instant::now();
    let status = move || NodeStatus {
        tasks: queries.running_queries(),
        memory_reserved: engine.memory_reserved() as u64,
        memory_limit: engine.memory_limit() as u64,
        processors: settings.share.threads,
        ..status_of(&facts, life.state(), started, Some(queries.start_id()))
    };
    let operators = operators_in_clear(&node, &lifecycle);
    let info: Router = info::routes(status, lifecycle.clone(), operators, node.metrics.clone());
    let last = async move { coordinator.shut_down().await };
    let parts = vec![
        node.security.start_renewal(node.shutdown.clone()),
        Server::plain(http, info.fallback_service(routes), node.shutdown.clone()),
        announce(&node, &lifecycle),
        end_when_asked(&node, &lifecycle, last),
    ];
    Ok(Running { parts, _node: node })
}

fn engine(node: &Node, share: Share) -> Result<Engine> {
    let options = EngineOptions {
        name: node.info.role.name().to_owned(),
        memory_limit: usize::try_from(share.memory).unwrap_or(usize::MAX),
        query_memory_limit: usize::try_from(share.query_memory).unwrap_or(usize::MAX),
        threads: share.threads,
        spill_dir: node.folder.path().join("spill"),
    };
    Engine::new(options).context("the query engine does not start")
}

fn status_of(
    node: &Node,
    state: NodeState,
    started: Instant,
    coordinator_id: Option<&str>,
) -> NodeStatus {
    NodeStatus {
        node_id: node.info.node_id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: node.info.environment.clone(),
        role: node.info.role.name(),
        coordinator_id: coordinator_id.map(str::to_owned),
        starting: false,
        uptime: started.elapsed(),
        state,
        internal_address: node.info.host.clone(),
        memory_reserved: 0,
        memory_limit: 0,
        processors: 0,
        tasks: 0,
    }
}

/// Makes the connectors of the configured catalogs; names all that is wrong with any of them.
pub fn catalogs(
    configured: &[(String, String, BTreeMap<String, String>, PathBuf)],
) -> Result<BTreeMap<String, Arc<dyn Connector>>> {
    let mut catalogs = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, connector, properties, file) in configured {
        match waterbear_connector::create(name, connector, properties) {
            Ok(connector) => {
                catalogs.insert(name.clone(), connector);
            }
            Err(found) => {
                problems.extend(found.iter().map(|what| format!("{}: {what}", file.display())));
            }
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(catalogs)
}
