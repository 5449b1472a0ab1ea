//! A cluster of one process: its nodes speak mutual TLS with each other.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use waterbear_testkit::client::Client;

/// How long a cluster may take to be ready.
const START: Duration = Duration::from_secs(60);
/// What the log says before the client API's address.
const CLIENTS_AT: &str = "clients at ";

const TASK_BYTES: &str =
    "fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min";

/// How a cluster cuts its queries.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Workers.
    pub workers: u32,
    /// Partitions inside a task.
    pub partitions: u32,
    /// `task.bytes-per-partition`; under TASK the bytes of a task.
    pub bytes: &'static str,
    /// `retry-policy`.
    pub policy: &'static str,
    /// Rules of its fault points; see `waterbear_faults`.
    pub faults: &'static str,
}

/// A running cluster; it ends when this is dropped.
pub struct Cluster {
    process: Mutex<Child>,
    /// Asks its coordinator.
    pub client: Client,
}

impl Cluster {
    /// Starts `binary standalone` over the catalogs of `etc`; `folder` is its own.
    ///
    /// # Errors
    /// When it ends or is not ready in time; with its log.
    pub async fn start(
        binary: &Path,
        etc: &Path,
        folder: &Path,
        shape: Shape,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let faults = folder.join("faults");
        std::fs::write(&faults, shape.faults)?;
        let log = folder.join("node.log");
        let output = std::fs::File::create(&log)?;
        let mut process = Command::new(binary)
            .args(["standalone", "--port", "0", "--workers", &shape.workers.to_string()])
            .arg("--etc-dir")
            .arg(etc)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args(["-D", &format!("task.concurrency={}", shape.partitions)])
            .args(["-D", &format!("task.bytes-per-partition={}", shape.bytes)])
            .args(["-D", &format!("{TASK_BYTES}={}", shape.bytes)])
            .args(["-D", &format!("retry-policy={}", shape.policy)])
            .args(["-D", "retry-initial-delay=1ms"])
            .env("NO_COLOR", "1")
            .env("WATERBEAR_FAULTS", faults)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let give_up = Instant::now() + START;
        loop {
            let text = std::fs::read_to_string(&log)?;
            if let Some(server) = address(&text) {
                let client = Client::new(&server.parse()?)?;
                return Ok(Self { process: Mutex::new(process), client });
            }
            let ended = process.try_wait()?.is_some();
            if ended || Instant::now() > give_up {
                let _ = process.kill();
                bail!("{} is not ready:\n{text}", binary.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether the process still runs.
    pub fn is_alive(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(process.try_wait(), Ok(None))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// The client API's address in a log, once its line is whole.
fn address(log: &str) -> Option<&str> {
    let after = &log[log.find(CLIENTS_AT)? + CLIENTS_AT.len()..];
    let (line, _) = after.split_once('\n')?;
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_a_whole_line() {
        assert_eq!(address("INFO clients at http://127.0.0.1:80"), None);
        let log = "a\nINFO clients at http://127.0.0.1:8080 x\nb";
        assert_eq!(address(log), Some("http://127.0.0.1:8080"));
    }
}
