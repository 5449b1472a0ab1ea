//! Counters of tasks.

use metrics::{Counter, Gauge};
use waterbear_protocol::task::{TaskState, TaskStats};
use waterbear_telemetry::ServiceMetrics;

/// What a worker counts of its tasks.
pub(crate) struct TaskMetrics {
    running: Gauge,
    created: Counter,
    finished: Counter,
    failed: Counter,
    aborted: Counter,
    output_bytes: Counter,
    spooled_bytes: Counter,
    spool_writes: Counter,
    spool_reads: Counter,
    spool_memory_reads: Counter,
}

impl TaskMetrics {
    pub(crate) fn new(metrics: &ServiceMetrics) -> Self {
        Self {
            running: metrics.gauge("waterbear_tasks_running"),
            created: metrics.counter("waterbear_tasks_created_total"),
            finished: metrics.counter("waterbear_tasks_finished_total"),
            failed: metrics.counter("waterbear_tasks_failed_total"),
            aborted: metrics.counter("waterbear_tasks_aborted_total"),
            output_bytes: metrics.counter("waterbear_task_output_bytes_total"),
            spooled_bytes: metrics.counter("waterbear_spooled_bytes_total"),
            spool_writes: metrics.counter("waterbear_spool_writes_total"),
            spool_reads: metrics.counter("waterbear_spool_reads_total"),
            spool_memory_reads: metrics.counter("waterbear_spool_memory_reads_total"),
        }
    }

    pub(crate) fn created(&self) {
        self.created.increment(1);
        self.running.increment(1);
    }

    pub(crate) fn ended(&self, state: TaskState, stats: &TaskStats) {
        self.running.decrement(1);
        self.output_bytes.increment(stats.output_bytes);
        self.spooled_bytes.increment(stats.spooled_bytes);
        self.spool_writes.increment(stats.spool_writes);
        self.spool_reads.increment(stats.spool_reads);
        self.spool_memory_reads.increment(stats.spool_memory_reads);
        match state {
            TaskState::Finished => self.finished.increment(1),
            TaskState::Failed => self.failed.increment(1),
            TaskState::Aborted | TaskState::Running => self.aborted.increment(1),
        }
    }
}

impl std::fmt::Debug for TaskMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskMetrics").finish_non_exhaustive()
    }
}
