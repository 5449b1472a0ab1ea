//! CPU time and memory of processes, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;

/// The kernel counts a process's CPU time in hundredths of a second, whatever its own clock is.
const TICK: Duration = Duration::from_millis(10);
/// Below this a count of ticks is too coarse.
const LONG: Duration = Duration::from_secs(1);

/// Measures the CPU time of a process between two moments.
///
/// A process's own counter has ticks of 10 ms, too coarse for a query of 50 ms. Its threads' have
/// nanoseconds, but lose what an ended thread did since the last look; over long spans, where a
/// thread may end and ticks are fine enough, the process's counter is taken.
pub struct CpuMeter {
    pid: u32,
    ticks: Duration,
    threads: BTreeMap<u32, u64>,
}

impl CpuMeter {
    /// Starts to measure the process `pid`.
    pub fn new(pid: u32) -> anyhow::Result<Self> {
        let mut meter = Self { pid, ticks: Duration::ZERO, threads: BTreeMap::new() };
        meter.lap()?;
        Ok(meter)
    }

    /// CPU time, of the user and of the system, since the last call.
    pub fn lap(&mut self) -> anyhow::Result<Duration> {
        let ticks = ticks(self.pid)?;
        let threads = threads(self.pid)?;
        let coarse = ticks.saturating_sub(self.ticks);
        let since = |(thread, nanos): (&u32, &u64)| {
            nanos.saturating_sub(self.threads.get(thread).copied().unwrap_or_default())
        };
        let fine = Duration::from_nanos(threads.iter().map(since).sum());
        let usable = coarse < LONG && !threads.is_empty();
        (self.ticks, self.threads) = (ticks, threads);
        Ok(if usable { fine } else { coarse })
    }
}

fn ticks(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ticks_in(&text).with_context(|| format!("{path} is not understood: {text}"))
}

/// User and system time in a process's `stat`. Its second field is a name in parentheses that may
/// hold anything.
fn ticks_in(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

/// Nanoseconds on a processor of each thread; none where the kernel does not count them.
fn threads(pid: u32) -> anyhow::Result<BTreeMap<u32, u64>> {
    let folder = format!("/proc/{pid}/task");
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        let entry = entry?;
        // A thread may end between the list and the look.
        let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
        let thread = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let nanos = text.split_whitespace().next().and_then(|first| first.parse().ok());
        if let (Some(thread), Some(nanos)) = (thread, nanos) {
            threads.insert(thread, nanos);
        }
    }
    Ok(threads)
}

/// The most bytes of memory that a process has had resident.
pub fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM:")
}

/// Bytes of memory that a process has resident now.
pub fn resident_memory(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

fn status(pid: u32, name: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("process {pid} has ended"),
        _ => anyhow::Error::from(error).context(format!("cannot read {path}")),
    })?;
    kilobytes(&text, name)
        .map(|kilobytes| kilobytes * 1024)
        .with_context(|| format!("{path} has no {name}"))
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;

    #[test]
    fn documents_of_the_kernel_are_read() {
        let stat = "25130 (a) (b c) S 1 25128 22701 0 -1 4194304 94 0 0 0 28 3 0 0 20 0 1 0 589007";
        assert_eq!(ticks_in(stat), Some(Duration::from_millis(310)));
        assert_eq!(ticks_in("no stat"), None);
        let status = "Name:\tx\nVmHWM:\t  1234 kB\nVmRSS:\t     12 kB\n";
        assert_eq!(kilobytes(status, "VmHWM:"), Some(1234));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }

    #[test]
    fn work_is_measured_and_rest_is_not() {
        let mut meter = CpuMeter::new(std::process::id()).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(100) {
            black_box((0..1000_u64).sum::<u64>());
        }
        // The machine may be busy: no upper bound on what others take from us.
        let busy = meter.lap().unwrap();
        assert!(busy > Duration::ZERO, "{busy:?}");
    }

    #[test]
    fn own_memory_is_known_and_a_missing_process_named() {
        let own = std::process::id();
        let (peak, now) = (peak_memory(own).unwrap(), resident_memory(own).unwrap());
        assert!(peak >= 1 << 20 && now >= 1 << 20, "{peak} {now}");
        assert!(peak_memory(u32::MAX).unwrap_err().to_string().contains("has ended"));
        assert!(CpuMeter::new(u32::MAX).is_err());
    }
}
