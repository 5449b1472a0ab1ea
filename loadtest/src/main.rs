//! Load against a running cluster, with checked answers: a table at the end, and a non-zero exit
//! when an answer was wrong or a query failed.
//!
//! Layout: [`queries`] has the mix and its right answers,
//! [`load`] runs it, [`report`] makes the table.

mod load;
mod queries;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use http::Uri;
use waterbear_testkit::client::{Answer, Client, Session};

/// Load against a running cluster, with checked answers.
#[derive(Parser)]
#[command(name = "loadtest/run.sh")]
struct Arguments {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Small mixed queries from several clients for some seconds.
    Smoke {
        /// The coordinator's client API.
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        server: Uri,
        /// Clients at once, each with one query at a time.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
        clients: u32,
        /// How long; every query is asked at least once, however short this is.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: u64,
        /// A catalog with the connector tpch, `tpch.column-naming=STANDARD` and
        /// `tpch.double-type-mapping=DECIMAL`.
        #[arg(long, default_value = "tpch")]
        catalog: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every answer was right.
async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let Load::Smoke { server, clients, seconds, catalog } = arguments.load;
    let client = Client::new(&server)?;
    let session = Session::new("loadtest", &catalog);
    let first = client.answer(&mut session.clone(), "SELECT 1").await;
    match first.with_context(|| format!("{server} does not answer SELECT 1"))? {
        Answer::Rows(_) => {}
        Answer::Error { name, message } => bail!("SELECT 1: {name}: {message}"),
    }
    let mix = queries::mix();
    let report = load::smoke(client, session, mix, clients, Duration::from_secs(seconds)).await?;
    print!("{report}");
    Ok(report.all_right())
}
