//! `waterbear secret generate`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use waterbear_config::Secret;

/// What can be done with secrets.
#[derive(Subcommand)]
pub enum SecretCommand {
    /// Print a new random secret for internal-communication.shared-secret.
    Generate {
        /// Write it to this file (mode 0600) instead of printing it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Leave a file that exists as it is.
        #[arg(long, requires = "output")]
        if_absent: bool,
    },
}

/// Runs the command.
pub fn run(command: &SecretCommand) -> ExitCode {
    let SecretCommand::Generate { output, if_absent } = command;
    match generate(output.as_deref(), *if_absent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waterbear secret generate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(output: Option<&Path>, if_absent: bool) -> anyhow::Result<()> {
    let secret = Secret::generate()?;
    let Some(path) = output else {
        println!("{}", secret.expose());
        return Ok(());
    };
    match write_new(path, secret.expose()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && if_absent => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => anyhow::bail!(
            "{} exists: remove it first, or leave it with --if-absent",
            path.display()
        ),
        Err(error) => anyhow::bail!("cannot write {}: {error}", path.display()),
    }
}

/// Writes a file that must not exist yet. It appears whole or not at all, so that a node which
/// starts meanwhile never reads half a secret.
fn write_new(path: &Path, secret: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    linked
}
