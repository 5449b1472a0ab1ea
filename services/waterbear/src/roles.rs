//! `waterbear discovery | coordinator | worker`: one role, one process.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use waterbear_config::Config;
use waterbear_ids::NodeId;
use waterbear_outbound::Peer;
use waterbear_protocol::membership::Role;
use waterbear_telemetry::{init_logging, install_metrics};

use crate::cluster::{self, CoordinatorSettings, ExchangeSettings, Running, Share, WorkerSettings};
use crate::machine;
use crate::node::{Node, NodeSpec, Stop};

/// Where the configuration is.
pub struct Source {
    /// The folder with Trino's files.
    pub etc_dir: Option<PathBuf>,
    /// Properties that override the files.
    pub properties: Vec<(String, String)>,
}

/// Runs one role until it is told to end.
pub async fn run(role: Role, source: &Source) -> ExitCode {
    init_logging();
    match serve(role, source).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waterbear {role}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(role: Role, source: &Source) -> Result<()> {
    let config = Config::load(role, source.etc_dir.as_deref(), &source.properties, &environment)?;
    warn(&config);
    let catalogs = cluster::catalogs(&catalog_files(&config))?;
    let stop = Stop::default();
    stop_at_signals(&stop)?;
    let node = Node::open(spec(role, &config).await?, install_metrics(), &stop).await?;
    announce_start(&node);
    let running = start(role, node, &config, catalogs).await?;
    running.ended().await;
    Ok(())
}

async fn start(
    role: Role,
    node: Node,
    config: &Config,
    catalogs: BTreeMap<String, std::sync::Arc<dyn waterbear_connector::Connector>>,
) -> Result<Running> {
    let threads = config.task.max_worker_threads.unwrap_or_else(machine::cores);
    let share = Share::of(config, 1, threads);
    match role {
        Role::Worker => {
            let settings = WorkerSettings {
                share,
                client_timeout: config.task.client_timeout,
                exchange: ExchangeSettings::of(config),
                max_spooled_tasks: config.task.max_spooled_tasks,
                grace_period: config.shutdown_grace_period,
            };
            cluster::worker(node, settings).await
        }
        Role::Coordinator => {
            let settings = CoordinatorSettings {
                share: Share { threads: machine::cores(), ..share },
                partitions: config.task.concurrency.unwrap_or(threads),
                bytes_per_partition: config.task.bytes_per_partition.bytes(),
                client_timeout: config.query.client_timeout,
                process_forwarded: CoordinatorSettings::forwarded(&config.http),
                limits: CoordinatorSettings::limits(&config.query),
                max_recursion_depth: config.query.max_recursion_depth,
                alternate_header: config.http.alternate_header.clone(),
                catalogs,
                exchange: ExchangeSettings::of(config),
                retry: config.retry.clone(),
            };
            cluster::coordinator(node, settings).await
        }
        Role::Discovery | Role::Operator => cluster::discovery(node),
    }
}

/// Reads an environment variable for `${ENV:NAME}`.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Logs what the configuration has without its usual effect.
pub fn warn(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
}

/// The configured catalogs as name, connector, properties and file.
pub fn catalog_files(config: &Config) -> Vec<(String, String, BTreeMap<String, String>, PathBuf)> {
    let parts = |catalog: &waterbear_config::Catalog| {
        (
            catalog.name.clone(),
            catalog.connector_name.clone(),
            catalog.properties.clone(),
            catalog.file.clone(),
        )
    };
    config.catalogs.iter().map(parts).collect()
}

/// The discovery services of a configuration.
pub fn discovery_peers(config: &Config) -> Vec<Peer> {
    let peer = |uri: &waterbear_config::DiscoveryUri| Peer::Discovery {
        host: uri.host.clone(),
        port: uri.port,
        https: uri.https,
    };
    config.discovery.iter().map(peer).collect()
}

async fn spec(role: Role, config: &Config) -> Result<NodeSpec> {
    let https = config.internal.https_required;
    let discovery = discovery_peers(config);
    let host = match &config.node.internal_address {
        Some(address) => address.clone(),
        None => waterbear_membership::own_host(&discovery).await,
    };
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let private = if https { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { any };
    let http_port = config.http.http_port.context("http-server.http.port is required")?;
    let has_internal = https && role != Role::Coordinator;
    let internal = match config.http.https_port {
        Some(port) if has_internal => {
            Some(SocketAddr::new(config.node.bind_ip.unwrap_or(any), port))
        }
        _ => None,
    };
    let secret = config.internal.shared_secret.as_ref();
    let secret = secret.context("internal-communication.shared-secret is required")?;
    Ok(NodeSpec {
        role,
        environment: config.node.environment.clone(),
        id: config.node.id.clone().unwrap_or_else(NodeId::random),
        host,
        http: SocketAddr::new(config.node.bind_ip.unwrap_or(private), http_port),
        internal,
        secret: secret.expose().as_bytes().to_vec(),
        https,
        http2: config.internal.http2,
        data_dir: config.node.data_dir.clone().context("node.data-dir is required")?,
        discovery,
    })
}

/// Says in a few lines what is where.
fn announce_start(node: &Node) {
    let info = &node.info;
    tracing::info!(
        node = %info.node_id, environment = %info.environment, build = %info.build,
        "{} starts", info.role
    );
    tracing::info!("http on port {}: /v1/info, /v1/status, /metrics", info.http_port);
    if node.internal.is_some() {
        tracing::info!(
            "internal requests at https://{}:{} (mutual TLS)",
            info.host,
            info.internal_port
        );
    }
    if info.role == Role::Coordinator {
        tracing::info!("clients at http://{}:{}", info.host, info.http_port);
    }
    for discovery in &node.discovery {
        tracing::info!("looks for the cluster at {}", discovery.label());
    }
}

/// Asks the process to end at SIGTERM or SIGINT; at the second one it ends at once.
pub fn stop_at_signals(stop: &Stop) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        let steps = [(stop.asked, "is to end"), (stop.now, "is to end at once")];
        for (token, what) in steps {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("{what}");
            token.cancel();
        }
    });
    Ok(())
}
