//! The life of one task attempt.
//!
//! ```text
//! preparing ──► running ──► flushing ──► done (finished)
//!     │            │            │
//!     └────────────┴────────────┴─────► done (failed or aborted)
//! ```
//!
//! A task *runs* while its plan produces rows, and *flushes* while others still read what it has
//! produced: the plan and its memory are gone by then. Once it is done only its status is left.
//! A task that spools has no readers: it commits its output while it runs, and is finished then.

mod fetch;
mod inputs;
mod lease;
mod run;
mod spooled;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use waterbear_engine::PreparedTask;
use waterbear_exchange::{OutputBuffer, SpoolReads, SpoolSink};
use waterbear_ids::AttemptId;
use waterbear_protocol::Failure;
use waterbear_protocol::task::{OperatorMetrics, TaskState, TaskStats, TaskStatus};

use crate::records::Committed;
use lease::Lease;

pub(crate) use run::run;

/// The version of a status while the task is not done, and from then on.
const VERSIONS: (u64, u64) = (1, 2);

/// One attempt at a task on this worker.
#[derive(Debug)]
pub(crate) struct Task {
    attempt: AttemptId,
    created_ms: u64,
    phase: watch::Sender<Phase>,
    lease: Lease,
    /// Cancelled when it is done.
    done: CancellationToken,
    input_bytes: Arc<AtomicU64>,
    /// The final status shall have what each operator has cost.
    wants_operators: AtomicBool,
    operators: OnceLock<Vec<OperatorMetrics>>,
    /// What it has committed.
    committed: Arc<Committed>,
    spool_reads: SpoolReads,
    /// Bytes written to the spool, and requests that wrote them.
    spooled: (AtomicU64, AtomicU64),
}

#[derive(Debug)]
enum Phase {
    Preparing,
    Running { prepared: Arc<PreparedTask>, output: Destination },
    Flushing { output: Arc<OutputBuffer>, stats: TaskStats },
    Done { state: TaskState, failure: Option<Failure>, stats: TaskStats },
}

/// Where a running task's output goes.
#[derive(Debug, Clone)]
enum Destination {
    /// To readers.
    Buffer(Arc<OutputBuffer>),
    /// To the spool.
    Spool(Arc<SpoolSink>),
}

impl Destination {
    /// Rows and bytes given to it so far, and the bytes that it holds.
    fn figures(&self) -> (u64, u64, usize) {
        match self {
            Self::Buffer(buffer) => (buffer.rows(), buffer.bytes(), buffer.buffered_bytes()),
            Self::Spool(sink) => (sink.rows(), sink.bytes(), sink.buffered_bytes()),
        }
    }
}

/// Where a task's output is.
pub(crate) enum Output {
    /// Here it is.
    Ready(Arc<OutputBuffer>),
    /// The plan is not ready yet.
    NotYet,
    /// The task is done and its output gone.
    Gone(TaskState, Option<Failure>),
}

impl Task {
    pub(crate) fn new(attempt: AttemptId) -> Self {
        Self {
            attempt,
            created_ms: now_ms(),
            phase: watch::Sender::new(Phase::Preparing),
            lease: Lease::new(),
            done: CancellationToken::new(),
            input_bytes: Arc::new(AtomicU64::new(0)),
            wants_operators: AtomicBool::new(false),
            operators: OnceLock::new(),
            committed: Arc::default(),
            spool_reads: SpoolReads::default(),
            spooled: Default::default(),
        }
    }

    pub(crate) fn attempt(&self) -> &AttemptId {
        &self.attempt
    }

    /// Who still asks for it.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// What it has committed.
    pub(crate) fn committed(&self) -> &Arc<Committed> {
        &self.committed
    }

    // --- status

    pub(crate) fn is_done(&self) -> bool {
        self.phase.borrow().is_done()
    }

    pub(crate) fn status(&self) -> TaskStatus {
        let phase = self.phase.borrow();
        let (version, state, failure) = match &*phase {
            Phase::Done { state, failure, .. } => (VERSIONS.1, *state, failure.clone()),
            _ => (VERSIONS.0, TaskState::Running, None),
        };
        let stats = self.stats(&phase);
        let operators = match state.is_done() {
            true => self.operators.get().cloned().unwrap_or_default(),
            false => Vec::new(),
        };
        let output = match state {
            TaskState::Finished => self.committed.record().map(|record| record.as_ref().clone()),
            _ => None,
        };
        let attempt = self.attempt.clone();
        TaskStatus { attempt, version, state, failure, stats, output, operators }
    }

    /// The status as soon as it is newer than `version`, or what it is after `max_wait`.
    pub(crate) async fn status_after(&self, version: u64, max_wait: Duration) -> TaskStatus {
        let mut phase = self.phase.subscribe();
        let newer = phase.wait_for(|phase| phase.version() > version);
        let _ = tokio::time::timeout(max_wait, newer).await;
        self.status()
    }

    fn stats(&self, phase: &Phase) -> TaskStats {
        let mut stats = TaskStats::default();
        let output = match phase {
            Phase::Done { stats, .. } => return *stats,
            Phase::Preparing => None,
            Phase::Running { prepared, output } => {
                prepared.add_stats(&mut stats);
                Some(output.clone())
            }
            Phase::Flushing { output, stats: last } => {
                stats = *last;
                Some(Destination::Buffer(Arc::clone(output)))
            }
        };
        stats.created_ms = self.created_ms;
        stats.exchange_input_bytes = self.input_bytes.load(Ordering::Relaxed);
        stats.spool_reads = self.spool_reads.requests.load(Ordering::Relaxed);
        stats.spool_memory_reads = self.spool_reads.memory.load(Ordering::Relaxed);
        stats.spooled_bytes = self.spooled.0.load(Ordering::Relaxed);
        stats.spool_writes = self.spooled.1.load(Ordering::Relaxed);
        if let Some(output) = output {
            let (rows, bytes, held) = output.figures();
            stats.output_rows = rows;
            stats.output_bytes = bytes;
            stats.memory_bytes += held as u64;
            stats.peak_memory_bytes = stats.peak_memory_bytes.max(stats.memory_bytes);
        }
        stats
    }

    // --- output

    /// The output, waited for until the plan is ready or the deadline is there.
    pub(crate) async fn output(&self, deadline: Instant) -> Output {
        let mut phase = self.phase.subscribe();
        let prepared = phase.wait_for(|phase| !matches!(phase, Phase::Preparing));
        let _ = tokio::time::timeout_at(deadline, prepared).await;
        match &*self.phase.borrow() {
            Phase::Preparing => Output::NotYet,
            Phase::Running { output: Destination::Buffer(output), .. }
            | Phase::Flushing { output, .. } => Output::Ready(Arc::clone(output)),
            // What is spooled is read in the spool.
            Phase::Running { .. } => Output::Gone(TaskState::Running, None),
            Phase::Done { state, failure, .. } => Output::Gone(*state, failure.clone()),
        }
    }

    // --- transitions

    /// Preparing → running.
    fn run(&self, prepared: Arc<PreparedTask>, output: Destination) {
        self.phase.send_if_modified(|phase| {
            let preparing = matches!(phase, Phase::Preparing);
            if preparing {
                *phase = Phase::Running { prepared, output };
            }
            preparing
        });
    }

    /// Running → flushing: the plan has given everything and goes.
    fn flush(&self) {
        let mut last = None;
        self.phase.send_if_modified(|phase| {
            let Phase::Running { prepared, output: Destination::Buffer(output) } = phase else {
                return false;
            };
            let (prepared, output) = (Arc::clone(prepared), Arc::clone(output));
            let mut stats = TaskStats::default();
            prepared.add_stats(&mut stats);
            stats.memory_bytes = 0;
            last = Some(prepared);
            *phase = Phase::Flushing { output, stats };
            true
        });
        // Not under the lock that status polls wait for.
        if let Some(prepared) = last {
            self.keep_operators(&prepared);
        }
    }

    /// The final status shall have what each operator has cost.
    fn want_operators(&self) {
        self.wants_operators.store(true, Ordering::Relaxed);
    }

    fn keep_operators(&self, prepared: &PreparedTask) {
        if self.wants_operators.load(Ordering::Relaxed) {
            let _ = self.operators.set(prepared.operators());
        }
    }

    /// Any → done; false when it was done before. Drops the output and stops what runs.
    pub(crate) fn end(&self, state: TaskState, failure: Option<Failure>) -> bool {
        if let Phase::Running { prepared, .. } = &*self.phase.borrow() {
            self.keep_operators(prepared);
        }
        let mut last = None;
        let ended = self.phase.send_if_modified(|phase| {
            if phase.is_done() {
                return false;
            }
            let mut stats = self.stats(phase);
            stats.memory_bytes = 0;
            stats.ended_ms = now_ms();
            last = Some(std::mem::replace(phase, Phase::Done { state, failure, stats }));
            true
        });
        if let Some(
            Phase::Running { output: Destination::Buffer(output), .. }
            | Phase::Flushing { output, .. },
        ) = &last
        {
            output.abort();
        }
        self.done.cancel();
        ended
    }
}

impl Phase {
    fn is_done(&self) -> bool {
        matches!(self, Phase::Done { .. })
    }

    fn version(&self) -> u64 {
        if self.is_done() { VERSIONS.1 } else { VERSIONS.0 }
    }
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
