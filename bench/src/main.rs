//! Measures a cluster of real processes against DataFusion in one process, interleaved, on the same
//! machine. Prints tables; ends with an error when an answer was wrong.
//!
//! Layout: [`tpch`] runs the queries on all [`side`]s and [`report`] prints the table; a side is
//! DataFusion [`in_process`] or a [`cluster`] asked by a [`client`]; [`data`] writes the Parquet
//! files; [`answers`] compares rows; [`latency`], [`start`] and [`cancel`] are the small benchmarks,
//! [`fte`] is about retry-policy TASK; [`query_info`] reads what a coordinator says of a query,
//! [`procfs`] CPU time and memory; [`cgroup`] limits workers; [`figures`] are medians and the like;
//! [`place`] knows the folders.

mod answers;
mod cancel;
mod cgroup;
mod client;
mod cluster;
mod data;
mod figures;
mod fte;
mod in_process;
mod latency;
mod place;
mod procfs;
mod query_info;
mod report;
mod side;
mod start;
mod tpch;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::place::Place;

/// Benchmarks. Ratios are between sides measured in one run, interleaved; other numbers mean
/// nothing on another machine.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// Bytes of a table that one task reads under TASK; the product's default if absent.
    #[arg(long, global = true)]
    task_size: Option<String>,
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// TPC-H over Parquet files: DataFusion in process, and a cluster with and without mutual TLS.
    Tpch(tpch::TpchArgs),
    /// Small queries through the client API of a cluster with two workers.
    Latency(latency::LatencyArgs),
    /// From a worker's start to its place in the cluster, and its memory when idle.
    Start(start::StartArgs),
    /// From a cancellation until the workers have freed everything.
    Cancel(cancel::CancelArgs),
    /// What retry-policy TASK costs, and what a killed worker costs under it.
    Fte(fte::FteArgs),
    /// All of the above with their defaults.
    All,
    /// The child process of `tpch` that is DataFusion in process.
    #[command(hide = true)]
    InProcess(in_process::InProcessArgs),
}

fn main() -> ExitCode {
    let Arguments { task_size, benchmark } = Arguments::parse();
    let result = match benchmark {
        Benchmark::InProcess(args) => in_process::serve(&args).map(|()| true),
        benchmark => Place::find(task_size).and_then(|place| measure(&place, benchmark)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every answer was right.
fn measure(place: &Place, benchmark: Benchmark) -> anyhow::Result<bool> {
    // One thread: what is measured must not share the cores with its measurer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Dropping the benchmark ends the processes that it started.
        tokio::select! {
            done = run(place, benchmark) => done,
            _ = terminate.recv() => bail!("stopped"),
            _ = interrupt.recv() => bail!("stopped"),
        }
    })
}

async fn run(place: &Place, benchmark: Benchmark) -> anyhow::Result<bool> {
    match benchmark {
        Benchmark::Tpch(args) => tpch::run(place, &args).await,
        Benchmark::Latency(args) => latency::run(place, &args).await,
        Benchmark::Start(args) => start::run(place, &args).await,
        Benchmark::Cancel(args) => cancel::run(place, &args).await,
        Benchmark::Fte(args) => fte::run(place, &args).await,
        Benchmark::All => {
            let tpch = tpch::run(place, &defaults()?).await?;
            println!();
            let latency = latency::run(place, &defaults()?).await?;
            println!();
            let start = start::run(place, &defaults()?).await?;
            println!();
            let cancel = cancel::run(place, &defaults()?).await?;
            println!();
            let fte = fte::run(place, &defaults()?).await?;
            Ok(tpch && latency && start && cancel && fte)
        }
        Benchmark::InProcess(_) => unreachable!("it needs a runtime of its own"),
    }
}

/// A benchmark's arguments as if none were given.
fn defaults<A: clap::Args + clap::FromArgMatches>() -> anyhow::Result<A> {
    let command = A::augment_args(clap::Command::new("defaults"));
    Ok(A::from_arg_matches(&command.try_get_matches_from(["defaults"])?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_benchmark_has_defaults() {
        Arguments::command().debug_assert();
        let tpch: tpch::TpchArgs = defaults().unwrap();
        assert_eq!((tpch.scale.as_str(), tpch.repeats, tpch.workers), ("1", 5, 2));
        assert_eq!(defaults::<latency::LatencyArgs>().unwrap().count, 1000);
        assert_eq!(defaults::<start::StartArgs>().unwrap().count, 20);
        assert!(defaults::<fte::FteArgs>().is_ok());
    }

    #[test]
    fn arguments_that_cannot_be_measured_are_refused() {
        for wrong in [
            &["tpch", "--queries", "0"][..],
            &["tpch", "--queries", "23"],
            &["tpch", "--repeats", "0"],
            &["tpch", "--workers", "0"],
            &["tpch", "--scale", "big"],
            &["tpch", "--tls", "perhaps"],
            &["fte", "--goals", "1"],
            &["fte", "--repeats", "0"],
        ] {
            let all = [&["bench"][..], wrong].concat();
            assert!(Arguments::try_parse_from(all).is_err(), "{wrong:?}");
        }
    }
}
