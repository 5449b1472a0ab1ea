//! Where the binaries are, and where a benchmark may write.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Names another binary than the one beside us.
const BINARY_VARIABLE: &str = "WATERBEAR_BIN";

/// The folders of one build.
pub struct Place {
    /// The binary that is measured.
    pub waterbear: PathBuf,
    /// This binary.
    pub bench: PathBuf,
    /// Where both were built.
    folder: PathBuf,
    /// Cargo's target folder.
    target: PathBuf,
    /// What clusters under TASK have as
    /// `fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min`.
    pub task_size: Option<String>,
}

impl Place {
    /// Finds the binary beside this one, or where `WATERBEAR_BIN` says.
    pub fn find(task_size: Option<String>) -> anyhow::Result<Self> {
        let bench = std::env::current_exe().context("this binary's path is not known")?;
        let folder = bench.parent().context("this binary lies in no folder")?;
        let waterbear = match std::env::var_os(BINARY_VARIABLE) {
            Some(path) => path.into(),
            None => folder.join("waterbear"),
        };
        let target = folder.parent().unwrap_or(folder).to_owned();
        ensure!(
            waterbear.is_file(),
            "{} is not there: `cargo xtask bench` builds it, or set {BINARY_VARIABLE}",
            waterbear.display()
        );
        let folder = folder.to_owned();
        Ok(Self { waterbear, bench, folder, target, task_size })
    }

    /// Where an example of the same build would be.
    pub fn example(&self, name: &str) -> PathBuf {
        self.folder.join("examples").join(name)
    }

    /// Where generated data is kept between runs.
    pub fn data(&self) -> PathBuf {
        self.target.join("bench-data")
    }

    /// A folder that is removed when it is dropped.
    pub fn scratch(&self) -> anyhow::Result<TempDir> {
        temporary(&self.target.join("bench-tmp"))
    }
}

/// A temporary folder in `parent`, which is made if absent.
pub fn temporary(parent: &Path) -> anyhow::Result<TempDir> {
    let made = std::fs::create_dir_all(parent).and_then(|()| TempDir::new_in(parent));
    made.with_context(|| format!("cannot make a folder in {}", parent.display()))
}
