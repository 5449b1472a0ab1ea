//! Limits of CPU time: a control group for each process, of either version.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context, bail};

/// Where the controllers of version 1 and the one hierarchy of version 2 are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Microseconds of the kernel's accounting: short, so that nobody waits long for his share.
const PERIOD_MICROS: u32 = 20_000;
/// How long a killed process may take to leave its group.
const LEAVES: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// The hierarchy in which groups are made.
#[derive(Clone, Debug)]
pub struct CpuLimits {
    parent: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group of its own for some processes; removed when it is dropped, after these have ended.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

impl CpuLimits {
    /// Finds the hierarchy, and tries whether groups may be made there.
    ///
    /// # Errors
    /// Why limits cannot be set here.
    pub fn find() -> anyhow::Result<Self> {
        let limits = Self::at(Path::new(ROOT))?;
        if limits.version == Version::Two {
            let control = limits.parent.join("cgroup.subtree_control");
            let enabled = fs::read_to_string(&control).unwrap_or_default();
            if !enabled.split_whitespace().any(|name| name == "cpu") {
                write(&control, "+cpu")?;
            }
        }
        // Being root is not enough where the hierarchy is mounted for reading alone.
        limits.group("probe", 1.0)?;
        Ok(limits)
    }

    fn at(root: &Path) -> anyhow::Result<Self> {
        let cpu = root.join("cpu");
        if cpu.is_dir() {
            return Ok(Self { parent: cpu, version: Version::One });
        }
        let controllers = root.join("cgroup.controllers");
        let text = fs::read_to_string(&controllers)
            .with_context(|| format!("cannot read {}", controllers.display()))?;
        if !text.split_whitespace().any(|name| name == "cpu") {
            bail!("{} does not name cpu", controllers.display());
        }
        Ok(Self { parent: root.to_owned(), version: Version::Two })
    }

    /// Makes a group whose processes together may use so many cores.
    pub fn group(&self, name: &str, cores: f64) -> anyhow::Result<Group> {
        let name = format!("waterbear-bench-{}-{name}", std::process::id());
        let folder = self.parent.join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let group = Group { folder };
        for (file, text) in self.settings(cores) {
            write(&group.folder.join(file), &text)?;
        }
        Ok(group)
    }

    fn settings(&self, cores: f64) -> Vec<(&'static str, String)> {
        let quota = (f64::from(PERIOD_MICROS) * cores).round();
        match self.version {
            Version::One => vec![
                ("cpu.cfs_period_us", PERIOD_MICROS.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ],
            Version::Two => vec![("cpu.max", format!("{quota} {PERIOD_MICROS}"))],
        }
    }
}

impl Group {
    /// Puts a process into it, with all its threads and all that it will start.
    pub fn add(&self, pid: u32) -> anyhow::Result<()> {
        write(&self.folder.join("cgroup.procs"), &pid.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let start = Instant::now();
        // A process that was killed just now has not left yet.
        while let Err(error) = fs::remove_dir(&self.folder) {
            if error.kind() == io::ErrorKind::NotFound {
                return;
            }
            if start.elapsed() > LEAVES {
                eprintln!("bench: {} stays: {error}", self.folder.display());
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {text} to {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn both_versions_are_found_and_told_what_they_understand() {
        let folder = TempDir::new().unwrap();
        assert!(CpuLimits::at(folder.path()).is_err());
        fs::write(folder.path().join("cgroup.controllers"), "io memory\n").unwrap();
        assert!(CpuLimits::at(folder.path()).unwrap_err().to_string().contains("cpu"));
        fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io\n").unwrap();
        let two = CpuLimits::at(folder.path()).unwrap();
        assert_eq!(two.settings(0.5), [("cpu.max", "10000 20000".to_owned())]);
        fs::create_dir(folder.path().join("cpu")).unwrap();
        let one = CpuLimits::at(folder.path()).unwrap();
        let expected =
            [("cpu.cfs_period_us", "20000".to_owned()), ("cpu.cfs_quota_us", "10000".to_owned())];
        assert_eq!(one.settings(0.5), expected);
    }
}
