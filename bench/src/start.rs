//! From a worker's start to its place in the cluster, and its memory when idle: goals 12 and 11.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;

use crate::cluster::{self, Cluster, Shape};
use crate::figures::{ms, percentile};
use crate::place::Place;
use crate::procfs;

/// What is run.
#[derive(Args)]
pub struct StartArgs {
    /// Workers that are started, one after the other.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
}

/// Between two looks at the list of nodes.
const PAUSE: Duration = Duration::from_millis(2);
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// After this time a worker without queries is idle.
const IDLE: Duration = Duration::from_secs(5);

/// Runs the benchmark and prints its figures.
pub async fn run(place: &Place, args: &StartArgs) -> anyhow::Result<bool> {
    let catalogs = vec![cluster::generated()];
    let shape = Shape { tls: true, catalogs, ..Shape::default() };
    let mut cluster = Cluster::start(place, shape).await?;
    let mut times = Vec::new();
    let mut last: Option<String> = None;
    for _ in 0..args.count {
        if let Some(last) = last.take() {
            cluster.kill(&last).await?;
        }
        let (name, time) = start_one(&mut cluster).await?;
        times.push(time);
        last = Some(name);
    }
    times.sort_unstable();
    let [p50, p95, max] = [50, 95, 100].map(|percent| ms(percentile(&times, percent)));
    println!(
        "goal 12, worker's start to its place in system.runtime.nodes, {} starts: \
         p50 {p50:.0} ms, p95 {p95:.0} ms, max {max:.0} ms",
        args.count
    );
    if let Some(worker) = last {
        tokio::time::sleep(IDLE).await;
        let pid = cluster.node(&worker)?.pid()?;
        let [now, peak] = [procfs::resident_memory(pid)?, procfs::peak_memory(pid)?];
        println!(
            "goal 11, resident memory of an idle worker after {IDLE:?}: {:.1} MB (peak {:.1} MB)",
            now as f64 / 1e6,
            peak as f64 / 1e6
        );
    }
    Ok(true)
}

/// Starts a worker and waits until it is listed.
async fn start_one(cluster: &mut Cluster) -> anyhow::Result<(String, Duration)> {
    let start = Instant::now();
    let name = cluster.add_worker()?;
    while !cluster.is_active(&name).await? {
        cluster.ensure_running()?;
        ensure!(start.elapsed() < START_TIMEOUT, "{name} is not listed after {START_TIMEOUT:?}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok((name, start.elapsed()))
}
