//! How much a worker keeps in memory for exchanges.

/// How much a worker keeps in memory for exchanges, and how many may ask at once.
#[derive(Debug, Clone, Copy)]
pub struct WorkerLimits {
    /// Bytes of pages that each output partition of a task holds before its producer waits.
    pub output_partition_bytes: usize,
    /// Bytes of pages that wait in all exchange sources of a task together.
    pub exchange_buffer_bytes: usize,
    /// Bytes of spooled outputs that are kept in memory as well (`exchange.memory-cache-size`).
    pub spool_cache_bytes: usize,
    /// Requests for pages that are served at once, those that wait for a page included; more are
    /// told to come again.
    pub data_concurrency: usize,
}

/// Bounds of what waits in one partition of a task's exchange sources. A merge needs a page of each
/// partition at once, so none may be without; and more than the upper bound makes nothing faster.
const SOURCE_BUFFER: (usize, usize) = (256 << 10, 8 << 20);

impl WorkerLimits {
    /// Limits for a worker with so many bytes of memory: buffers are there for speed, so where
    /// memory is short they leave it to the operators.
    pub fn of_memory(memory: usize) -> Self {
        Self {
            output_partition_bytes: (memory / 256).clamp(256 << 10, 4 << 20),
            exchange_buffer_bytes: (memory / 32).clamp(2 << 20, 32 << 20),
            spool_cache_bytes: memory / 8,
            data_concurrency: 4096,
        }
    }

    /// What each of a task's partitions has of [`Self::exchange_buffer_bytes`], when so many of
    /// them read.
    pub(crate) fn source_buffer_bytes(&self, partitions: usize) -> usize {
        let part = self.exchange_buffer_bytes / partitions.max(1);
        part.clamp(SOURCE_BUFFER.0, SOURCE_BUFFER.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_partitions_share_one_budget_and_each_has_a_part() {
        let limits = WorkerLimits::of_memory(1 << 30);
        for partitions in 0..=1000 {
            let part = limits.source_buffer_bytes(partitions);
            assert!(SOURCE_BUFFER.0 <= part && part <= SOURCE_BUFFER.1);
            let floor = partitions * SOURCE_BUFFER.0;
            assert!(partitions * part <= limits.exchange_buffer_bytes.max(floor), "{partitions}");
        }
        assert_eq!(limits.source_buffer_bytes(16), 2 << 20);
    }
}
