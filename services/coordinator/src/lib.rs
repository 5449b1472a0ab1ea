//! Client API, planner, scheduler and the life of a query.
//!
//! Layout: [`client_api`] speaks with clients; [`query`] is one query's life, its
//! [`query::runner`] the order of things; [`statements`] are
//! those that need no plan, [`write`](mod@write) those that change catalogs; [`catalogs`] and [`system`]
//! are what can be queried; [`planner`] cuts plans into fragments; [`scheduler`] runs them as
//! tasks on workers; [`transactions`] are open ones. [`Coordinator`] puts them together.

pub mod catalogs;
pub mod client_api;
pub mod explain;
pub mod planner;
pub mod query;
pub mod scheduler;
pub mod statements;
pub mod system;
pub mod transactions;
pub mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::runtime::Handle;
use waterbear_connector::Connector;
use waterbear_engine::Engine;
use waterbear_exchange::ExchangeMetrics;
use waterbear_ids::NodeId;
use waterbear_membership::Membership;
use waterbear_outbound::{Channel, NodeSecurity};
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_serve::stacks;
use waterbear_spool::Spool;
use waterbear_telemetry::ServiceMetrics;

use crate::catalogs::Catalogs;
use crate::client_api::{ClientApiOptions, Forwarded, Ready};
use crate::query::handle::QueryRegistry;
use crate::query::limits::QueryLimits;
use crate::query::runner::{Runner, RunnerOptions};
use crate::scheduler::health::Health;
use crate::scheduler::run::reader_options;
use crate::scheduler::spooled::{RetryOptions, SpooledOptions, SpooledScheduler};
use crate::scheduler::{Endings, RunOptions};
use crate::system::SystemSources;

/// Requests of clients that are served at once; more are told to come again.
const CLIENT_CONCURRENCY: usize = 2048;
/// How long a coordinator that ends waits for the ends of its queries.
const LAST_WORK: Duration = Duration::from_secs(2);
/// How long clients between two requests then have to hear why their queries failed.
const CLIENTS_HEAR: Duration = Duration::from_millis(250);
/// Bytes of a request's body; a statement's own limit (`query.max-length`) is lower.
const CLIENT_BODY_LIMIT: usize = 16 << 20;

/// What a coordinator is made of.
pub struct CoordinatorOptions {
    /// This node.
    pub node: NodeInfo,
    /// Its identity.
    pub security: NodeSecurity,
    /// The cluster.
    pub membership: Membership,
    /// Runs the last stage of queries.
    pub engine: Engine,
    /// The configured catalogs, by name.
    pub catalogs: BTreeMap<String, Arc<dyn Connector>>,
    /// How queries are cut.
    pub runner: RunnerOptions,
    /// How long a worker may be silent before it counts as lost.
    pub lease: Duration,
    /// Where tasks leave their output, and how they run again; none without an exchange manager.
    pub spool: Option<(Spool, RetryOptions)>,
    /// `query.client.timeout`.
    pub client_timeout: Duration,
    /// `http-server.process-forwarded`.
    pub process_forwarded: Forwarded,
    /// How many queries run, how long, and with how much memory.
    pub limits: QueryLimits,
    /// `protocol.v1.alternate-header-name`.
    pub alternate_header: Option<String>,
}

/// The coordinator's parts, wired.
pub struct Coordinator {
    node_id: NodeId,
    registry: Arc<QueryRegistry>,
    routes: Router,
    endings: Endings,
}

impl Coordinator {
    /// Wires the parts. Must be called on the runtime for I/O.
    pub fn new(options: CoordinatorOptions) -> Self {
        let registry = Arc::new(QueryRegistry::new());
        let nodes = nodes_source(options.node.clone(), options.membership.clone());
        let sources = SystemSources { registry: Arc::clone(&registry), nodes };
        let catalogs = Arc::new(Catalogs::new(options.catalogs, sources));
        let metrics = ServiceMetrics::new(options.node.role.name(), options.node.node_id.as_str());
        let (io, exchange_metrics) = (Handle::current(), ExchangeMetrics::new(&metrics.labels()));
        let control = options.security.client(Channel::Control);
        let health = Health::start(&io, options.lease);
        let endings = Endings::default();
        let spooled = options.spool.map(|(spool, retry)| {
            let spooled = SpooledOptions {
                spool,
                retry,
                control: control.clone(),
                reader: reader_options(&io, &exchange_metrics),
                io: io.clone(),
                cpu: options.engine.runtime().clone(),
                health: health.clone(),
                endings: endings.clone(),
            };
            SpooledScheduler::start(spooled, options.membership.clone())
        });
        let run = RunOptions {
            engine: options.engine.clone(),
            control,
            exchange: options.security.client(Channel::Exchange),
            io,
            exchange_metrics,
            health,
            endings: endings.clone(),
            spooled,
        };
        let cluster = options.membership.clone();
        let ready = Ready::when(move || cluster.view().known);
        let runner = Runner::new(catalogs, options.membership, options.runner, run);
        let api = ClientApiOptions {
            client_timeout: options.client_timeout,
            process_forwarded: options.process_forwarded,
            alternate_header: options.alternate_header,
            limits: options.limits,
            ready,
            https: false,
            runtime: options.engine.runtime().clone(),
            endings: endings.clone(),
        };
        let routes = client_api::routes(Arc::clone(&registry), Arc::new(runner), api);
        let routes = stacks::client(routes, &metrics, CLIENT_CONCURRENCY, CLIENT_BODY_LIMIT);
        Self { node_id: options.node.node_id, registry, routes, endings }
    }

    /// The client API behind its stack.
    pub fn routes(&self) -> Router {
        self.routes.clone()
    }

    /// What this coordinator's query ids end with.
    pub fn start_id(&self) -> &str {
        self.registry.start_id()
    }

    /// Takes no more queries, fails those that run, and waits until nothing of them is left: no
    /// task on a worker, nothing in the spool. Waits at most 2 s; what is left then frees itself on
    /// the workers after `task.client.timeout`, and is swept from the spool by the next coordinator.
    pub async fn shut_down(&self) {
        let somebody_asks = self.running_queries() > 0;
        let text = format!("coordinator {} is shutting down", self.node_id);
        self.registry.close(&Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, text));
        if !self.endings.finish(LAST_WORK).await {
            tracing::warn!("queries have left something on workers or in the spool");
        }
        if somebody_asks {
            tokio::time::sleep(CLIENTS_HEAR).await;
        }
    }

    /// Queries that are not done.
    pub fn running_queries(&self) -> usize {
        self.registry.all().iter().filter(|query| !query.state().is_done()).count()
    }
}

/// The cluster as `system.runtime.nodes` shows it: this node is in it even before a discovery
/// lists it.
fn nodes_source(
    own: NodeInfo,
    membership: Membership,
) -> Arc<dyn Fn() -> Vec<NodeInfo> + Send + Sync> {
    Arc::new(move || {
        let mut nodes = membership.view().nodes.clone();
        if !nodes.iter().any(|node| node.node_id == own.node_id) {
            nodes.push(own.clone());
        }
        nodes
    })
}
