//! The suites in `tests/python`: Trino's own Python client against a cluster of real processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail};

use crate::steps::Steps;

const SUITES: &str = "python suites";
const REQUIREMENTS: &str = "tests/python/requirements.txt";

/// Makes the Python environment under `target` and runs pytest with the given arguments.
pub fn run(steps: &mut Steps, target: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let Some(mut pytest) = python(steps, target, SUITES)? else { return Ok(()) };
    pytest.args(["-m", "pytest", "tests/python", "-ra", "--color=no"]).args(arguments);
    steps.command(SUITES, &mut pytest)
}

/// Runs queries under faults.
pub fn chaos(steps: &mut Steps, target: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let Some(mut chaos) = python(steps, target, "chaos")? else { return Ok(()) };
    chaos.arg("tests/python/chaos.py").args(arguments);
    steps.command("chaos", &mut chaos)
}

/// Python in the suites' environment; none where there is none, which is said for `step`.
fn python(steps: &mut Steps, target: &Path, step: &'static str) -> anyhow::Result<Option<Command>> {
    if let Err(reason) = python3() {
        return steps.skip(step, &reason).map(|()| None);
    }
    let environment = target.join("python");
    let requirements = steps.root().join(REQUIREMENTS);
    if let Err(error) = steps.step("python environment", || prepare(&environment, &requirements)) {
        return steps.skip(step, &format!("{error:#}")).map(|()| None);
    }
    let mut python = Command::new(environment.join("bin/python"));
    python.env("WATERBEAR_BIN", target.join("release/waterbear"));
    python.env("LOADTEST_BIN", target.join("release/waterbear-loadtest"));
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(Some(python))
}

/// Why there is no Python that the suites can run on.
fn python3() -> Result<(), String> {
    let check = "import sys, venv; sys.exit(sys.version_info < (3, 9))";
    match Command::new("python3").args(["-c", check]).output() {
        Err(error) => Err(format!("python3 does not start: {error}")),
        Ok(output) if !output.status.success() => {
            Err("python3 is older than 3.9, or its module venv is missing".to_owned())
        }
        Ok(_) => Ok(()),
    }
}

/// Makes the environment, or leaves one alone that was made of the same requirements.
fn prepare(environment: &Path, requirements: &Path) -> anyhow::Result<()> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("{} cannot be read", requirements.display()))?;
    let stamp: PathBuf = environment.join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut venv = Command::new("python3");
    succeed(venv.args(["-m", "venv", "--clear"]).arg(environment).output(), "python3 -m venv")?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    succeed(pip.arg(requirements).output(), "pip install")?;
    Ok(std::fs::write(stamp, wanted)?)
}

fn succeed(result: std::io::Result<Output>, what: &str) -> anyhow::Result<()> {
    let output = result.with_context(|| format!("{what} does not start"))?;
    if !output.status.success() {
        bail!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_of_the_same_requirements_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let requirements = folder.path().join("requirements.txt");
        std::fs::write(&requirements, "trino==1\n").unwrap();
        let environment = folder.path().join("python");
        std::fs::create_dir(&environment).unwrap();
        std::fs::write(environment.join("requirements.installed"), "trino==1\n").unwrap();
        prepare(&environment, &requirements).unwrap();
        assert!(!environment.join("bin").exists(), "nothing was made anew");
    }

    #[test]
    fn what_a_failed_command_said_is_in_the_error() {
        let output = Command::new("sh").args(["-c", "echo no network >&2; exit 1"]).output();
        let error = succeed(output, "pip install").unwrap_err().to_string();
        assert_eq!(error, "pip install failed: no network");
    }
}
