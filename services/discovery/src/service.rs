//! The process around the registry: two listeners and a clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use waterbear_outbound::NodeSecurity;
use waterbear_protocol::membership::{NodeInfo, Role};
use waterbear_serve::info::{self, NodeStatus};
use waterbear_serve::{Lifecycle, Server, stacks, state};
use waterbear_telemetry::{MetricsHandle, ServiceMetrics};

use crate::api::{self, Listing};

/// The longest announcement.
const BODY_LIMIT: usize = 64 << 10;

/// What a discovery is made of.
pub struct DiscoveryOptions {
    /// What it is called, where it listens, and its state.
    pub lifecycle: Lifecycle,
    /// Its identity.
    pub security: NodeSecurity,
    /// The internal listener (mutual TLS); none where the cluster does without TLS: then the
    /// HTTP listener serves the internal routes too.
    pub internal_listener: Option<TcpListener>,
    /// The plain listener: `/v1/info`, `/v1/status`, `/metrics`.
    pub http_listener: TcpListener,
    /// How long an announcement is good for.
    pub lease: Duration,
    /// The process's metrics.
    pub metrics: MetricsHandle,
    /// Ends the service.
    pub shutdown: CancellationToken,
}

/// A running discovery.
pub struct DiscoveryService {
    tasks: JoinSet<()>,
}

impl DiscoveryService {
    /// Starts to serve.
    pub fn start(options: DiscoveryOptions) -> Self {
        let DiscoveryOptions { lifecycle, security, lease, shutdown, .. } = options;
        let node = lifecycle.node();
        let listing = Arc::new(Listing::new(lifecycle.clone(), lease, shutdown.clone()));
        let require = security.require(&[Role::Coordinator, Role::Worker, Role::Operator]);
        let metrics = ServiceMetrics::new(node.role.name(), node.node_id.as_str());
        let routes = api::routes(listing.clone()).merge(state::internal(lifecycle.clone()));
        let internal = stacks::internal_control(routes, require, &metrics, BODY_LIMIT);
        // Without TLS one listener has both.
        let operators = security.acceptor().is_none().then(|| internal.clone());
        let status = status_of(node, lifecycle.clone());
        let info = info::routes(status, lifecycle, operators, options.metrics);

        let mut tasks = JoinSet::new();
        let mut serve = |server: tokio::task::JoinHandle<()>| {
            // A server's own end is all that it can report.
            tasks.spawn(async move { drop(server.await) });
        };
        let plain = match (options.internal_listener, security.acceptor()) {
            (Some(listener), Some(acceptor)) => {
                serve(Server::mutual_tls(listener, acceptor, internal, shutdown.clone()));
                info
            }
            _ => info.fallback_service(internal),
        };
        serve(Server::plain(options.http_listener, plain, shutdown.clone()));
        tasks.spawn(async move { listing.tick().await });
        Self { tasks }
    }

    /// Waits until everything has ended after the shutdown.
    pub async fn stopped(self) {
        self.tasks.join_all().await;
    }
}

fn status_of(node: NodeInfo, lifecycle: Lifecycle) -> impl Fn() -> NodeStatus {
    let started = Instant::now();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    move || NodeStatus {
        node_id: node.node_id.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: node.environment.clone(),
        role: node.role.name(),
        coordinator_id: None,
        starting: false,
        uptime: started.elapsed(),
        state: lifecycle.state(),
        internal_address: node.host.clone(),
        memory_reserved: 0,
        memory_limit: 0,
        processors,
        tasks: 0,
    }
}
