//! How many queries run, how long, and with how much memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use waterbear_dialect::{SessionLimits, shown_duration, shown_size};
use waterbear_protocol::{ErrorCode, Failure};

use super::QueryHandle;
use super::handle::QueryState;

/// How often a running query is held against its limits.
const PAUSE: Duration = Duration::from_millis(100);

/// The limits of the configuration; those for one query hold unless its session sets others.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    /// Queries that run at once (`query.max-concurrent-queries`).
    pub concurrent: usize,
    /// Queries that wait for their turn (`query.max-queued-queries`).
    pub queued: usize,
    /// Characters of a statement (`query.max-length`).
    pub length: usize,
    /// From a query's submission to its end (`query.max-run-time`).
    pub run_time: Duration,
    /// From its start to its end (`query.max-execution-time`).
    pub execution_time: Duration,
    /// From its start to its first task (`query.max-planning-time`).
    pub planning_time: Duration,
    /// CPU time of its tasks (`query.max-cpu-time`).
    pub cpu_time: Duration,
    /// Bytes that it reserves in all memory pools together (`query.max-memory`).
    pub memory: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            concurrent: 1_000,
            queued: 5_000,
            length: 1_000_000,
            run_time: DAY * 100,
            execution_time: DAY * 100,
            planning_time: Duration::from_secs(600),
            cpu_time: DAY * 1_000_000_000,
            memory: 20 << 30,
        }
    }
}

impl QueryLimits {
    /// The limits of a query whose session sets these.
    pub fn within(self, session: SessionLimits) -> Self {
        Self {
            run_time: session.run_time.unwrap_or(self.run_time),
            execution_time: session.execution_time.unwrap_or(self.execution_time),
            planning_time: session.planning_time.unwrap_or(self.planning_time),
            cpu_time: session.cpu_time.unwrap_or(self.cpu_time),
            memory: session.memory.unwrap_or(self.memory),
            ..self
        }
    }

    /// Resolves as soon as the query has exceeded a limit.
    pub async fn exceeded(&self, query: &QueryHandle) -> Failure {
        loop {
            if let Some(failure) = self.check(query) {
                return failure;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn check(&self, query: &QueryHandle) -> Option<Failure> {
        let times = query.times();
        let now = Instant::now();
        let over = |from: Option<Instant>, limit: Duration| {
            from.is_some_and(|from| now.saturating_duration_since(from) > limit)
        };
        let planning = query.state() < QueryState::Starting;
        let time = |kind: &str, limit: Duration| {
            let limit = shown_duration(limit);
            let message = format!("Query exceeded the maximum {kind} time limit of {limit}");
            Some(Failure::new(ErrorCode::EXCEEDED_TIME_LIMIT, message))
        };
        if over(Some(times.submitted), self.run_time) {
            return time("run", self.run_time);
        }
        if over(times.started, self.execution_time) {
            return time("execution", self.execution_time);
        }
        if planning && over(times.started, self.planning_time) {
            return time("planning", self.planning_time);
        }
        let (cpu, memory) = query.resources();
        if cpu > self.cpu_time {
            let message = format!("Exceeded CPU limit of {}", shown_duration(self.cpu_time));
            return Some(Failure::new(ErrorCode::EXCEEDED_CPU_LIMIT, message));
        }
        if memory > self.memory {
            let limit = shown_size(self.memory);
            let message = format!("Query exceeded distributed user memory limit of {limit}");
            return Some(Failure::new(ErrorCode::EXCEEDED_GLOBAL_MEMORY_LIMIT, message));
        }
        None
    }
}

/// Lets so many queries run at once, in the order in which they come.
#[derive(Debug)]
pub struct Admission {
    places: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
}

/// Counts one that waits while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Admission {
    /// With the limits of the configuration.
    pub fn new(limits: &QueryLimits) -> Self {
        Self {
            places: Semaphore::new(limits.concurrent.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            most_waiting: limits.queued,
        }
    }

    /// Waits for a place among those that run; dropping it makes room for the next.
    ///
    /// # Errors
    /// QUERY_QUEUE_FULL when too many wait already.
    pub async fn enter(&self) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        let full = || {
            let message = "Too many queued queries for \"global\"";
            Failure::new(ErrorCode::QUERY_QUEUE_FULL, message)
        };
        if before >= self.most_waiting {
            return Err(full());
        }
        // The semaphore is never closed.
        self.places.acquire().await.map_err(|_| full())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::query::ClientContext;

    #[tokio::test]
    async fn so_many_run_and_so_many_wait() {
        let limits = QueryLimits { concurrent: 1, queued: 1, ..QueryLimits::default() };
        let admission = Admission::new(&limits);
        let first = admission.enter().await.unwrap();
        let second = admission.enter();
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        let refused = admission.enter().await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::QUERY_QUEUE_FULL);
        drop(first);
        drop(second.await.unwrap());
        // One that gives up waiting leaves room for another.
        let third = admission.enter().await.unwrap();
        {
            let fourth = admission.enter();
            tokio::pin!(fourth);
            assert!(futures::poll!(&mut fourth).is_pending());
        }
        assert_eq!(admission.waiting.load(Ordering::SeqCst), 0);
        drop(third);
    }

    #[tokio::test]
    async fn a_query_fails_at_its_first_limit() {
        let query = QueryHandle::new("q".parse().unwrap(), String::new(), ClientContext::default());
        let limits = QueryLimits::default();
        assert_eq!(limits.check(&query), None);
        let millis = Duration::from_millis(1);
        tokio::time::sleep(millis * 5).await;
        let planning = QueryLimits { planning_time: millis, ..limits };
        assert_eq!(planning.check(&query), None, "it has not started");
        query.set_state(QueryState::Planning);
        tokio::time::sleep(millis * 5).await;
        let text = "Query exceeded the maximum planning time limit of 1.00ms";
        assert_eq!(planning.check(&query).unwrap().message, text);
        query.set_state(QueryState::Running);
        assert_eq!(planning.check(&query), None);
        let session = SessionLimits { run_time: Some(millis), ..SessionLimits::default() };
        let failure = limits.within(session).exceeded(&query).await;
        assert_eq!(failure.code, ErrorCode::EXCEEDED_TIME_LIMIT);
    }
}
