//! From a client's cancellation until no worker has a task of the query or memory for it.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use rand::{Rng, SeedableRng};

use crate::cluster::{self, Cluster, Shape};
use crate::figures::{ms, percentile};
use crate::place::Place;
use crate::{data, tpch};

/// What is run.
#[derive(Args)]
pub struct CancelArgs {
    /// Scale factor of TPC-H.
    #[arg(long, default_value = "1", value_parser = data::scale)]
    pub scale: String,
    /// Cancellations of each of the 22 queries.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: u32,
    /// Seed of the moments at which queries are cancelled.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

const WORKERS: usize = 2;
/// Queries are cancelled at most so long after they were submitted.
const LATEST: Duration = Duration::from_millis(400);
/// Between two looks at the workers.
const PAUSE: Duration = Duration::from_millis(2);
/// A worker that has not freed everything by then never will.
const HANGS: Duration = Duration::from_secs(30);

/// Runs the benchmark and prints its line. Ends with an error when a worker keeps something.
pub async fn run(place: &Place, args: &CancelArgs) -> anyhow::Result<bool> {
    let data = data::ensure(&place.data(), &args.scale)?;
    let shape = Shape {
        workers: WORKERS,
        tls: true,
        catalogs: vec![cluster::parquet(&data)],
        ..Shape::default()
    };
    let mut cluster = Cluster::start(place, shape).await?;
    let mut random = rand::rngs::StdRng::seed_from_u64(args.seed);
    let (mut freed, mut ended_before) = (Vec::new(), 0);
    for _ in 0..args.repeats {
        for (_, sql) in tpch::QUERIES {
            let delay = random.random_range(Duration::ZERO..LATEST);
            let Some(cancelled) = cluster.client().cancel_after(sql, delay).await? else {
                ended_before += 1;
                continue;
            };
            while cluster.is_busy().await? {
                ensure!(cancelled.elapsed() < HANGS, "not free after {HANGS:?}: {sql}");
                tokio::time::sleep(PAUSE).await;
            }
            freed.push(cancelled.elapsed());
        }
        cluster.ensure_running()?;
    }
    freed.sort_unstable();
    ensure!(!freed.is_empty(), "every query ended before it was cancelled");
    let [p50, p99, max] = [50, 99, 100].map(|percent| ms(percentile(&freed, percent)));
    println!(
        "cancel to freed, TPC-H at scale {}, {WORKERS} workers: {} cancelled ({ended_before} ended \
         before), p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms",
        args.scale,
        freed.len(),
    );
    Ok(true)
}
