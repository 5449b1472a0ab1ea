//! Runs task attempts and serves their output.
//!
//! Layout: [`WorkerService`] puts a worker together and serves it; `task_api` is what other nodes
//! ask of it, `task` the life of one attempt, `tasks` all of them and their leases, `records` what
//! they have committed, `cache` the memory that keeps their outputs for readers here.

mod cache;
mod limits;
mod metric;
mod records;
mod task;
mod task_api;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use waterbear_engine::Engine;
use waterbear_exchange::ExchangeMetrics;
use waterbear_outbound::{Channel, InternalClient, NodeSecurity};
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::task::TaskStatus;
use waterbear_serve::{Lifecycle, Server};
use waterbear_spool::{OutputCache, Spool};
use waterbear_telemetry::ServiceMetrics;

pub use limits::WorkerLimits;
use metric::TaskMetrics;
use tasks::Tasks;

/// What a worker is made of.
#[derive(Debug)]
pub struct WorkerOptions {
    /// This node's life: it takes tasks while it is active.
    pub lifecycle: Lifecycle,
    /// Its identity.
    pub security: NodeSecurity,
    /// Where plans run.
    pub engine: Engine,
    /// The internal listener; none when the caller serves [`RunningWorker::router`] itself.
    pub internal_listener: Option<TcpListener>,
    /// A task whose coordinator has not asked for its status for so long is aborted
    /// (`task.client.timeout`).
    pub client_timeout: Duration,
    /// Memory and concurrency of exchanges.
    pub limits: WorkerLimits,
    /// Where tasks spool; none without an exchange manager.
    pub spool: Option<WorkerSpool>,
    /// Stops the worker.
    pub shutdown: CancellationToken,
}

/// Where the tasks of a worker spool.
#[derive(Debug, Clone)]
pub struct WorkerSpool {
    /// The locations.
    pub spool: Spool,
    /// Bytes of pages that come together before a task writes them (`exchange.sink-buffer-size`).
    pub sink_buffer_bytes: usize,
}

/// What all tasks of a worker share.
#[derive(Debug)]
struct Worker {
    node: NodeInfo,
    lifecycle: Lifecycle,
    engine: Engine,
    exchange: InternalClient,
    /// The runtime for I/O, on which requests are served and made.
    io: Handle,
    client_timeout: Duration,
    limits: WorkerLimits,
    exchange_metrics: ExchangeMetrics,
    spool: Option<WorkerSpool>,
    cache: OutputCache,
    tasks: Tasks,
    shutdown: CancellationToken,
}

/// Starts workers.
#[derive(Debug)]
pub struct WorkerService;

impl WorkerService {
    /// Starts to serve the task API. Must be called on the runtime for I/O.
    pub fn start(options: WorkerOptions) -> RunningWorker {
        let WorkerOptions {
            lifecycle,
            security,
            engine,
            internal_listener,
            client_timeout,
            limits,
            spool,
            shutdown,
        } = options;
        let node = lifecycle.node();
        let cache = cache::over(&engine, limits.spool_cache_bytes);
        let spool = spool.map(|own| {
            let spool = own.spool.with_cache(cache.clone());
            WorkerSpool { spool, ..own }
        });
        let metrics = ServiceMetrics::new("worker", node.node_id.to_string());
        let worker = Arc::new(Worker {
            exchange: security.client(Channel::Exchange),
            exchange_metrics: ExchangeMetrics::new(&metrics.labels()),
            tasks: Tasks::new(TaskMetrics::new(&metrics)),
            io: Handle::current(),
            node,
            lifecycle,
            engine,
            client_timeout,
            limits,
            spool,
            cache,
            shutdown: shutdown.clone(),
        });
        let router = task_api::router(&worker, &security, &metrics);
        let leases = tokio::spawn(tasks::watch_leases(Arc::clone(&worker)));
        let server = internal_listener.map(|listener| match security.acceptor() {
            Some(acceptor) => {
                Server::mutual_tls(listener, acceptor, router.clone(), shutdown.clone())
            }
            None => Server::plain(listener, router.clone(), shutdown.clone()),
        });
        let parts = std::iter::once(leases).chain(server).collect();
        RunningWorker { worker, router, parts }
    }
}

/// A worker that serves.
#[derive(Debug)]
pub struct RunningWorker {
    worker: Arc<Worker>,
    router: Router,
    /// What runs until the shutdown.
    parts: Vec<JoinHandle<()>>,
}

impl RunningWorker {
    /// The task API with its stacks.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// How many tasks are not done.
    pub fn running_tasks(&self) -> usize {
        self.worker.tasks.running().len()
    }

    /// The status of each task that is not done.
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.worker.tasks.running().iter().map(|task| task.status()).collect()
    }

    /// Fails each task that is not done, with this worker's name: it is about to end.
    pub fn fail_tasks(&self) {
        tasks::fail_all(&self.worker);
    }

    /// Bytes that tasks hold of the engine's memory.
    pub fn memory_reserved(&self) -> usize {
        self.worker.engine.memory_reserved()
    }

    /// Bytes that tasks may hold together.
    pub fn memory_limit(&self) -> usize {
        self.worker.engine.memory_limit()
    }

    /// Fails what runs, answers who waits, and ends. Takes at most the few seconds that requests
    /// under way have.
    pub async fn shutdown(mut self) {
        self.worker.shutdown.cancel();
        for part in self.take_parts() {
            // Each ends by the token; a panic in one was reported where it happened.
            let _ = part.await;
        }
    }

    /// What runs until the shutdown, for a caller who waits for its end by himself.
    pub fn take_parts(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.parts)
    }
}
