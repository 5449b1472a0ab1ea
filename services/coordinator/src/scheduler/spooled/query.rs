//! One query under retry-policy TASK: what its tasks are made of, and what is known of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use exchange_retry::{Limits, Number, TaskAttempts};
use tokio::time::Instant;
use waterbear_engine::{encode_plan, failure_of};
use waterbear_ids::{AttemptId, TaskId};
use waterbear_protocol::Failure;
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::spool::{CommittedRecord, QueryKey};
use waterbear_protocol::task::{
    Producer, SourcePartition, TaskInput, TaskOutput, TaskRequest, TaskSession, TaskSpool,
};
use waterbear_scheduler::{Input, NodeKey, Reads, Stage, TaskKey};

use crate::planner::{Determinacy, Fragment, StagePlan, Wiring};
use crate::query::QueryHandle;
use crate::scheduler::watch::Watched;

/// How often at most the tasks of a query are shown anew.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// A query whose tasks outlive their workers.
#[derive(Debug)]
pub(super) struct SpooledQuery {
    pub(super) handle: Arc<QueryHandle>,
    /// What the scheduler calls it.
    pub(super) key: waterbear_scheduler::QueryKey,
    /// Seals what it spools.
    pub(super) seal: QueryKey,
    plan: StagePlan,
    session: TaskSession,
    /// By fragment and task.
    tasks: Vec<Vec<Task>>,
    reported: Mutex<Option<Instant>>,
    spooled_bytes: AtomicU64,
    /// Outputs that were looked at and are not whole; held by who looks.
    pub(super) known_lost: tokio::sync::Mutex<BTreeSet<AttemptId>>,
}

/// One task, over all its attempts.
#[derive(Debug)]
struct Task {
    attempts: TaskAttempts<NodeKey, Winner>,
    /// Encoded once, for all attempts.
    plan: OnceLock<Result<Arc<[u8]>, Failure>>,
    inner: Mutex<TaskState>,
}

#[derive(Debug, Default)]
struct TaskState {
    winner: Option<Winner>,
    /// Where each attempt writes.
    locations: BTreeMap<Number, String>,
    /// Those that were created.
    watched: Vec<Arc<Watched>>,
    /// Base directories that served this task badly.
    bad_locations: BTreeSet<String>,
}

/// An output that is to be read, and who made it.
#[derive(Debug, Clone)]
pub(super) struct Winner {
    pub(super) record: Arc<CommittedRecord>,
    pub(super) node: NodeInfo,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SpooledQuery {
    pub(super) fn new(
        handle: Arc<QueryHandle>,
        key: waterbear_scheduler::QueryKey,
        seal: QueryKey,
        plan: StagePlan,
        session: TaskSession,
        limits: &Limits,
    ) -> Self {
        let tasks = plan.fragments.iter().enumerate().map(|(stage, fragment)| {
            let count = fragment.tasks.len();
            (0..count).map(|task| Task::new(limits, seed(key.0, stage, task))).collect()
        });
        let tasks = tasks.collect();
        let (reported, spooled_bytes) = (Mutex::default(), AtomicU64::new(0));
        let known_lost = tokio::sync::Mutex::default();
        Self { handle, key, seal, plan, session, tasks, reported, spooled_bytes, known_lost }
    }

    /// The graph, as the scheduler sees it.
    pub(super) fn stages(&self) -> Vec<Stage> {
        self.plan.fragments.iter().map(stage_of).collect()
    }

    /// How many tasks each stage has.
    pub(super) fn planned(&self) -> BTreeMap<u32, u64> {
        let tasks = |fragment: &Fragment| (fragment.stage, fragment.tasks.len() as u64);
        self.plan.fragments.iter().map(tasks).collect()
    }

    /// The fragment that makes the result.
    pub(super) fn root(&self) -> &Fragment {
        self.plan.root()
    }

    /// The scheduler's name of the root's tasks.
    pub(super) fn root_tasks(&self) -> impl Iterator<Item = TaskKey> {
        let stage = self.plan.fragments.len() as u32 - 1;
        let tasks = self.plan.root().tasks.len() as u32;
        let query = self.key;
        (0..tasks).map(move |task| TaskKey { query, stage, task })
    }

    pub(super) fn task_id(&self, task: TaskKey) -> TaskId {
        let stage = self.plan.fragments[task.stage as usize].stage;
        self.handle.id().stage(stage).task(task.task)
    }

    /// The scheduler's name of an attempt's task; `None` when it is none of this query's.
    pub(super) fn task_key(&self, attempt: &AttemptId) -> Option<TaskKey> {
        let number = attempt.task.stage.number;
        let stage = self.plan.fragments.iter().position(|fragment| fragment.stage == number)?;
        let known = (attempt.task.number as usize) < self.tasks[stage].len();
        if !known || attempt.query() != self.handle.id() {
            return None;
        }
        let (query, stage, task) = (self.key, stage as u32, attempt.task.number);
        Some(TaskKey { query, stage, task })
    }

    fn task(&self, key: TaskKey) -> &Task {
        &self.tasks[key.stage as usize][key.task as usize]
    }

    pub(super) fn attempts(&self, task: TaskKey) -> &TaskAttempts<NodeKey, Winner> {
        &self.task(task).attempts
    }

    pub(super) fn winner(&self, task: TaskKey) -> Option<Winner> {
        lock(&self.task(task).inner).winner.clone()
    }

    pub(super) fn set_winner(&self, task: TaskKey, winner: Winner) {
        lock(&self.task(task).inner).winner = Some(winner);
    }

    /// The task's output is lost: nobody is to begin with it any more.
    pub(super) fn no_winner(&self, task: TaskKey) {
        lock(&self.task(task).inner).winner = None;
    }

    /// The attempt has failed, or what it wrote is lost: the next one is to write elsewhere.
    pub(super) fn avoid_location_of(&self, task: TaskKey, attempt: Number) {
        let mut inner = lock(&self.task(task).inner);
        if let Some(location) = inner.locations.get(&attempt).cloned() {
            inner.bad_locations.insert(location);
        }
    }

    pub(super) fn bad_locations(&self, task: TaskKey) -> Vec<String> {
        lock(&self.task(task).inner).bad_locations.iter().cloned().collect()
    }

    /// Bytes that all attempts so far have left in the spool.
    pub(super) fn spooled_bytes(&self) -> u64 {
        self.spooled_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add_spooled_bytes(&self, bytes: u64) {
        self.spooled_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An attempt has committed of which only the spool has told: what was not heard of its bytes
    /// counts too.
    pub(super) fn count_adopted(&self, task: TaskKey, record: &CommittedRecord) {
        let inner = lock(&self.task(task).inner);
        let heard = inner.watched.iter().find(|watched| *watched.attempt() == record.attempt);
        let heard = heard.map_or(0, |watched| watched.spooled_bytes());
        self.add_spooled_bytes(record.data_bytes.saturating_sub(heard));
    }

    /// Where an attempt writes, if it was ever to run.
    pub(super) fn location(&self, task: TaskKey, attempt: Number) -> Option<String> {
        lock(&self.task(task).inner).locations.get(&attempt).cloned()
    }

    /// The node on which an attempt ran.
    pub(super) fn node_of(&self, task: TaskKey, attempt: Number) -> Option<NodeInfo> {
        let inner = lock(&self.task(task).inner);
        let watched = inner.watched.iter().find(|watched| watched.attempt().number == attempt);
        watched.map(|watched| watched.node().clone())
    }

    /// An attempt is about to be created.
    pub(super) fn begin(&self, task: TaskKey, watched: Arc<Watched>, location: String) {
        let mut inner = lock(&self.task(task).inner);
        inner.locations.insert(watched.attempt().number, location);
        inner.watched.push(watched);
    }

    /// Shows what is known of all attempts, unless that was done just now.
    pub(super) fn report(&self, at_once: bool) {
        let mut reported = lock(&self.reported);
        let just_now = reported.is_some_and(|at: Instant| at.elapsed() < REPORT_EVERY);
        if just_now && !at_once {
            return;
        }
        *reported = Some(Instant::now());
        let mut snapshots = Vec::new();
        for task in self.tasks.iter().flatten() {
            snapshots.extend(lock(&task.inner).watched.iter().map(|watched| watched.snapshot()));
        }
        self.handle.set_tasks(snapshots);
    }

    /// The request that creates an attempt at a task; its inputs are the winners of now. `None`
    /// while one of them is missing.
    ///
    /// # Errors
    /// When the plan cannot be encoded.
    pub(super) fn request(
        &self,
        key: TaskKey,
        location: String,
    ) -> Result<Option<TaskRequest>, Failure> {
        let fragment = &self.plan.fragments[key.stage as usize];
        let task = self.task(key);
        let plan = task.plan.get_or_init(|| {
            let plan = &fragment.tasks[key.task as usize];
            encode_plan(plan).map(Arc::from).map_err(|error| failure_of(&error))
        });
        let plan = plan.clone()?.to_vec();
        let mut reads = Reading::default();
        let mut inputs = Vec::with_capacity(fragment.inputs.len());
        for input in &fragment.inputs {
            let partitions = (0..input.partitions).map(|partition| {
                let sources = input.sources(key.task, partition, 0).into_iter();
                sources.map(|source| reads.add(input.producer as u32, source)).collect()
            });
            inputs.push(TaskInput { partitions: partitions.collect() });
        }
        let (mut producers, mut outputs) = (Vec::new(), Vec::new());
        for ((stage, task), partitions) in reads.producers {
            let Some(winner) = self.winner(TaskKey { stage, task, ..key }) else { return Ok(None) };
            outputs.push(winner.record.only(|partition| partitions.contains(&partition)));
            producers.push(Producer { attempt: winner.record.attempt.clone(), node: winner.node });
        }
        let output = TaskOutput { partitions: fragment.partitions, readers: 1 };
        let spool = Some(TaskSpool::new(self.seal.clone(), location, outputs));
        let session = self.session.clone();
        Ok(Some(TaskRequest { plan, producers, inputs, output, session, spool }))
    }
}

/// Who is read by one task, and what of them.
#[derive(Debug, Default)]
struct Reading {
    /// Stage and task of each producer, and its partitions.
    producers: Vec<((u32, u32), BTreeSet<u32>)>,
    numbers: BTreeMap<(u32, u32), u32>,
}

impl Reading {
    /// The source, by the number of its producer in the request.
    fn add(&mut self, stage: u32, source: SourcePartition) -> SourcePartition {
        let producer = (stage, source.producer);
        let next = self.producers.len() as u32;
        let number = *self.numbers.entry(producer).or_insert(next);
        if number == next {
            self.producers.push((producer, BTreeSet::new()));
        }
        self.producers[number as usize].1.insert(source.partition);
        SourcePartition { producer: number, reader: 0, ..source }
    }
}

impl Task {
    fn new(limits: &Limits, seed: u64) -> Self {
        let attempts = TaskAttempts::new(limits.clone(), seed);
        Self { attempts, plan: OnceLock::new(), inner: Mutex::default() }
    }
}

/// The jitter of each task's pauses is its own.
fn seed(query: u64, stage: usize, task: usize) -> u64 {
    (query << 32) ^ ((stage as u64) << 20) ^ task as u64
}

fn stage_of(fragment: &Fragment) -> Stage {
    let inputs = fragment.inputs.iter().map(|input| {
        let reads = match input.wiring {
            Wiring::Coalesce { consumer_tasks } => Reads::Group { consumer_tasks },
            Wiring::Shuffle | Wiring::Broadcast => Reads::All,
        };
        Input { stage: input.producer, reads }
    });
    let exact = matches!(fragment.determinacy, Determinacy::Exact);
    Stage { tasks: fragment.tasks.len() as u32, inputs: inputs.collect(), exact }
}
