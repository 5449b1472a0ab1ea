//! Small queries through the client API: goals 7 and 8.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;

use crate::cluster::{self, Cluster, Node, Shape};
use crate::figures::{ms, percentile};
use crate::place::Place;
use crate::procfs::CpuMeter;

/// What is run.
#[derive(Args)]
pub struct LatencyArgs {
    /// Counted runs of each query, one after the other on a connection that is kept.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: u32,
}

const WARM_UP: u32 = 100;
const WORKERS: usize = 2;

/// What is asked, and the number of its rows.
const QUERIES: [(&str, &str, usize); 2] = [
    ("goal 7, SELECT 1", "SELECT 1", 1),
    ("goal 8, scan of a small table", "SELECT * FROM tpch.tiny.nation", 25),
];

/// Runs the benchmark and prints its table. Ends with an error when an answer is wrong.
pub async fn run(place: &Place, args: &LatencyArgs) -> anyhow::Result<bool> {
    let catalogs = vec![cluster::generated()];
    let shape = Shape { workers: WORKERS, tls: true, catalogs, ..Shape::default() };
    let cluster = Cluster::start(place, shape).await?;
    println!("{} queries one by one, {WORKERS} workers, mutual TLS", args.count);
    println!(
        "{:<32}{:>9}{:>9}{:>9}{:>9}{:>10}",
        "query", "p50 ms", "p99 ms", "max ms", "CPU ms", "requests"
    );
    for (name, sql, rows) in QUERIES {
        let measured = measure(&cluster, sql, rows, args.count);
        let Measured { walls, cpu, requests } = measured.await.with_context(|| sql.to_owned())?;
        let [p50, p99, max] = [50, 99, 100].map(|percent| ms(percentile(&walls, percent)));
        println!("{name:<32}{p50:>9.2}{p99:>9.2}{max:>9.2}{:>9.2}{requests:>10.1}", ms(cpu));
    }
    Ok(true)
}

struct Measured {
    /// In ascending order.
    walls: Vec<Duration>,
    /// Of all processes of the cluster, for one query.
    cpu: Duration,
    /// Requests for one query.
    requests: f64,
}

async fn measure(
    cluster: &Cluster,
    sql: &str,
    rows: usize,
    count: u32,
) -> anyhow::Result<Measured> {
    let meter = |node: &Node| CpuMeter::new(node.pid()?);
    let mut meters = cluster.nodes().iter().map(meter).collect::<anyhow::Result<Vec<_>>>()?;
    let mut walls = Vec::with_capacity(count as usize);
    let mut requests = 0;
    for turn in 0..WARM_UP + count {
        if turn == WARM_UP {
            meters.iter_mut().try_for_each(|meter| meter.lap().map(|_| ()))?;
        }
        let start = Instant::now();
        let answer = cluster.client().run(sql).await?;
        let wall = start.elapsed();
        ensure!(answer.rows == rows, "wrong: {} rows, not {rows}", answer.rows);
        if turn >= WARM_UP {
            walls.push(wall);
            requests += answer.requests;
        }
    }
    let cpu: Duration = meters.iter_mut().map(CpuMeter::lap).sum::<anyhow::Result<_>>()?;
    walls.sort_unstable();
    Ok(Measured { walls, cpu: cpu / count, requests: requests as f64 / f64::from(count) })
}
