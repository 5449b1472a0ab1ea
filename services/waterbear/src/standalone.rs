//! `waterbear standalone`: a whole cluster in one process, over the same mutual TLS and the same
//! stacks as in production.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use waterbear_config::{Config, Process, Secret};
use waterbear_ids::NodeId;
use waterbear_outbound::Peer;
use waterbear_protocol::membership::Role;
use waterbear_serve::BindError;
use waterbear_telemetry::{MetricsHandle, init_logging, install_metrics};

use crate::cluster::{self, CoordinatorSettings, ExchangeSettings, Running, Share, WorkerSettings};
use crate::machine;
use crate::node::{Node, NodeSpec, Stop, loopback};
use crate::roles::{catalog_files, environment, stop_at_signals, warn, warn_of_faults};
use crate::sql::{self, SqlArgs};

/// The port of clients, unless it is taken or another was asked for.
const DEFAULT_PORT: u16 = 8080;
/// `exchange.sink-buffer-size` where there is no exchange-manager.properties.
const DEFAULT_SINK_BUFFER: u64 = 32 << 20;
/// How long the first statement waits for the workers to appear.
const READY: Duration = Duration::from_secs(10);

/// What `standalone` can be told.
#[derive(Args)]
pub struct StandaloneArgs {
    /// Workers in the cluster.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Port of the client API on 127.0.0.1; 0 is any that is free.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Folder for the cluster's own files; a temporary one if absent.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder with config.properties and catalog/*.properties.
    #[arg(long, value_name = "DIR")]
    etc_dir: Option<PathBuf>,
    /// A property that overrides the files; may be repeated.
    #[arg(short = 'D', value_name = "PROPERTY=VALUE", value_parser = crate::property)]
    properties: Vec<(String, String)>,
    /// Run these statements, print their rows, and end.
    #[arg(long, value_name = "SQL")]
    execute: Option<String>,
}

/// Runs the cluster until it is told to stop, or until the statements are done.
pub async fn run(args: StandaloneArgs) -> ExitCode {
    if args.execute.is_some() {
        // Rows go to stdout, and what goes wrong to stderr; a log would only be in the way.
        waterbear_telemetry::init_quiet_logging();
    } else {
        init_logging();
    }
    match serve(args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("waterbear standalone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: StandaloneArgs) -> Result<ExitCode> {
    let config =
        Config::load(Process::Standalone, args.etc_dir.as_deref(), &args.properties, &environment)?;
    warn(&config);
    let stop = Stop::default();
    stop_at_signals(&stop)?;
    let cluster = Cluster::start(&args, &config, &stop).await?;
    let Some(statements) = args.execute else {
        cluster.say(args.workers);
        cluster.ended(&stop).await;
        return Ok(ExitCode::SUCCESS);
    };
    let server = format!("http://127.0.0.1:{}", cluster.port);
    let code = tokio::select! {
        code = sql::run(SqlArgs::for_statements(server, statements)) => code,
        () = stop.asked.cancelled() => ExitCode::from(130),
    };
    stop.asked.cancel();
    cluster.ended(&stop).await;
    Ok(code)
}

struct Cluster {
    coordinator: Running,
    others: Vec<Running>,
    port: u16,
    data_dir: PathBuf,
    /// Removed at the end.
    _temporary: Option<TempDir>,
}

impl Cluster {
    async fn start(args: &StandaloneArgs, config: &Config, stop: &Stop) -> Result<Self> {
        let (data_dir, temporary) = data_dir(args, config)?;
        let secret = match &config.internal.shared_secret {
            Some(secret) => secret.clone(),
            None => Secret::generate()?,
        };
        let maker = Maker {
            config,
            secret,
            data_dir: data_dir.clone(),
            metrics: install_metrics(),
            stop: stop.clone(),
        };
        let discovery = maker.node(Role::Discovery, 0, 0, Vec::new()).await?;
        let peers = vec![Peer::Discovery {
            host: "127.0.0.1".to_owned(),
            port: discovery.info.internal_port,
            https: config.internal.https_required,
        }];
        let mut others = vec![cluster::discovery(discovery)?];
        let share = share(config, args.workers);
        // A whole cluster on one machine has a folder that all its nodes share.
        let exchange = ExchangeSettings::of(config).unwrap_or_else(|| ExchangeSettings {
            folders: vec![data_dir.join("exchange")],
            sink_buffer_size: DEFAULT_SINK_BUFFER,
            memory_cache_size: 0,
        });
        for number in 1..=args.workers {
            let node = maker.node(Role::Worker, number, 0, peers.clone()).await?;
            let settings = WorkerSettings {
                share,
                client_timeout: config.task.client_timeout,
                exchange: Some(exchange.clone()),
                max_spooled_tasks: config.task.max_spooled_tasks,
                grace_period: config.shutdown_grace_period,
            };
            others.push(cluster::worker(node, settings).await?);
        }
        let node = maker.coordinator(args, peers.clone()).await?;
        let port = node.info.http_port;
        wait_for_workers(&node, args.workers as usize).await;
        let settings = CoordinatorSettings {
            share: Share { threads: machine::cores(), ..share },
            partitions: config.task.concurrency.unwrap_or(share.threads),
            bytes_per_partition: config.task.bytes_per_partition.bytes(),
            client_timeout: config.query.client_timeout,
            process_forwarded: CoordinatorSettings::forwarded(&config.http),
            limits: CoordinatorSettings::limits(&config.query),
            max_recursion_depth: config.query.max_recursion_depth,
            alternate_header: config.http.alternate_header.clone(),
            catalogs: cluster::catalogs(&catalogs(args, config))?,
            exchange: Some(exchange),
            retry: config.retry.clone(),
        };
        let coordinator = cluster::coordinator(node, settings).await?;
        Ok(Self { coordinator, others, port, data_dir, _temporary: temporary })
    }

    fn say(&self, workers: u32) {
        warn_of_faults();
        tracing::info!("cluster of 1 discovery, 1 coordinator, {workers} workers is ready");
        tracing::info!("clients at http://127.0.0.1:{}", self.port);
        tracing::info!("its own files in {}", self.data_dir.display());
        tracing::info!(
            "try: waterbear sql --server http://127.0.0.1:{} --execute \
             \"SELECT name FROM tpch.tiny.nation LIMIT 3\"",
            self.port
        );
    }

    /// Without its coordinator a cluster has nothing to do, and nothing to wait for.
    async fn ended(self, stop: &Stop) {
        self.coordinator.ended().await;
        stop.now.cancel();
        for node in self.others {
            node.ended().await;
        }
    }
}

/// Makes the nodes of one standalone cluster.
struct Maker<'a> {
    config: &'a Config,
    secret: Secret,
    data_dir: PathBuf,
    metrics: MetricsHandle,
    stop: Stop,
}

impl Maker<'_> {
    async fn node(
        &self,
        role: Role,
        number: u32,
        http_port: u16,
        discovery: Vec<Peer>,
    ) -> Result<Node> {
        let id: NodeId = match role {
            Role::Worker => format!("worker-{number}").parse()?,
            role => role.name().parse()?,
        };
        let https = self.config.internal.https_required;
        let spec = NodeSpec {
            role,
            environment: self.config.node.environment.clone(),
            id,
            host: "127.0.0.1".to_owned(),
            http: match self.config.node.bind_ip {
                Some(ip) if role == Role::Coordinator => (ip, http_port).into(),
                _ => loopback(http_port),
            },
            internal: (https && role != Role::Coordinator).then(|| loopback(0)),
            secret: self.secret.expose().as_bytes().to_vec(),
            https,
            http2: self.config.internal.http2,
            data_dir: self.data_dir.clone(),
            discovery,
        };
        Node::open(spec, self.metrics.clone(), &self.stop).await
    }

    /// The coordinator at the port that was asked for; else at the default one; else, and for
    /// statements, at any that is free.
    async fn coordinator(&self, args: &StandaloneArgs, discovery: Vec<Peer>) -> Result<Node> {
        let asked = args.port.or(self.config.http.http_port);
        let port = match asked {
            Some(port) => port,
            None if args.execute.is_some() => 0,
            None => DEFAULT_PORT,
        };
        match self.node(Role::Coordinator, 0, port, discovery.clone()).await {
            Err(error) if asked.is_none() && is_taken(&error) => {
                self.node(Role::Coordinator, 0, 0, discovery).await
            }
            node => node,
        }
    }
}

fn is_taken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<BindError>(), Some(BindError::InUse { .. }))
}

/// The folder for the cluster's files, and its guard if it is a temporary one.
fn data_dir(args: &StandaloneArgs, config: &Config) -> Result<(PathBuf, Option<TempDir>)> {
    if let Some(folder) = args.data_dir.as_ref().or(config.node.data_dir.as_ref()) {
        return Ok((folder.clone(), None));
    }
    let folder = tempfile::Builder::new().prefix("waterbear-").tempdir();
    let folder = folder.context("cannot make a temporary folder; name one with --data-dir")?;
    Ok((folder.path().to_owned(), Some(folder)))
}

/// Memory and threads, divided by the workers.
fn share(config: &Config, workers: u32) -> Share {
    let threads = config
        .task
        .max_worker_threads
        .unwrap_or_else(|| (machine::cores() / workers as usize).max(1));
    Share::of(config, workers, threads)
}

/// The configured catalogs; without a folder of them there are tpch and memory.
fn catalogs(
    args: &StandaloneArgs,
    config: &Config,
) -> Vec<(String, String, BTreeMap<String, String>, PathBuf)> {
    match args.etc_dir {
        Some(_) => catalog_files(config),
        None => ["memory", "tpch"]
            .map(|name| (name.to_owned(), name.to_owned(), BTreeMap::new(), PathBuf::new()))
            .to_vec(),
    }
}

/// Waits until discovery lists all workers, so that the first query has them all.
async fn wait_for_workers(node: &Node, workers: usize) {
    let client = node.security.client(waterbear_outbound::Channel::Control);
    let watching = CancellationToken::new();
    let guard = watching.clone().drop_guard();
    let mut membership =
        waterbear_membership::Membership::spawn(client, node.discovery.clone(), watching);
    let all_there = async {
        while membership.view().active_workers().count() < workers {
            membership.changed().await;
        }
    };
    if tokio::time::timeout(READY, all_there).await.is_err() {
        tracing::warn!("not all {workers} workers appeared within {READY:?}");
    }
    drop(guard);
}
