//! One of the things that are compared: runs a query and says what it cost.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::answers::Row;
use crate::client::Answer;
use crate::cluster::{self, Cluster, Exchanged, Node, Shape};
use crate::in_process::InProcess;
use crate::place::Place;
use crate::procfs::{self, CpuMeter};

/// What is done after a query's last row counts as its cost when it is done within this time.
const SETTLE: Duration = Duration::from_millis(20);

/// What one run of a query cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// From its text to its last row.
    pub wall: Duration,
    /// CPU time of all processes of the side.
    pub cpu: Duration,
    /// Bytes of pages that workers gave to each other and to the coordinator.
    pub exchanged: u64,
}

/// What a side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideName {
    /// DataFusion in one process: what all others are divided by.
    InProcess,
    /// A cluster with mutual TLS.
    Mtls,
    /// A cluster without.
    Plain,
    /// A cluster with mutual TLS whose tasks spool (retry-policy TASK).
    Task,
}

impl fmt::Display for SideName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InProcess => "in process",
            Self::Mtls => "cluster, mutual TLS",
            Self::Plain => "cluster, plain",
            Self::Task => "cluster, TASK",
        })
    }
}

/// Something that answers queries.
pub struct Side {
    name: SideName,
    kind: Kind,
    meters: Vec<CpuMeter>,
}

enum Kind {
    InProcess(Box<InProcess>),
    /// With the answer to its last query.
    Cluster(Box<Cluster>, Answer),
}

impl Side {
    /// DataFusion in one process over the tables in `data`.
    pub fn in_process(place: &Place, data: &Path, threads: usize) -> anyhow::Result<Self> {
        let child = InProcess::start(place, data.to_owned(), threads)?;
        let meters = vec![CpuMeter::new(child.pid()?)?];
        Ok(Self { name: SideName::InProcess, kind: Kind::InProcess(Box::new(child)), meters })
    }

    /// A cluster over the same tables, with one thread for each worker.
    pub async fn cluster(
        place: &Place,
        data: &Path,
        workers: usize,
        name: SideName,
    ) -> anyhow::Result<Self> {
        let shape = Shape {
            workers,
            tls: name != SideName::Plain,
            retries: name == SideName::Task,
            catalogs: vec![cluster::parquet(data)],
            ..Shape::default()
        };
        let cluster = Cluster::start(place, shape).await?;
        let meter = |node: &Node| CpuMeter::new(node.pid()?);
        let meters = cluster.nodes().iter().map(meter).collect::<Result<_, _>>()?;
        Ok(Self { name, kind: Kind::Cluster(Box::new(cluster), Answer::default()), meters })
    }

    /// What it is.
    pub fn name(&self) -> SideName {
        self.name
    }

    /// Runs a query; says what it cost and how many rows it has.
    pub async fn run(&mut self, sql: &str) -> anyhow::Result<(Sample, usize)> {
        let exchanged_before = self.exchanged().await?.wire;
        self.cpu()?;
        let (wall, rows) = match &mut self.kind {
            Kind::InProcess(child) => {
                let ran = child.run(sql).await?;
                (ran.wall, ran.rows)
            }
            Kind::Cluster(cluster, answer) => {
                let start = Instant::now();
                *answer = cluster.client().run(sql).await?;
                (start.elapsed(), answer.rows)
            }
        };
        tokio::time::sleep(SETTLE).await;
        let cpu = self.cpu()?;
        let exchanged = self.exchanged().await?.wire - exchanged_before;
        Ok((Sample { wall, cpu, exchanged }, rows))
    }

    /// The rows of the last query.
    pub async fn values(&mut self) -> anyhow::Result<Vec<Row>> {
        match &mut self.kind {
            Kind::InProcess(child) => child.values().await,
            Kind::Cluster(_, answer) => answer.values(),
        }
    }

    /// Trino's types of the last query's columns; none in process.
    pub fn types(&self) -> &[String] {
        match &self.kind {
            Kind::InProcess(_) => &[],
            Kind::Cluster(_, answer) => &answer.types,
        }
    }

    /// The sum of the peaks of all its processes, in bytes.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        match &self.kind {
            Kind::InProcess(child) => procfs::peak_memory(child.pid()?),
            Kind::Cluster(cluster, _) => {
                cluster.nodes().iter().map(|node| procfs::peak_memory(node.pid()?)).sum()
            }
        }
    }

    /// Fails with the log of a process that has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        match &mut self.kind {
            Kind::InProcess(child) => child.pid().map(|_| ()),
            Kind::Cluster(cluster, _) => cluster.ensure_running(),
        }
    }

    /// CPU time of all its processes since the last call.
    fn cpu(&mut self) -> anyhow::Result<Duration> {
        self.meters.iter_mut().map(CpuMeter::lap).sum()
    }

    /// What its workers have exchanged; nothing in process.
    pub async fn exchanged(&self) -> anyhow::Result<Exchanged> {
        match &self.kind {
            Kind::InProcess(_) => Ok(Exchanged::default()),
            Kind::Cluster(cluster, _) => cluster.exchanged().await,
        }
    }
}
