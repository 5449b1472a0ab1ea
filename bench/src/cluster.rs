//! A cluster of real processes on this machine: discovery, a coordinator, workers.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cgroup::{CpuLimits, Group};
use crate::client::Client;
use crate::place::Place;

/// How long a cluster may take to be complete.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of a table that one task reads under TASK.
const TASK_SIZE: &str =
    "fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min";
/// The coordinator's role, and its name.
pub const COORDINATOR: &str = "coordinator";
/// What of a log is shown.
const LOG_LINES: usize = 20;

/// `property=value` lines.
pub type Properties = Vec<(&'static str, String)>;

/// What a cluster is made of.
#[derive(Default)]
pub struct Shape {
    /// Workers that it starts with, each with one CPU thread.
    pub workers: usize,
    /// Mutual TLS between the nodes.
    pub tls: bool,
    /// retry-policy TASK, with a spool in the cluster's folder.
    pub retries: bool,
    /// Catalogs by name.
    pub catalogs: Vec<(&'static str, Properties)>,
    /// More properties of the coordinator.
    pub coordinator: Properties,
    /// How much of a core each worker may use, of the limits of this machine.
    pub cores: Option<(CpuLimits, f64)>,
}

/// A cluster; its processes and folders end with it.
pub struct Cluster {
    nodes: Vec<Node>,
    client: Client,
    shape: Shape,
    waterbear: PathBuf,
    discovery_uri: String,
    workers_made: usize,
    /// By worker. A group can only be removed when its process has ended: after `nodes`.
    groups: BTreeMap<String, Group>,
    folder: TempDir,
}

/// What of a node's `/v1/status` says whether it works.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    tasks: u64,
    memory_info: MemoryInfo,
}

#[derive(Deserialize)]
struct MemoryInfo {
    pool: Pool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    reserved_bytes: u64,
}

/// A node that was killed.
pub struct Killed(Node);

/// One process of a cluster.
pub struct Node {
    /// `node.id`.
    pub name: String,
    is_worker: bool,
    http: u16,
    log: PathBuf,
    child: Child,
}

impl Node {
    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    fn ensure_running(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            bail!("{} ended with {status}:\n{end}", self.name);
        }
        Ok(())
    }
}

/// The catalog `tpch`, generated as it is read.
pub fn generated() -> (&'static str, Properties) {
    let properties = [
        ("connector.name", "tpch"),
        ("tpch.column-naming", "STANDARD"),
        ("tpch.double-type-mapping", "DECIMAL"),
    ];
    ("tpch", properties.map(|(name, value)| (name, value.to_owned())).to_vec())
}

/// The catalog `files` over a folder.
pub fn parquet(location: &Path) -> (&'static str, Properties) {
    let location = location.display().to_string();
    ("files", vec![("connector.name", "files".to_owned()), ("files.location", location)])
}

impl Cluster {
    /// Starts all processes and waits until every worker is listed.
    pub async fn start(place: &Place, shape: Shape) -> anyhow::Result<Self> {
        let folder = place.scratch()?;
        write_secret(&place.waterbear, &folder.path().join("secret")).await?;
        let [discovery_http, discovery_https, coordinator_http] = free_ports()?;
        let discovery_uri = match shape.tls {
            true => format!("https://127.0.0.1:{discovery_https}"),
            false => format!("http://127.0.0.1:{discovery_http}"),
        };
        let workers = shape.workers;
        let mut cluster = Self {
            nodes: Vec::new(),
            client: Client::new(coordinator_http),
            shape,
            waterbear: place.waterbear.clone(),
            discovery_uri,
            workers_made: 0,
            groups: BTreeMap::new(),
            folder,
        };
        let https = vec![("http-server.https.port", discovery_https.to_string())];
        cluster.launch("discovery", "discovery", discovery_http, https)?;
        let mut own = cluster.shape.coordinator.clone();
        own.extend([("coordinator", "true".to_owned()), ("task.concurrency", "2".to_owned())]);
        if cluster.shape.retries
            && let Some(size) = &place.task_size
        {
            own.push((TASK_SIZE, size.clone()));
        }
        cluster.launch(COORDINATOR, COORDINATOR, coordinator_http, own)?;
        for _ in 0..workers {
            cluster.add_worker()?;
        }
        cluster.wait_for_workers(workers).await?;
        Ok(cluster)
    }

    /// Starts one more worker, without waiting for it; gives its name.
    pub fn add_worker(&mut self) -> anyhow::Result<String> {
        self.workers_made += 1;
        let name = format!("worker-{}", self.workers_made);
        if let Some((limits, cores)) = &self.shape.cores {
            self.groups.insert(name.clone(), limits.group(&name, *cores)?);
        }
        let [http, https] = free_ports()?;
        let own = vec![
            ("http-server.https.port", https.to_string()),
            ("task.max-worker-threads", "1".to_owned()),
            ("task.concurrency", "2".to_owned()),
        ];
        self.launch("worker", &name, http, own)?;
        Ok(name)
    }

    /// Ends the node `name` with SIGKILL and waits for its end.
    pub async fn kill(&mut self, name: &str) -> anyhow::Result<Killed> {
        let index = self.nodes.iter().position(|node| node.name == name);
        let index = index.with_context(|| format!("there is no {name}"))?;
        let mut node = self.nodes.swap_remove(index);
        node.child.kill().await?;
        Ok(Killed(node))
    }

    /// Starts a killed node again, as it was.
    pub fn start_again(&mut self, killed: Killed) -> anyhow::Result<()> {
        let Node { name, is_worker, http, log, .. } = killed.0;
        let role = if is_worker { "worker" } else { &name };
        let child = self.spawn(role, &name, &log)?;
        self.nodes.push(Node { name, is_worker, http, log, child });
        Ok(())
    }

    /// What the coordinator has logged.
    pub fn coordinator_log(&self) -> anyhow::Result<String> {
        let log = &self.node(COORDINATOR)?.log;
        fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))
    }

    /// Asks the coordinator.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All processes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node `name`.
    pub fn node(&self, name: &str) -> anyhow::Result<&Node> {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.with_context(|| format!("there is no {name}"))
    }

    /// Whether the worker `name` is listed as active.
    pub async fn is_active(&self, name: &str) -> anyhow::Result<bool> {
        Ok(self.count_active(&format!("node_id = '{name}'")).await? == 1)
    }

    /// Fails with the log of a process that has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.nodes.iter_mut().try_for_each(Node::ensure_running)
    }

    /// What all workers have given to readers since their start.
    pub async fn exchanged(&self) -> anyhow::Result<Exchanged> {
        let mut exchanged = Exchanged::default();
        for node in self.nodes.iter().filter(|node| node.is_worker) {
            let metrics = Client::new(node.http).text("/metrics").await?;
            let of_node = Exchanged::of(&metrics)
                .with_context(|| format!("{}: /metrics counts no exchange bytes", node.name))?;
            exchanged.wire += of_node.wire;
            exchanged.referenced += of_node.referenced;
        }
        Ok(exchanged)
    }

    /// Whether any worker has a task, or memory reserved.
    pub async fn is_busy(&self) -> anyhow::Result<bool> {
        for node in self.nodes.iter().filter(|node| node.is_worker) {
            let status: Status =
                serde_json::from_str(&Client::new(node.http).text("/v1/status").await?)?;
            if status.tasks > 0 || status.memory_info.pool.reserved_bytes > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn wait_for_workers(&mut self, wanted: usize) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            self.ensure_running()?;
            let found = self.count_active("NOT coordinator").await;
            match found {
                Ok(found) if found == wanted => return Ok(()),
                _ if start.elapsed() < START_TIMEOUT => tokio::time::sleep(START_PAUSE).await,
                found => {
                    let found = found.context("the coordinator does not answer")?;
                    bail!("{found} of {wanted} workers after {START_TIMEOUT:?}");
                }
            }
        }
    }

    async fn count_active(&self, condition: &str) -> anyhow::Result<usize> {
        let sql = format!(
            "SELECT node_id FROM system.runtime.nodes WHERE state = 'active' AND {condition}"
        );
        Ok(self.client.run(&sql).await?.rows)
    }

    fn launch(
        &mut self,
        role: &str,
        name: &str,
        http: u16,
        mut config: Properties,
    ) -> anyhow::Result<()> {
        let folder = self.folder.path().join(name);
        let etc = folder.join("etc");
        let secret = self.folder.path().join("secret");
        let node = [
            ("node.environment", "bench".to_owned()),
            ("node.id", name.to_owned()),
            ("node.data-dir", folder.join("data").display().to_string()),
            ("node.internal-address", "127.0.0.1".to_owned()),
            ("node.bind-ip", "127.0.0.1".to_owned()),
        ];
        config.extend([
            ("http-server.http.port", http.to_string()),
            ("discovery.uri", self.discovery_uri.clone()),
            ("internal-communication.shared-secret", format!("${{FILE:{}}}", secret.display())),
            ("internal-communication.https.required", self.shape.tls.to_string()),
        ]);
        if self.shape.retries {
            let spool = self.folder.path().join("spool").display().to_string();
            let exchange = [
                ("exchange-manager.name", "filesystem".to_owned()),
                ("exchange.base-directories", spool),
            ];
            write_properties(&etc.join("exchange-manager.properties"), &exchange)?;
            if role == COORDINATOR {
                config.push(("retry-policy", "TASK".to_owned()));
            }
        }
        if !self.shape.tls {
            config.retain(|(name, _)| *name != "http-server.https.port");
        }
        write_properties(&etc.join("node.properties"), &node)?;
        write_properties(&etc.join("config.properties"), &config)?;
        for (catalog, properties) in &self.shape.catalogs {
            write_properties(&etc.join(format!("catalog/{catalog}.properties")), properties)?;
        }
        let log = folder.join("log");
        let child = self.spawn(role, name, &log)?;
        let (name, is_worker) = (name.to_owned(), role == "worker");
        self.nodes.push(Node { name, is_worker, http, log, child });
        Ok(())
    }

    /// Starts the process of a node whose files are there.
    fn spawn(&self, role: &str, name: &str, log: &Path) -> anyhow::Result<Child> {
        let child = Command::new(&self.waterbear)
            .arg(role)
            .arg("--etc-dir")
            .arg(self.folder.path().join(name).join("etc"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::OpenOptions::new().create(true).append(true).open(log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", self.waterbear.display()))?;
        if let Some(group) = self.groups.get(name) {
            group.add(child.id().with_context(|| format!("{name} has ended"))?)?;
        }
        Ok(child)
    }
}

fn write_properties(path: &Path, properties: &[(&str, String)]) -> anyhow::Result<()> {
    let text: String = properties.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.with_context(|| format!("cannot write {}", path.display()))
}

async fn write_secret(waterbear: &Path, path: &Path) -> anyhow::Result<()> {
    let made = Command::new(waterbear)
        .args(["secret", "generate"])
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("{} does not start", waterbear.display()))?;
    let complaint = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "no secret was made: {complaint}");
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(&made.stdout)?;
    Ok(())
}

/// Ports of this machine that nothing listens on now.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = (0..N).map(bind).collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// What workers have given to readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Bytes of pages.
    pub wire: u64,
    /// Bytes that the rows in them referenced.
    pub referenced: u64,
}

impl Exchanged {
    /// The sums of what a text of metrics counts; nothing when it counts none.
    fn of(metrics: &str) -> Option<Self> {
        let sum = |name: &str, labels: &str| {
            metrics
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "))
                .filter(|(found, _)| found.contains(labels))
                .try_fold(None, |sum, (_, value)| {
                    value.parse::<u64>().ok().map(|value| Some(sum.unwrap_or(0) + value))
                })
                .flatten()
        };
        Some(Self {
            wire: sum("waterbear_exchange_bytes_total", r#"direction="out""#)?,
            referenced: sum("waterbear_exchange_referenced_bytes_total", "")?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn exchanged_bytes_are_read_from_the_metrics() {
        let text = "# TYPE waterbear_exchange_bytes_total counter\n\
            waterbear_exchange_bytes_total{role=\"worker\",node=\"w1\",direction=\"in\"} 7\n\
            waterbear_exchange_bytes_total{role=\"worker\",node=\"w1\",direction=\"out\"} 5\n\
            waterbear_exchange_bytes_total{role=\"worker\",node=\"w2\",direction=\"out\"} 6\n\
            waterbear_exchange_referenced_bytes_total{role=\"worker\",node=\"w1\"} 10\n";
        assert_eq!(Exchanged::of(text), Some(Exchanged { wire: 11, referenced: 10 }));
        assert_eq!(Exchanged::of("waterbear_tasks_running 1\n"), None);
    }

    #[test]
    fn ports_are_different() {
        let ports: [u16; 3] = free_ports().unwrap();
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
    }

    #[test]
    fn property_files_are_written_with_their_folders() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("etc/catalog/tpch.properties");
        write_properties(&path, &generated().1).unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("connector.name=tpch\ntpch.column-naming=STANDARD\n"), "{text}");
    }
}
