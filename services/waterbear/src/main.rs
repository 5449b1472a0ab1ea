//! The binary: discovery, coordinator, worker, standalone, and the tools around them.

mod cluster;
mod demo;
mod health;
mod life;
mod machine;
mod node;
mod operate;
mod roles;
mod secret;
mod sql;
mod standalone;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use waterbear_protocol::membership::Role;

/// A distributed SQL query cluster that speaks Trino's protocol.
#[derive(Parser)]
#[command(name = "waterbear", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster in this process: one discovery, one coordinator, N workers.
    Standalone(standalone::StandaloneArgs),
    /// Run the service that knows who is in the cluster.
    Discovery(RoleArgs),
    /// Run the service that clients talk to, which plans and schedules queries.
    Coordinator(RoleArgs),
    /// Run a service that executes tasks.
    Worker(RoleArgs),
    /// Show a query that outlives a worker: a cluster of processes, one of which is killed.
    Demo(demo::DemoArgs),
    /// Send SQL to a coordinator.
    Sql(Box<sql::SqlArgs>),
    /// Let workers finish what they run, and give them nothing new.
    Drain(operate::DrainArgs),
    /// End nodes as soon as they have done their work.
    Shutdown(operate::ShutdownArgs),
    /// Ask a node whether it is ready; exit 0 if so.
    Health(health::HealthArgs),
    /// Make secrets.
    #[command(subcommand)]
    Secret(secret::SecretCommand),
}

/// Where a role finds its configuration.
#[derive(Args)]
struct RoleArgs {
    /// Folder with config.properties, node.properties, catalog/*.properties.
    #[arg(long, value_name = "DIR")]
    etc_dir: Option<PathBuf>,
    /// A property that overrides the files; may be repeated.
    #[arg(short = 'D', value_name = "PROPERTY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
}

/// Splits `property=value` at the first `=`.
fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected property=value".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("waterbear: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(cli.command));
    // Requests that nobody waits for must not hold up the end.
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Standalone(args) => standalone::run(args).await,
        Command::Discovery(args) => roles::run(Role::Discovery, &args.into()).await,
        Command::Coordinator(args) => roles::run(Role::Coordinator, &args.into()).await,
        Command::Worker(args) => roles::run(Role::Worker, &args.into()).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Sql(args) => sql::run(*args).await,
        Command::Drain(args) => operate::drain(args).await,
        Command::Shutdown(args) => operate::shut_down(args).await,
        Command::Health(args) => health::run(args).await,
        Command::Secret(command) => secret::run(&command),
    }
}

impl From<RoleArgs> for roles::Source {
    fn from(args: RoleArgs) -> Self {
        Self { etc_dir: args.etc_dir, properties: args.properties }
    }
}
