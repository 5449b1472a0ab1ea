//! Steps: commands that run one after the other, in plain sight, each with its seconds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// The steps of one run.
pub struct Steps {
    root: PathBuf,
    done: Vec<Done>,
}

struct Done {
    name: String,
    outcome: String,
    seconds: f64,
}

impl Steps {
    /// Steps that run in the folder `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root, done: Vec::new() }
    }

    /// The folder that the steps run in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A step that is one cargo command.
    pub fn cargo(&mut self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        self.command(name, Command::new(cargo()).args(arguments))
    }

    /// A step that is one command; its output goes where ours goes.
    pub fn command(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        command.current_dir(&self.root);
        self.step(name, || {
            let status = command
                .status()
                .with_context(|| format!("{:?} does not start", command.get_program()))?;
            if !status.success() {
                bail!("{command:?} ended with {status}");
            }
            Ok(())
        })
    }

    /// A step of our own.
    pub fn step(
        &mut self,
        name: &str,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        println!("==> {name}");
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        println!("==> {name}: {outcome}, {seconds:.1} s");
        self.done.push(Done { name: name.to_owned(), outcome: outcome.to_owned(), seconds });
        result.with_context(|| format!("step '{name}'"))
    }

    /// Notes a suite that cannot run here. In CI that is a failure: nothing is skipped unseen.
    pub fn skip(&mut self, name: &str, reason: &str) -> anyhow::Result<()> {
        println!("==> {name}: SKIPPED, {reason}");
        self.done.push(Done {
            name: name.to_owned(),
            outcome: format!("skipped: {reason}"),
            seconds: 0.0,
        });
        if in_ci() {
            bail!("'{name}' was skipped ({reason}), and with CI=true a skip is a failure");
        }
        Ok(())
    }

    /// Prints what was done and how long it took.
    pub fn print_table(&self) {
        let width = self.done.iter().map(|step| step.name.len()).max().unwrap_or_default();
        println!("\n{:width$}  seconds  outcome", "step");
        for Done { name, outcome, seconds } in &self.done {
            println!("{name:width$}  {seconds:7.1}  {outcome}");
        }
    }
}

/// Whether this run decides if a change lands.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// The cargo that runs us, or the one on the path.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_ends_its_step_with_its_name() {
        let mut steps = Steps::new(std::env::temp_dir());
        steps.command("good", &mut Command::new("true")).unwrap();
        let error = steps.command("bad", &mut Command::new("false")).unwrap_err();
        assert!(format!("{error:#}").contains("step 'bad'"), "{error:#}");
        let error = steps.command("none", &mut Command::new("/no/such/program")).unwrap_err();
        assert!(format!("{error:#}").contains("/no/such/program"), "{error:#}");
        assert_eq!(steps.done.iter().filter(|step| step.outcome == "FAILED").count(), 2);
    }
}
