//! Runs the fragments of queries under retry-policy TASK: tasks leave their output in the spool,
//! and any of them can run again, on another worker, at any moment.
//!
//! ```text
//! SpooledScheduler ── a query ──► driver ── events ──► waterbear-scheduler (pure)
//!                                   │ ▲                      │
//!                         a call of a task   ◄── actions ────┘
//!                                   ▼ │
//!                     exchange-retry (numbers attempts) ──► a place ──► attempt (on a worker)
//! ```
//!
//! Layout: `query` what a query's tasks are made of, `driver` performs what the scheduler
//! decides, `calls` the stack of one call, `attempt` one attempt on one worker, `nodes` and
//! `probe` which workers there are, `rows` the result, `sweep` what dead coordinators left.

mod attempt;
mod calls;
mod driver;
mod nodes;
mod probe;
mod query;
mod rows;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use exchange_retry::{Limits, MemoryGrowth};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use waterbear_exchange::ReaderOptions;
use waterbear_ids::QueryId;
use waterbear_membership::Membership;
use waterbear_outbound::InternalClient;
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::task::TaskSession;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_scheduler::QueryKey;
use waterbear_spool::{Spool, random_query_key};

use super::Endings;
use super::health::Health;
use super::run::QueryRun;
use crate::planner::StagePlan;
use crate::query::QueryHandle;
use calls::Calls;
use driver::{Driver, Message};
use query::SpooledQuery;
use rows::RootRows;
use sweep::Running;

/// A task's first share of memory where no worker is known yet, bytes.
const UNKNOWN_SHARE: u64 = 64 << 20;

/// How tasks run again.
#[derive(Debug, Clone)]
pub struct RetryOptions {
    /// Attempts, pauses, memory.
    pub limits: Limits,
    /// Memory that a worker must have free for a task's first attempt, in bytes; by default what
    /// the smallest worker has, divided by its places.
    pub task_memory: Option<u64>,
    /// Bytes that the tasks of one query may leave in the spool (`query.max-spool-size`).
    pub max_spool_bytes: u64,
    /// How long attempts wait when there is no worker at all.
    pub no_nodes_after: Duration,
}

/// What the scheduler needs of its coordinator.
#[derive(Debug, Clone)]
pub struct SpooledOptions {
    /// Where tasks leave their output.
    pub spool: Spool,
    /// How tasks run again.
    pub retry: RetryOptions,
    /// Requests that create, watch and abort tasks.
    pub control: InternalClient,
    /// How results are read.
    pub reader: ReaderOptions,
    /// The runtime on which requests run.
    pub io: Handle,
    /// The runtime for computing.
    pub cpu: Handle,
    /// Which workers are silent.
    pub health: Health,
    /// What is still to be done when a query has ended.
    pub endings: Endings,
}

/// Runs queries under retry-policy TASK. Clones are the same scheduler.
#[derive(Debug, Clone)]
pub struct SpooledScheduler {
    driver: Driver,
    calls: Calls,
    membership: Membership,
    running: Running,
    queries: Arc<AtomicU64>,
}

impl SpooledScheduler {
    /// Starts it, over the workers of this cluster.
    pub fn start(options: SpooledOptions, membership: Membership) -> Self {
        let SpooledOptions { spool, retry, control, reader, io, cpu, health, endings } = options;
        let running = Running::default();
        sweep::start(&io, spool.clone(), membership.clone(), running.clone());
        let no_nodes_after = retry.no_nodes_after;
        let runtimes = (io.clone(), cpu);
        let calls = Calls::new(spool, retry, control, reader, runtimes, health, endings);
        let driver = driver::start(membership.clone(), calls.clone(), no_nodes_after, &io);
        Self { driver, calls, membership, running, queries: Arc::default() }
    }

    /// The limits of a query that begins now. A first attempt finds room on every worker; at the
    /// most it gets a whole one, the largest.
    fn limits(&self) -> Limits {
        let RetryOptions { limits, task_memory, .. } = &*self.calls.retry;
        let view = self.membership.view();
        let share = |worker: &NodeInfo| worker.memory_bytes / u64::from(worker.task_slots.max(1));
        let smallest = view.active_workers().map(share).min().unwrap_or(UNKNOWN_SHARE);
        let largest = view.active_workers().map(|worker| worker.memory_bytes).max();
        let whole_node = largest.unwrap_or(u64::MAX);
        let initial = task_memory.unwrap_or(smallest).min(whole_node);
        let memory = MemoryGrowth { initial, whole_node, ..limits.memory.clone() };
        Limits { memory, ..limits.clone() }
    }

    /// Starts a query's tasks; its rows come once the root is committed.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn run(
        &self,
        handle: Arc<QueryHandle>,
        plan: StagePlan,
        session: TaskSession,
    ) -> Result<QueryRun, Failure> {
        let seal = random_query_key().map_err(|_| {
            let text = "the system gives no random bytes for the query's key";
            Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text)
        })?;
        let key = QueryKey(self.queries.fetch_add(1, Ordering::Relaxed));
        let schema = plan.root().tasks[0].schema();
        let query = SpooledQuery::new(handle, key, seal, plan, session, &self.limits());
        let query = Arc::new(query);
        query.handle.set_planned(query.planned());
        let (sender, news) = mpsc::unbounded_channel();
        let guard = EndOnDrop {
            query: key,
            id: query.handle.id().clone(),
            driver: self.driver.clone(),
            calls: self.calls.clone(),
            running: self.running.clone(),
            ended: false,
        };
        self.running.add(query.handle.id().clone());
        self.driver.tell(Message::Add { query: Arc::clone(&query), news: sender });
        // The next one is the last.
        let mut left: Vec<_> = query.root_tasks().collect();
        left.reverse();
        let (driver, calls) = (self.driver.clone(), self.calls.clone());
        let rows = RootRows {
            query,
            news,
            driver,
            calls,
            left,
            reading: None,
            complete: false,
            lost: 0,
            guard,
        };
        Ok(QueryRun { schema, batches: rows.stream() })
    }
}

/// Ends a query: its tasks, and what they left.
struct EndOnDrop {
    query: QueryKey,
    id: QueryId,
    driver: Driver,
    calls: Calls,
    running: Running,
    ended: bool,
}

impl EndOnDrop {
    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.driver.tell(Message::Over(self.query));
        let (calls, id, running) = (self.calls.clone(), self.id.clone(), self.running.clone());
        let deletion = async move {
            running.remove(&id);
            sweep::delete(&calls.spool, &id).await;
            // An attempt that was being aborted may have written once more.
            calls.endings.pause(calls.health.lease() + Duration::from_millis(1500)).await;
            sweep::delete(&calls.spool, &id).await;
        };
        self.calls.endings.spawn_deletion(deletion, &self.calls.io);
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.end();
    }
}
