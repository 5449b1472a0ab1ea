//! One query as the coordinator sees it: text, session, state, statistics, cancellation.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use waterbear_ids::{NodeId, QueryId};
use waterbear_protocol::Failure;
use waterbear_protocol::client::StatementStats;
use waterbear_protocol::task::TaskStatus;

use super::ClientContext;

mod registry;
mod stats;
mod waste;

pub use registry::QueryRegistry;
pub use waste::Waste;

/// Where a query stands. States only move forward; the last two are final.
///
/// ```text
/// Queued → WaitingForResources → Dispatching → Planning → Starting → Running → Finishing → Finished
///    └────────────────────────── any of them ──────────────────────────────────────────→ Failed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueryState {
    /// Accepted; the client has not asked for it to start, or it waits for its turn.
    Queued,
    /// Waits for nodes.
    WaitingForResources,
    /// About to be planned.
    Dispatching,
    /// Is parsed, analysed and planned.
    Planning,
    /// Its tasks are being created.
    Starting,
    /// Its tasks run.
    Running,
    /// All rows are made; the client has not read them all.
    Finishing,
    /// The client has all rows.
    Finished,
    /// Failed, was cancelled or was abandoned.
    Failed,
}

impl QueryState {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            QueryState::Queued => "QUEUED",
            QueryState::WaitingForResources => "WAITING_FOR_RESOURCES",
            QueryState::Dispatching => "DISPATCHING",
            QueryState::Planning => "PLANNING",
            QueryState::Starting => "STARTING",
            QueryState::Running => "RUNNING",
            QueryState::Finishing => "FINISHING",
            QueryState::Finished => "FINISHED",
            QueryState::Failed => "FAILED",
        }
    }

    /// True when the state cannot change any more.
    pub const fn is_done(self) -> bool {
        matches!(self, QueryState::Finished | QueryState::Failed)
    }
}

/// A task of a query: where it runs and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSnapshot {
    /// The node that runs it.
    pub node: NodeId,
    /// The stage's number; zero gives the result.
    pub stage: u32,
    /// Its last known status.
    pub status: TaskStatus,
}

/// Moments in a query's life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub submitted: Instant,
    pub started: Option<Instant>,
}

/// What of a query changes while it lives.
#[derive(Debug)]
struct Progress {
    state: QueryState,
    failure: Option<Failure>,
    tasks: Vec<TaskSnapshot>,
    /// Tasks of each stage, where they are created one after the other and may run again.
    planned: BTreeMap<u32, u64>,
    retry_policy: &'static str,
    started: Option<Instant>,
    finishing: Option<Instant>,
    ended: Option<Instant>,
    analysis: Duration,
    planning: Duration,
    last_heartbeat: SystemTime,
    update_type: Option<String>,
    update_count: Option<u64>,
    /// The largest value that each counter has had: tasks that vanish take nothing away.
    reported: StatementStats,
}

/// One query. Shared by the client API, the scheduler and the system tables.
#[derive(Debug)]
pub struct QueryHandle {
    id: QueryId,
    sql: String,
    context: ClientContext,
    created: SystemTime,
    submitted: Instant,
    cancellation: CancellationToken,
    progress: Mutex<Progress>,
    states: watch::Sender<QueryState>,
}

impl QueryHandle {
    /// A new query, queued.
    pub fn new(id: QueryId, sql: String, context: ClientContext) -> Self {
        let created = SystemTime::now();
        let progress = Progress {
            state: QueryState::Queued,
            failure: None,
            tasks: Vec::new(),
            planned: BTreeMap::new(),
            retry_policy: "NONE",
            started: None,
            finishing: None,
            ended: None,
            analysis: Duration::ZERO,
            planning: Duration::ZERO,
            last_heartbeat: created,
            update_type: None,
            update_count: None,
            reported: StatementStats::default(),
        };
        Self {
            id,
            sql,
            context,
            created,
            submitted: Instant::now(),
            cancellation: CancellationToken::new(),
            progress: Mutex::new(progress),
            states: watch::Sender::new(QueryState::Queued),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The query's id.
    pub fn id(&self) -> &QueryId {
        &self.id
    }

    /// The text as the client sent it.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Who asks, and in which session.
    pub fn context(&self) -> &ClientContext {
        &self.context
    }

    /// When it was submitted.
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// Cancelled as soon as the query ends in whatever way: nothing may run for it after that.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// Where it stands.
    pub fn state(&self) -> QueryState {
        self.progress().state
    }

    /// Wakes on each change of state.
    pub fn states(&self) -> watch::Receiver<QueryState> {
        self.states.subscribe()
    }

    /// Moves to `state`, unless the query is there or further already, or has ended. Failing has
    /// its own way: [`QueryHandle::fail`].
    pub fn set_state(&self, state: QueryState) {
        let mut progress = self.progress();
        if progress.state.is_done() || state <= progress.state || state == QueryState::Failed {
            return;
        }
        progress.enter(state);
        drop(progress);
        self.announce(state);
    }

    /// Ends the query with `failure`, unless it has ended: the first failure stays. True when
    /// this was the one.
    pub fn fail(&self, failure: Failure) -> bool {
        let mut progress = self.progress();
        if progress.state.is_done() {
            return false;
        }
        progress.failure = Some(failure);
        progress.enter(QueryState::Failed);
        drop(progress);
        self.announce(QueryState::Failed);
        true
    }

    fn announce(&self, state: QueryState) {
        if state.is_done() {
            self.cancellation.cancel();
        }
        // Concurrent callers may come here out of order: the watch must not go back.
        self.states.send_if_modified(|current| {
            let forward = *current < state && !current.is_done();
            if forward {
                *current = state;
            }
            forward
        });
    }

    /// Why it failed.
    pub fn failure(&self) -> Option<Failure> {
        self.progress().failure.clone()
    }

    /// Replaces what is known of its tasks.
    pub fn set_tasks(&self, tasks: Vec<TaskSnapshot>) {
        self.progress().tasks = tasks;
    }

    /// Says how many tasks each stage will have, by number: not all of them are there from the
    /// start, and there may be several attempts at one.
    pub fn set_planned(&self, tasks: BTreeMap<u32, u64>) {
        self.progress().planned = tasks;
    }

    /// Records what runs again if it fails.
    pub fn set_retry_policy(&self, policy: &'static str) {
        self.progress().retry_policy = policy;
    }

    /// What runs again if it fails, as `retry-policy` calls it.
    pub fn retry_policy(&self) -> &'static str {
        self.progress().retry_policy
    }

    /// What is known of its tasks.
    pub fn tasks(&self) -> Vec<TaskSnapshot> {
        self.progress().tasks.clone()
    }

    /// Records the time that parsing and analysing took.
    pub fn set_analysis_time(&self, time: Duration) {
        self.progress().analysis = time;
    }

    /// Records the time that planning took, analysis included.
    pub fn set_planning_time(&self, time: Duration) {
        self.progress().planning = time;
    }

    /// Records what kind of statement it is, unless it is a query.
    pub fn set_update_type(&self, update_type: Option<String>) {
        self.progress().update_type = update_type;
    }

    /// What kind of statement it is, unless it is a query.
    pub fn update_type(&self) -> Option<String> {
        self.progress().update_type.clone()
    }

    /// Records how many rows the statement has written.
    pub fn set_update_count(&self, count: Option<u64>) {
        self.progress().update_count = count;
    }

    /// How many rows the statement has written, once that is known.
    pub fn update_count(&self) -> Option<u64> {
        self.progress().update_count
    }

    /// Notes that the client asked for it just now.
    pub fn heartbeat(&self) {
        self.progress().last_heartbeat = SystemTime::now();
    }

    /// When the client last asked for it.
    pub fn last_heartbeat(&self) -> SystemTime {
        self.progress().last_heartbeat
    }

    /// When it started to run, if it did.
    pub fn started(&self) -> Option<SystemTime> {
        let started = self.progress().started?;
        Some(self.created + started.duration_since(self.submitted))
    }

    /// When it ended, if it did.
    pub fn ended(&self) -> Option<SystemTime> {
        let ended = self.progress().ended?;
        Some(self.created + ended.duration_since(self.submitted))
    }

    /// When it was submitted, and when it started to run.
    pub(crate) fn times(&self) -> Times {
        Times { submitted: self.submitted, started: self.progress().started }
    }

    /// The CPU time that its tasks have used, and the bytes that they hold now.
    pub(crate) fn resources(&self) -> (Duration, u64) {
        let progress = self.progress();
        let sum = |value: fn(&TaskSnapshot) -> u64| progress.tasks.iter().map(value).sum::<u64>();
        let cpu = sum(|task| task.status.stats.cpu_nanos);
        (Duration::from_nanos(cpu), sum(|task| task.status.stats.memory_bytes))
    }

    /// How long ago it ended, if it did.
    pub fn ended_since(&self) -> Option<Duration> {
        self.progress().ended.map(|ended| ended.elapsed())
    }

    /// What it has cost so far; counters never shrink from one call to the next.
    pub fn stats(&self) -> StatementStats {
        let now = Instant::now();
        let mut progress = self.progress();
        let mut stats = stats::collect(&progress, self.submitted, now);
        stats::never_less_than(&mut stats, &progress.reported);
        progress.reported = stats.clone();
        stats
    }
}

impl Progress {
    fn enter(&mut self, state: QueryState) {
        let now = Instant::now();
        self.state = state;
        if state >= QueryState::Planning && state != QueryState::Failed {
            self.started.get_or_insert(now);
        }
        if state == QueryState::Finishing {
            self.finishing = Some(now);
        }
        if state.is_done() {
            self.ended = Some(now);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use waterbear_protocol::ErrorCode;

    fn query() -> QueryHandle {
        QueryHandle::new("q".parse().unwrap(), "SELECT 1".into(), ClientContext::default())
    }

    #[test]
    fn states_move_forward_only() {
        let query = query();
        query.set_state(QueryState::Running);
        query.set_state(QueryState::Planning);
        assert_eq!(query.state(), QueryState::Running);
        assert!(!query.cancellation().is_cancelled());
        query.set_state(QueryState::Finished);
        assert!(query.cancellation().is_cancelled());
        assert!(!query.fail(Failure::new(ErrorCode::USER_CANCELED, "late")));
        assert_eq!(query.state(), QueryState::Finished);
        assert_eq!(query.failure(), None);
    }

    #[test]
    fn the_first_failure_stays() {
        let query = query();
        assert!(query.fail(Failure::new(ErrorCode::DIVISION_BY_ZERO, "Division by zero")));
        assert!(!query.fail(Failure::new(ErrorCode::USER_CANCELED, "Query was canceled")));
        assert_eq!(query.failure().unwrap().code, ErrorCode::DIVISION_BY_ZERO);
        query.set_state(QueryState::Finished);
        assert_eq!(query.state(), QueryState::Failed);
        assert_eq!(*query.states().borrow(), QueryState::Failed);
        assert!(query.cancellation().is_cancelled());
    }
}
