//! How much a task may cost.

use std::time::Duration;

/// How often, how soon and with how much memory a task runs again.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Failures that count before the task fails, besides the first: 4 means five runs
    /// (`task-retry-attempts-per-task`).
    pub retries: u32,
    /// The longest pause after the first failure (`retry-initial-delay`).
    pub initial_delay: Duration,
    /// The longest pause of all (`retry-max-delay`).
    pub max_delay: Duration,
    /// By how much the longest pause grows with each failure (`retry-delay-scale-factor`).
    pub delay_scale: f64,
    /// Lost nodes that count nothing. The next one does: a task that was on three nodes that died
    /// may be what kills them.
    pub losses_free: u32,
    /// How often the spool is asked for one attempt before silence means "not committed". That is
    /// never wrong, only wasteful: two attempts may commit, and one of them wins.
    pub spool_questions: u32,
    /// How much memory attempts ask for.
    pub memory: MemoryGrowth,
    /// Whether hedges are allowed.
    pub hedge: bool,
}

/// How much memory attempts ask for, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryGrowth {
    /// What the first attempt asks for (`fault-tolerant-execution-task-memory`).
    pub initial: u64,
    /// By how much the demand grows after a failure for want of memory
    /// (`fault-tolerant-execution-task-memory-growth-factor`).
    pub factor: f64,
    /// The most that a node has: no attempt asks for more.
    pub whole_node: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            retries: 4,
            initial_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(60),
            delay_scale: 2.0,
            losses_free: 2,
            spool_questions: 5,
            memory: MemoryGrowth::default(),
            hedge: true,
        }
    }
}

impl Default for MemoryGrowth {
    fn default() -> Self {
        Self { initial: 5 << 30, factor: 3.0, whole_node: u64::MAX }
    }
}

impl Limits {
    /// The longest pause after the `n`-th failure, from 1.
    pub(crate) fn longest_pause(&self, n: u32) -> Duration {
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial_delay.as_secs_f64() * self.delay_scale.powi(exponent);
        // Out of range or not a number: the scale has outgrown any limit.
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max_delay).min(self.max_delay)
    }
}

impl MemoryGrowth {
    /// What to ask for after an attempt that was given `had` bytes and was seen to hold `peak`.
    pub(crate) fn after(&self, had: u64, peak: u64) -> u64 {
        let base = had.max(peak);
        // Saturates; a factor below one or not a number must not shrink the demand.
        let grown = (base as f64 * self.factor) as u64;
        grown.max(base).min(self.whole_node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_by_the_scale_up_to_the_longest() {
        let limits = Limits::default();
        let pauses = [1, 2, 3, 4, 10, 11, 1_000, u32::MAX].map(|n| limits.longest_pause(n));
        let milliseconds = [100, 200, 400, 800, 51_200, 60_000, 60_000, 60_000];
        assert_eq!(pauses, milliseconds.map(Duration::from_millis));
    }

    #[test]
    fn senseless_limits_give_the_longest_pause_and_never_less_memory() {
        for delay_scale in [f64::NAN, f64::INFINITY, -2.0] {
            let limits = Limits { delay_scale, ..Limits::default() };
            assert_eq!(limits.longest_pause(2), limits.max_delay, "{delay_scale}");
        }
        for factor in [f64::NAN, 0.0, -1.0] {
            let memory = MemoryGrowth { factor, ..MemoryGrowth::default() };
            assert_eq!(memory.after(7, 9), 9, "{factor}");
        }
        let memory = MemoryGrowth { factor: f64::INFINITY, ..MemoryGrowth::default() };
        assert_eq!(memory.after(7, 9), u64::MAX);
    }
}
