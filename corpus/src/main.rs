//! Queries with known answers, and random ones: every way to run a query must agree.
//!
//! Layout: [`files`] reads `tests/corpus/*.slt` and judges, [`ways`] are the ways to run a query
//! ([`in_process`] and on a [`cluster`]), [`rows`] shows and compares rows, [`data`] makes the
//! tables of the catalog `corpus`. [`mod@random`] makes queries, [`fuzz`]
//! compares their answers, [`deep`] asks large ones.

mod cluster;
mod data;
mod deep;
mod files;
mod fuzz;
mod in_process;
mod random;
mod rows;
mod ways;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Stack of the threads that plan and run in this process: as on a coordinator.
const STACK: usize = 64 << 20;

/// Queries with known answers, and random ones.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs corpus files in process, on one worker, on three workers with many small tasks, there
    /// under retry-policy TASK, and so that a task of every stage fails and runs again.
    Run {
        /// The binary whose clusters are asked; else `$WATERBEAR_BIN`, else the one beside this.
        #[arg(long)]
        binary: Option<PathBuf>,
        /// Print each way's rows for queries that fail.
        #[arg(long)]
        verbose: bool,
        /// Files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Asks deep and large statements on both clusters.
    Deep {
        /// The binary whose clusters are asked.
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// Asks random queries in process and on three workers, under retry-policy NONE and TASK in
    /// turn, and compares.
    Fuzz {
        /// The binary whose cluster is asked.
        #[arg(long)]
        binary: Option<PathBuf>,
        /// For so long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The same queries for the same seed; else another one each time.
        #[arg(long)]
        seed: Option<u64>,
        /// Without the first so many.
        #[arg(long, default_value_t = 0)]
        skip: u64,
    },
    /// Prints how a query is planned, whole and cut.
    Plan {
        /// The query.
        sql: String,
        /// Workers to cut it for.
        #[arg(long, default_value_t = 3)]
        workers: usize,
        /// `task.bytes-per-partition`.
        #[arg(long, default_value_t = 1)]
        bytes: usize,
    },
    /// Makes the tables of the catalog `corpus` in a folder, to look at them with other engines.
    Data {
        /// The folder.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            // On a thread of the runtime, whose stack is large.
            let running = tokio::spawn(run(arguments.command));
            running.await?
        })
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corpus: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was right.
async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Run { binary, verbose, paths } => {
            let ways = ways::Ways::start(binary).await?;
            let report = files::run(&ways, &paths, verbose).await?;
            print!("{report}");
            Ok(report.all_right())
        }
        Command::Deep { binary } => deep::run(&ways::Ways::start(binary).await?).await,
        Command::Fuzz { binary, seconds, seed, skip } => {
            let ways = ways::Ways::start(binary).await?;
            let seed = seed.unwrap_or_else(rand::random);
            fuzz::run(&ways, seed, skip, std::time::Duration::from_secs(seconds)).await
        }
        Command::Plan { sql, workers, bytes } => {
            println!("{}", ways::plans(&sql, workers, bytes).await?);
            Ok(true)
        }
        Command::Data { folder } => {
            data::generate(&folder)?;
            Ok(true)
        }
    }
}
