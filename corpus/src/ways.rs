//! The ways to run a query: each must give the same rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;
use waterbear_coordinator::planner::CutOptions;
use waterbear_testkit::client::{Answer, Session};

use crate::cluster::{Cluster, Shape};
use crate::data;
use crate::in_process::InProcess;

/// All of a query in one task.
const ONE_WORKER: Shape =
    Shape { workers: 1, partitions: 2, bytes: "16MB", policy: "NONE", faults: "" };
/// Every scan is divided over all workers, whatever its size.
const THREE_WORKERS: Shape = Shape { workers: 3, bytes: "1B", ..ONE_WORKER };
/// Tasks leave their output in the spool.
const SPOOLED: Shape = Shape { workers: 3, bytes: "8kB", policy: "TASK", ..ONE_WORKER };
/// The first task of every stage runs again.
const RETRIED: Shape = Shape { faults: "point=task error=internal task=0 attempt=0", ..SPOOLED };

/// Catalogs and connectors that every way has, beside `corpus`.
const CATALOGS: [(&str, &str); 2] = [("tpch", "tpch"), ("memory", "memory")];

/// A way to run queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// [`InProcess`].
    InProcess,
    /// A cluster of one worker.
    OneWorker,
    /// A cluster of three workers with many small tasks.
    ThreeWorkers,
    /// The same under retry-policy TASK.
    Spooled,
    /// The same with a fault in every stage.
    Retried,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 5] =
        [Way::InProcess, Way::OneWorker, Way::ThreeWorkers, Way::Spooled, Way::Retried];

    /// The name that `onlyif` and `skipif` know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Way::InProcess => "in-process",
            Way::OneWorker => "one-worker",
            Way::ThreeWorkers => "three-workers",
            Way::Spooled => "spooled",
            Way::Retried => "retried",
        }
    }
}

/// The ways, ready to run.
pub struct Ways {
    in_process: InProcess,
    one_worker: Cluster,
    three_workers: Cluster,
    spooled: Cluster,
    retried: Cluster,
    _folder: TempDir,
}

/// The sessions of a file, one for each way.
#[derive(Clone)]
pub struct Sessions {
    one_worker: Session,
    three_workers: Session,
    spooled: Session,
    retried: Session,
}

impl Sessions {
    /// Sessions as they are at the start of each file.
    pub fn new() -> Self {
        let session = Session::new("corpus", "tpch");
        Self {
            one_worker: session.clone(),
            three_workers: session.clone(),
            spooled: session.clone(),
            retried: session,
        }
    }
}

impl Ways {
    /// Makes the data and starts the clusters of `binary`, or of the one beside this program.
    ///
    /// # Errors
    /// When a cluster does not start.
    pub async fn start(binary: Option<PathBuf>) -> anyhow::Result<Self> {
        let named = binary.or_else(|| std::env::var_os("WATERBEAR_BIN").map(PathBuf::from));
        let binary = match named {
            Some(binary) => binary,
            None => std::env::current_exe()?.with_file_name("waterbear"),
        };
        let folder = tempfile::Builder::new().prefix("waterbear-corpus-").tempdir()?;
        let files = folder.path().join("files");
        data::generate(&files).context("the tables cannot be made")?;
        let etc = folder.path().join("etc");
        let connectors = catalogs(&etc, &files)?;
        let [one, three, spool, retry] =
            ["one", "three", "spooled", "retried"].map(|name| folder.path().join(name));
        let (one_worker, three_workers, spooled, retried) = futures::try_join!(
            Cluster::start(&binary, &etc, &one, ONE_WORKER),
            Cluster::start(&binary, &etc, &three, THREE_WORKERS),
            Cluster::start(&binary, &etc, &spool, SPOOLED),
            Cluster::start(&binary, &etc, &retry, RETRIED),
        )?;
        let in_process = InProcess::new(connectors);
        Ok(Self { in_process, one_worker, three_workers, spooled, retried, _folder: folder })
    }

    /// Runs a statement; `None` if this way cannot.
    ///
    /// # Errors
    /// When a coordinator does not answer in Trino's protocol.
    pub async fn answer(
        &self,
        way: Way,
        sessions: &mut Sessions,
        sql: &str,
    ) -> anyhow::Result<Option<Answer>> {
        match way {
            Way::InProcess => Ok(self.in_process.answer(sql).await),
            Way::OneWorker => {
                self.one_worker.client.answer(&mut sessions.one_worker, sql).await.map(Some)
            }
            Way::ThreeWorkers => {
                let session = &mut sessions.three_workers;
                self.three_workers.client.answer(session, sql).await.map(Some)
            }
            Way::Spooled => self.spooled.client.answer(&mut sessions.spooled, sql).await.map(Some),
            Way::Retried => self.retried.client.answer(&mut sessions.retried, sql).await.map(Some),
        }
    }

    /// Whether a way's process still runs.
    pub fn is_alive(&self, way: Way) -> bool {
        match way {
            Way::InProcess => true,
            Way::OneWorker => self.one_worker.is_alive(),
            Way::ThreeWorkers => self.three_workers.is_alive(),
            Way::Spooled => self.spooled.is_alive(),
            Way::Retried => self.retried.is_alive(),
        }
    }
}

/// The plans of a query over the same tables.
///
/// # Errors
/// When it cannot be planned.
pub async fn plans(sql: &str, workers: usize, bytes: usize) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let files = folder.path().join("files");
    data::generate(&files)?;
    let in_process = InProcess::new(catalogs(&folder.path().join("etc"), &files)?);
    let options = CutOptions { workers, partitions: 2, bytes_per_partition: bytes };
    let plans = in_process.plans(sql, options).await;
    plans.map_err(|failure| anyhow::anyhow!("{}: {}", failure.code.name(), failure.message))
}

type Connectors = BTreeMap<String, std::sync::Arc<dyn waterbear_connector::Connector>>;

/// Writes the catalogs' files below `etc` and makes their connectors.
fn catalogs(etc: &Path, files: &Path) -> anyhow::Result<Connectors> {
    let location = files.display().to_string();
    let corpus = ("corpus", "files", BTreeMap::from([("files.location".to_owned(), location)]));
    let plain = CATALOGS.map(|(name, connector)| (name, connector, BTreeMap::new()));
    std::fs::create_dir_all(etc.join("catalog"))?;
    std::fs::write(etc.join("config.properties"), "")?;
    let mut connectors = BTreeMap::new();
    for (name, connector, properties) in plain.into_iter().chain([corpus]) {
        let made = match waterbear_connector::create(name, connector, &properties) {
            Ok(made) => made,
            // Not every connector exists yet.
            Err(_) if name == "memory" => continue,
            Err(problems) => anyhow::bail!("{}", problems.join("; ")),
        };
        let mut text = format!("connector.name={connector}\n");
        for (key, value) in &properties {
            text.push_str(&format!("{key}={value}\n"));
        }
        std::fs::write(etc.join("catalog").join(format!("{name}.properties")), text)?;
        connectors.insert(name.to_owned(), made);
    }
    Ok(connectors)
}
