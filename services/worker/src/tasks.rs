//! All tasks of a worker: by attempt, with their leases, and what is left of those that are done.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use waterbear_ids::AttemptId;
use waterbear_protocol::membership::NodeState;
use waterbear_protocol::task::TaskState;
use waterbear_protocol::{ErrorCode, Failure};

use crate::Worker;
use crate::cache;
use crate::metric::TaskMetrics;
use crate::records::Records;
use crate::task::Task;

/// How long the status of a task that is done can be asked for.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// How many of them are kept.
const KEPT: usize = 10_000;
/// How many requests may wait at once for tasks that are not created yet.
const WAITERS: usize = 4096;
/// A tick that is so late means that this process stood still, not that coordinators were silent.
const LATE_TICK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Tasks {
    inner: Mutex<Inner>,
    created: Notify,
    waiters: Semaphore,
    metrics: TaskMetrics,
}

#[derive(Debug, Default)]
struct Inner {
    by_attempt: HashMap<AttemptId, Arc<Task>>,
    /// Those that are done, the oldest first.
    done: VecDeque<(Instant, AttemptId)>,
    records: Records,
}

impl Tasks {
    pub(crate) fn new(metrics: TaskMetrics) -> Self {
        let (created, waiters) = (Notify::new(), Semaphore::new(WAITERS));
        Self { inner: Mutex::default(), created, waiters, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn task(&self, attempt: &AttemptId) -> Option<Arc<Task>> {
        self.lock().by_attempt.get(attempt).cloned()
    }

    /// The task of this attempt, and whether it is new.
    pub(crate) fn create(&self, attempt: &AttemptId) -> (Arc<Task>, bool) {
        let mut inner = self.lock();
        if let Some(task) = inner.by_attempt.get(attempt) {
            return (Arc::clone(task), false);
        }
        let task = Arc::new(Task::new(attempt.clone()));
        inner.by_attempt.insert(attempt.clone(), Arc::clone(&task));
        drop(inner);
        self.metrics.created();
        self.created.notify_waiters();
        (task, true)
    }

    /// The task of this attempt, waited for until the deadline: readers may come before the
    /// coordinator's request. With too many waiters it is not waited for.
    pub(crate) async fn created(
        &self,
        attempt: &AttemptId,
        deadline: Instant,
    ) -> Option<Arc<Task>> {
        let mut permit = None;
        loop {
            let mut created = pin!(self.created.notified());
            created.as_mut().enable();
            if let Some(task) = self.task(attempt) {
                return Some(task);
            }
            if permit.is_none() {
                permit = Some(self.waiters.try_acquire().ok()?);
            }
            tokio::time::timeout_at(deadline, created).await.ok()?;
        }
    }

    /// Those that are not done.
    pub(crate) fn running(&self) -> Vec<Arc<Task>> {
        let inner = self.lock();
        inner.by_attempt.values().filter(|task| !task.is_done()).cloned().collect()
    }

    /// Ends a task; nothing happens when it is done already.
    pub(crate) fn end(&self, task: &Task, state: TaskState, failure: Option<Failure>) {
        if !task.end(state, failure) {
            return;
        }
        let status = task.status();
        self.metrics.ended(state, &status.stats);
        match &status.failure {
            Some(failure) => {
                tracing::info!(attempt = %status.attempt, ?state, %failure, "task ended");
            }
            None => tracing::debug!(attempt = %status.attempt, ?state, "task ended"),
        }
        let mut inner = self.lock();
        match state {
            TaskState::Finished => inner.records.keep(task.committed()),
            // It was ended while it committed: nobody will ask for it.
            _ => task.committed().drop_record(),
        }
        inner.done.push_back((Instant::now(), status.attempt));
    }

    /// Forgets those that are done for long.
    fn forget_old(&self) {
        let mut inner = self.lock();
        inner.records.forget_old();
        while let Some((since, _)) = inner.done.front()
            && (inner.done.len() > KEPT || since.elapsed() > KEPT_FOR)
        {
            if let Some((_, attempt)) = inner.done.pop_front() {
                inner.by_attempt.remove(&attempt);
            }
        }
    }
}

/// Ends the tasks whose coordinators have fallen silent, and at the worker's shutdown all.
pub(crate) async fn watch_leases(worker: Arc<Worker>) {
    let lease = worker.client_timeout;
    let tick = (lease / 40).clamp(Duration::from_millis(10), Duration::from_millis(250));
    loop {
        let due = Instant::now() + tick;
        tokio::select! {
            () = worker.shutdown.cancelled() => break,
            () = tokio::time::sleep_until(due) => {}
        }
        let late = due.elapsed() > LATE_TICK;
        for task in worker.tasks.running() {
            if late {
                task.lease().forgive();
            } else if task.lease().silence() > lease {
                let text = format!("no coordinator has asked for the task for {lease:?}");
                tracing::warn!(attempt = %task.attempt(), "task abandoned by its coordinator");
                let failure = Failure::new(ErrorCode::ABANDONED_TASK, text);
                worker.tasks.end(&task, TaskState::Aborted, Some(failure));
            }
        }
        worker.tasks.forget_old();
        worker.cache.drop_older(cache::KEPT_FOR);
    }
    // Nothing begins from here on; and nothing hinders this change.
    let _ = worker.lifecycle.change(NodeState::ShuttingDown);
    fail_all(&worker);
}

/// Fails all tasks, since the worker is about to end.
pub(crate) fn fail_all(worker: &Worker) {
    for task in worker.tasks.running() {
        let text = format!("worker {} is shutting down", worker.node.node_id);
        let failure = Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, text);
        let failure = failure.on(worker.node.node_id.clone());
        worker.tasks.end(&task, TaskState::Failed, Some(failure));
    }
}
