//! Queries with known answers, and random ones: every way to run a query must agree.
//!
//! Layout: [`files`] reads `tests/corpus/*.slt` and judges, [`ways`] are the ways to run a query
//! ([`in_process`] and on a [`cluster`]), [`rows`] shows and compares rows, [`data`] makes the
//! tables of the catalog `corpus`.

mod cluster;
mod data;
mod files;
mod in_process;
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
    /// Runs corpus files in process, on one worker and on three workers with many small tasks.
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
        Command::Data { folder } => {
            data::generate(&folder)?;
            Ok(true)
        }
    }
}
