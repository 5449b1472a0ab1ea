//! What this machine, or the container that it is, has.

use std::fs::read_to_string;

/// Processors that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory: the container's limit where there is one, else the machine's.
pub fn memory() -> u64 {
    let machine = machine_memory().unwrap_or(4 << 30);
    let limit = |path| read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let container = limit("/sys/fs/cgroup/memory.max")
        .or_else(|| limit("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    container.map_or(machine, |container| container.min(machine))
}

fn machine_memory() -> Option<u64> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
