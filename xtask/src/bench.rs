//! Builds the binary and the benchmarks, and runs these.

use std::path::Path;
use std::process::Command;

use crate::steps::Steps;

/// Runs `waterbear-bench` of the build below `target` with these arguments.
pub fn run(steps: &mut Steps, target: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let built = ["--package", "waterbear", "--package", "waterbear-bench"];
    steps.cargo("build", &[&["build", "--release", "--locked"][..], &built].concat())?;
    // Goal 13 is the scheduler's own measurement.
    let example = ["--package", "waterbear-scheduler", "--example", "events"];
    steps.cargo("example", &[&["build", "--release", "--locked"][..], &example].concat())?;
    let bench = target.join("release/waterbear-bench");
    steps.command("bench", Command::new(bench).args(arguments))
}
