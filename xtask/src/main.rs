//! The developer's commands, needing nothing but cargo (and python3 for the suites that use
//! Trino's own client).
//!
//! Layout: [`steps`] runs commands one after the other and times them, [`checks`] is what CI does
//! beside the tests, [`python`] has the suites in `tests/python`, [`links`] checks the documents,
//! [`mod@bench`] measures, `graph` holds the rules between crates; it is compiled for its tests alone.

mod bench;
mod checks;
#[cfg(test)]
mod graph;
mod links;
mod python;
mod steps;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};

use crate::steps::Steps;

/// The developer's commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the binary and runs every test: Rust's, the corpus, then those that use Trino's
    /// Python client.
    Test {
        /// Run one part alone.
        #[arg(long, value_enum)]
        only: Option<Part>,
        /// Arguments for pytest, after `--`: for example `-- -k tpch`.
        #[arg(last = true)]
        pytest: Vec<String>,
    },
    /// Formatting, lints, documents; then everything that `test` does.
    Ci,
    /// Compares random queries in process and on three workers; a difference prints its seed.
    Fuzz {
        /// How long.
        #[arg(long, default_value_t = 1)]
        minutes: u64,
        /// The same queries for the same seed; else another one each time.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Simulates scheduler and attempts while everything around them breaks: `run --seeds 100000`,
    /// `one --seed N --trace`, `planted`.
    Sim {
        /// Arguments of the simulation.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kills, freezes, damages and fills disks under running queries, and compares the rows.
    Chaos {
        /// Arguments of `tests/python/chaos.py`: `--policy TASK`, `--faults`, `--seed`, `--kinds`,
        /// `--schema`, `--workers`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds the binary and the benchmarks, and runs one: `tpch`, `latency`, `start`, `cancel`,
    /// `fte` or `all`.
    #[command(disable_help_flag = true)]
    Bench {
        /// A benchmark and its arguments; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// The seed of CI's random queries: a change is not judged by another's luck.
const CI_SEED: &str = "1";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Rust,
    Corpus,
    Python,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut steps = Steps::new(root());
    let done = match arguments.command {
        Task::Test { only, pytest } => test(&mut steps, only, &pytest),
        Task::Ci => checks::run(&mut steps).and_then(|()| test(&mut steps, None, &[])),
        Task::Fuzz { minutes, seed } => fuzz(&mut steps, minutes, seed),
        Task::Sim { arguments } => sim(&mut steps, &arguments),
        Task::Chaos { arguments } => chaos(&mut steps, &arguments),
        Task::Bench { arguments } => {
            target_folder().and_then(|target| bench::run(&mut steps, &target, &arguments))
        }
    };
    steps.print_table();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn test(steps: &mut Steps, only: Option<Part>, pytest: &[String]) -> anyhow::Result<()> {
    let built = ["waterbear", "waterbear-loadtest", "waterbear-corpus"];
    let built: Vec<&str> = built.iter().flat_map(|name| ["--package", *name]).collect();
    steps.cargo("build", &[&["build", "--release", "--locked"][..], &built].concat())?;
    let wanted = |part| only.is_none_or(|only| only == part);
    if wanted(Part::Rust) {
        steps.cargo("rust tests", &["test", "--release", "--locked", "--workspace"])?;
    }
    if wanted(Part::Corpus) {
        corpus(steps, "corpus", &["run", "tests/corpus"])?;
        corpus(steps, "deep statements", &["deep"])?;
        corpus(steps, "random queries", &["fuzz", "--seconds", "60", "--seed", CI_SEED])?;
    }
    if wanted(Part::Python) {
        python::run(steps, &target_folder()?, pytest)?;
    }
    Ok(())
}

/// Runs the corpus' program, which starts clusters of the binary beside it.
fn corpus(steps: &mut Steps, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let program = target_folder()?.join("release/waterbear-corpus");
    steps.command(name, Command::new(program).args(arguments))
}

fn fuzz(steps: &mut Steps, minutes: u64, seed: Option<u64>) -> anyhow::Result<()> {
    let built = ["--package", "waterbear", "--package", "waterbear-corpus"];
    steps.cargo("build", &[&["build", "--release", "--locked"][..], &built].concat())?;
    let seconds = (minutes * 60).to_string();
    let seed = seed.map(|seed| seed.to_string());
    let seed = seed.iter().flat_map(|seed| ["--seed", seed.as_str()]);
    let arguments: Vec<&str> = ["fuzz", "--seconds", &seconds].into_iter().chain(seed).collect();
    corpus(steps, "random queries", &arguments)
}

fn sim(steps: &mut Steps, arguments: &[String]) -> anyhow::Result<()> {
    let program = ["run", "--release", "--locked", "--quiet", "--package", "waterbear-sim", "--"];
    let arguments: Vec<&str> =
        program.into_iter().chain(arguments.iter().map(String::as_str)).collect();
    steps.cargo("simulation", &arguments)
}

fn chaos(steps: &mut Steps, arguments: &[String]) -> anyhow::Result<()> {
    steps.cargo("build", &["build", "--release", "--locked", "--package", "waterbear"])?;
    python::chaos(steps, &target_folder()?, arguments)
}

/// The workspace's root: this crate lies in it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds, whichever setting decides that.
fn target_folder() -> anyhow::Result<PathBuf> {
    let output = Command::new(steps::cargo())
        .args(["metadata", "--format-version=1", "--locked", "--no-deps"])
        .current_dir(root())
        .output()
        .context("cargo metadata does not start")?;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let folder = document["target_directory"].as_str();
    Ok(folder.context("cargo metadata names no target directory")?.into())
}
