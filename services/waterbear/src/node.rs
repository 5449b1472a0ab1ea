//! What every role needs before it can start: a folder, listeners, an identity.

use std::fs::{File, TryLockError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::CancellationToken;
use waterbear_ids::{Incarnation, NodeId};
use waterbear_outbound::{NodeSecurity, Peer, SecurityOptions};
use waterbear_protocol::BUILD_ID;
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};
use waterbear_telemetry::MetricsHandle;

/// Life of a node's certificate.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(24 * 3600);
const LOCK: &str = ".lock";

/// What a node is told.
pub struct NodeSpec {
    /// Its role.
    pub role: Role,
    /// `node.environment`.
    pub environment: String,
    /// `node.id`.
    pub id: NodeId,
    /// Host name or address by which others reach it.
    pub host: String,
    /// The plain HTTP listener.
    pub http: SocketAddr,
    /// The internal listener, where it is one of its own; named in errors by its property.
    pub internal: Option<SocketAddr>,
    /// The cluster's secret.
    pub secret: Vec<u8>,
    /// Mutual TLS between nodes.
    pub https: bool,
    /// HTTP/2 between nodes.
    pub http2: bool,
    /// `node.data-dir`.
    pub data_dir: PathBuf,
    /// The discovery services.
    pub discovery: Vec<Peer>,
}

/// How a process, and with it all its nodes, is told to end.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// To end what runs well, and then itself.
    pub asked: CancellationToken,
    /// To end at once.
    pub now: CancellationToken,
}

/// A node that can start its role.
pub struct Node {
    /// What it announces.
    pub info: NodeInfo,
    /// Its identity.
    pub security: NodeSecurity,
    /// The internal listener, if it is one of its own.
    pub internal: Option<TcpListener>,
    /// Its own folder.
    pub folder: DataFolder,
    /// The discovery services.
    pub discovery: Vec<Peer>,
    /// The process's metrics.
    pub metrics: MetricsHandle,
    /// Asks it to end.
    pub asked: CancellationToken,
    /// Ends it, with whatever runs.
    pub shutdown: CancellationToken,
    http: Option<TcpListener>,
}

impl Node {
    /// Takes the folder, binds the listeners, makes the identity.
    pub async fn open(spec: NodeSpec, metrics: MetricsHandle, stop: &Stop) -> Result<Self> {
        let folder = DataFolder::take(&spec.data_dir, spec.role, &spec.id)?;
        let http = waterbear_serve::bind(spec.http, "http-server.http.port").await?;
        let internal = match spec.internal {
            Some(address) => Some(waterbear_serve::bind(address, "http-server.https.port").await?),
            None => None,
        };
        let http_port = http.local_addr()?.port();
        let internal_port = match &internal {
            Some(listener) => listener.local_addr()?.port(),
            None => http_port,
        };
        let security = NodeSecurity::new(SecurityOptions {
            secret: spec.secret,
            environment: spec.environment.clone(),
            role: spec.role,
            node_id: spec.id.clone(),
            names: own_names(&spec.host).await,
            tls: spec.https,
            leaf_lifetime: CERTIFICATE_LIFETIME,
            http2: spec.http2,
        })?;
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let info = NodeInfo {
            node_id: spec.id,
            incarnation: Incarnation::random(),
            build: BUILD_ID.to_owned(),
            environment: spec.environment,
            role: spec.role,
            host: spec.host,
            internal_port,
            http_port,
            started_ms: started.as_millis() as u64,
            state: NodeState::Active,
            memory_bytes: 0,
            task_slots: 0,
        };
        let http = Some(http);
        let discovery = spec.discovery;
        let (asked, shutdown) = (stop.asked.clone(), stop.now.child_token());
        Ok(Self { info, security, internal, folder, discovery, metrics, asked, shutdown, http })
    }

    /// The plain HTTP listener; each role takes it once.
    pub fn http_listener(&mut self) -> Result<TcpListener> {
        self.http.take().context("the HTTP listener is in use already")
    }
}

/// Names and addresses that others may use for this machine.
async fn own_names(host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
    let machine = waterbear_membership::own_host(&[]).await;
    if let Ok(addresses) = lookup_host((machine.as_str(), 0)).await {
        names.extend(addresses.map(|address| address.ip().to_string()));
    }
    names.push(machine);
    names.retain(|name| name.parse::<IpAddr>().is_ok() || is_dns_name(name));
    names.sort();
    names.dedup();
    names
}

fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.len() <= 63 && label.chars().all(allowed)
    };
    name.split('.').all(label)
}

/// The address of a listener for this process alone.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// This process's own folder below `node.data-dir`: locked while it lives, removed at its end.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl DataFolder {
    fn take(data_dir: &Path, role: Role, id: &NodeId) -> Result<Self> {
        let path = data_dir.join(format!("{role}-{id}"));
        make_private(data_dir)
            .and_then(|()| make_private(&path))
            .with_context(|| format!("cannot use node.data-dir={}", data_dir.display()))?;
        let Some(lock) = try_lock(&path)? else {
            bail!(
                "{} is in use by another process: give each node a node.id or a node.data-dir \
                 of its own",
                path.display()
            );
        };
        sweep(data_dir, &path);
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // What remains is swept by the next node that starts here.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// `None` if another process has the lock.
fn try_lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot write {} in node.data-dir", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Removes the folders that dead processes left: those whose lock nobody has.
fn sweep(data_dir: &Path, own: &Path) {
    let Ok(entries) = std::fs::read_dir(data_dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = ["discovery-", "coordinator-", "worker-"].iter().any(|p| name.starts_with(p));
        if ours
            && path != own
            && path.join(LOCK).is_file()
            && let Ok(Some(_lock)) = try_lock(&path)
        {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_dead_ones_are_swept() {
        let data = tempfile::tempdir().unwrap();
        let id: NodeId = "w1".parse().unwrap();
        let dead = data.path().join("worker-dead");
        make_private(&dead).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        std::fs::write(data.path().join("keep"), "").unwrap();

        let folder = DataFolder::take(data.path(), Role::Worker, &id).unwrap();
        assert!(!dead.exists());
        assert!(data.path().join("keep").exists());
        let second = DataFolder::take(data.path(), Role::Worker, &id).unwrap_err();
        assert!(second.to_string().contains("in use by another process"), "{second}");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_as_data_dir_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let id: NodeId = "w1".parse().unwrap();
        let error = DataFolder::take(file.path(), Role::Worker, &id).unwrap_err();
        assert!(error.to_string().contains("node.data-dir"), "{error}");
    }

    #[tokio::test]
    async fn own_names_are_names_and_addresses_only() {
        let names = own_names("not a name!").await;
        assert!(!names.iter().any(|name| name.contains(' ')), "{names:?}");
        assert!(names.contains(&"127.0.0.1".to_owned()));
    }
}
