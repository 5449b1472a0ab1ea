//! Two clusters that differ in their retry policy alone, asked in turns.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::WORKERS;
use crate::answers;
use crate::client::Answer;
use crate::cluster::{self, Cluster, Properties, Shape};
use crate::figures::{median, ms};
use crate::place::Place;

/// Runs before those that count.
const WARM_UP: u32 = 5;

/// Both with mutual TLS and the generated catalog.
pub struct Pair {
    /// NONE, then TASK.
    clusters: [Cluster; 2],
}

/// One run on one of the clusters.
pub struct Run {
    /// From the POST to the last page.
    pub wall: Duration,
    /// Its answer.
    pub answer: Answer,
}

impl Pair {
    /// Starts both, with these properties of the coordinator.
    pub async fn start(place: &Place, coordinator: &Properties) -> anyhow::Result<Self> {
        let start = |retries| {
            let catalogs = vec![cluster::generated()];
            let (workers, coordinator) = (usize::from(WORKERS), coordinator.clone());
            let tls = true;
            let shape = Shape { workers, tls, retries, catalogs, coordinator, cores: None };
            Cluster::start(place, shape)
        };
        Ok(Self { clusters: [start(false).await?, start(true).await?] })
    }

    /// NONE, then TASK.
    pub fn clusters(&self) -> &[Cluster; 2] {
        &self.clusters
    }

    /// Runs a query so many times on both, another one first each time, after some runs that do
    /// not count. Its runs on NONE, then on TASK.
    ///
    /// # Errors
    /// Also when the answers differ.
    pub async fn runs(&mut self, sql: &str, count: u32) -> anyhow::Result<[Vec<Run>; 2]> {
        let mut runs = [Vec::new(), Vec::new()];
        for turn in 0..WARM_UP + count {
            let first = (turn % 2) as usize;
            for side in [first, 1 - first] {
                let start = Instant::now();
                let answer = self.clusters[side].client().run(sql).await;
                let answer = answer.with_context(|| sql.to_owned())?;
                runs[side].push(Run { wall: start.elapsed(), answer });
            }
            let [none, task] = &runs;
            if let (Some(none), Some(task)) = (none.last(), task.last()) {
                let (expected, actual) = (none.answer.values()?, task.answer.values()?);
                let same = answers::compare(&none.answer.types, expected, actual);
                same.map_err(|difference| anyhow!("wrong under TASK: {difference}: {sql}"))?;
            }
        }
        for cluster in &mut self.clusters {
            cluster.ensure_running()?;
        }
        for runs in &mut runs {
            runs.drain(..WARM_UP as usize);
        }
        Ok(runs)
    }
}

/// The median of the walls, in milliseconds.
pub fn median_wall(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| ms(run.wall)))
}
