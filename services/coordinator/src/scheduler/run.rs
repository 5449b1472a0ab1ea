//! Runs the fragments of one query as streaming tasks (retry-policy NONE).
//!
//! All tasks of a query are created at once and stream to each other; the root's rows come to the
//! coordinator. Each task is watched by a long poll of its status. The first failure ends the
//! query and aborts every other task; so does dropping the result.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::future::join_all;
use futures::stream::{BoxStream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use waterbear_engine::{ByteCounter, Engine, InputStreams, PreparedTask, encode_plan, failure_of};
use waterbear_exchange::{ExchangeMetrics, ExchangeReader, HeldBytes, ReaderOptions};
use waterbear_ids::{AttemptId, QueryId};
use waterbear_outbound::InternalClient;
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::task::{
    Producer, SourcePartition, TaskInput, TaskOutput, TaskRequest, TaskSession,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::Endings;
use super::health::Health;
use super::placement::worker_of_task;
use super::spooled::SpooledScheduler;
use super::watch::{self, End, Watched};
use crate::planner::{Fragment, StagePlan};
use crate::query::QueryHandle;

/// How long a transport failure waits for the failure that caused it: a consumer often notices
/// a broken producer before the coordinator has heard why it broke.
const CAUSE_WAIT: Duration = Duration::from_millis(500);

/// How long tasks have for their last word once the rows are complete.
const FINISH_WAIT: Duration = Duration::from_millis(200);
/// Bytes of pages that may wait in each partition of the root's input.
const ROOT_BUFFER: usize = 8 << 20;
/// How long a producer may hold a request that it has no page for.
const PAGE_WAIT: Duration = Duration::from_secs(1);

/// What a run needs of its coordinator.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Runs the root when it reads no table.
    pub engine: Engine,
    /// Requests that create, watch and abort tasks.
    pub control: InternalClient,
    /// Requests that read the root's input.
    pub exchange: InternalClient,
    /// The runtime on which requests run.
    pub io: Handle,
    /// Counts what the coordinator reads of exchanges.
    pub exchange_metrics: ExchangeMetrics,
    /// Which workers are silent.
    pub health: Health,
    /// What is still to be done when a query has ended.
    pub endings: Endings,
    /// Runs queries under retry-policy TASK; none without an exchange manager.
    pub spooled: Option<SpooledScheduler>,
}

impl RunOptions {
    /// Reads producers' pages; requests run on the I/O runtime whoever polls the rows.
    fn read(
        &self,
        sources: Vec<(Producer, SourcePartition)>,
        schema: SchemaRef,
        held: HeldBytes,
    ) -> RowStream {
        let options = reader_options(&self.io, &self.exchange_metrics);
        let options = ReaderOptions { held, ..options };
        ExchangeReader::open(self.exchange.clone(), sources, schema, &options)
            .map(|batch| batch.map_err(Failure::from))
            .boxed()
    }
}

/// How the root's input is read.
pub fn reader_options(io: &Handle, metrics: &ExchangeMetrics) -> ReaderOptions {
    ReaderOptions {
        runtime: io.clone(),
        buffer_bytes: ROOT_BUFFER,
        held: HeldBytes::default(),
        max_wait: PAGE_WAIT,
        input_bytes: Arc::default(),
        metrics: metrics.clone(),
    }
}

/// The rows of a running query.
pub struct QueryRun {
    /// The schema of the rows.
    pub schema: SchemaRef,
    /// The rows; dropping the stream aborts what still runs.
    pub batches: BoxStream<'static, Result<RecordBatch, Failure>>,
}

/// Starts a query's tasks on `workers` (sorted by node id) and returns its rows as they come.
///
/// # Errors
/// When a plan cannot be encoded or a task cannot be created; nothing is left running then.
pub async fn start(
    query: Arc<QueryHandle>,
    plan: StagePlan,
    session: TaskSession,
    mut workers: Vec<NodeInfo>,
    options: RunOptions,
) -> Result<QueryRun, Failure> {
    let local_root = !plan.root().scans;
    let remote = if local_root { plan.fragments.len() - 1 } else { plan.fragments.len() };
    if remote > 0 && workers.is_empty() {
        return Err(Failure::new(ErrorCode::NO_NODES_AVAILABLE, "No nodes available to run query"));
    }
    let mut number = 0;
    let (placed, run, guard) = loop {
        let placed = place(query.id(), number, &plan.fragments[..remote], &workers);
        let requests = placed
            .iter()
            .enumerate()
            .flat_map(|(index, _)| task_requests(&plan, index, &placed, &session))
            .collect::<Result<Vec<_>, Failure>>()?;
        let run = Arc::new(Run {
            query: Arc::clone(&query),
            options: options.clone(),
            stop: CancellationToken::new(),
            tasks: placed.iter().flatten().cloned().map(Watched::new).collect(),
            news: Notify::new(),
        });
        let guard = AbortOnDrop(Arc::clone(&run));
        match run.create(requests).await {
            Ok(()) => break (placed, run, guard),
            // Nothing was read of any task yet: where a worker has gone meanwhile, they begin anew,
            // under new numbers, on the others.
            Err(failure) if is_leaving(&failure) && workers.len() > 1 => {
                tracing::info!(query = %query.id(), %failure, "placed anew");
                workers.retain(|worker| failure.node.as_ref() != Some(&worker.node_id));
                number += 1;
            }
            Err(failure) => return Err(failure),
        }
    };
    let (failures, failed) = mpsc::channel(run.tasks.len().max(1));
    run.watch(failures);

    let (schema, rows) = if local_root {
        run.local_root(plan.root(), &placed, &session)?
    } else {
        run.remote_root(plan.root(), placed.last().map_or(&[], Vec::as_slice))
    };
    let batches = supervised(rows, failed, run, guard);
    Ok(QueryRun { schema, batches })
}

/// Whether a worker takes no tasks since it drains, is about to end, or is gone.
fn is_leaving(failure: &Failure) -> bool {
    let codes = [ErrorCode::SERVER_SHUTTING_DOWN, ErrorCode::REMOTE_HOST_GONE];
    failure.node.is_some() && codes.contains(&failure.code)
}

/// The tasks of each fragment, as attempts of this number on their workers.
fn place(
    query: &QueryId,
    number: u32,
    fragments: &[Fragment],
    workers: &[NodeInfo],
) -> Vec<Vec<Producer>> {
    fragments
        .iter()
        .map(|fragment| {
            let tasks = fragment.tasks.len() as u32;
            (0..tasks)
                .map(|task| {
                    let worker = worker_of_task(query, fragment.stage, task, tasks, workers.len());
                    Producer {
                        attempt: query.stage(fragment.stage).task(task).attempt(number),
                        node: workers[worker].clone(),
                    }
                })
                .collect()
        })
        .collect()
}

/// The requests that create the tasks of one fragment.
fn task_requests(
    plan: &StagePlan,
    index: usize,
    placed: &[Vec<Producer>],
    session: &TaskSession,
) -> Vec<Result<TaskRequest, Failure>> {
    let fragment = &plan.fragments[index];
    (0..fragment.tasks.len() as u32)
        .map(|task| {
            let bytes =
                encode_plan(&fragment.tasks[task as usize]).map_err(|error| failure_of(&error))?;
            let (producers, inputs) = inputs_of(fragment, task, placed);
            Ok(TaskRequest {
                plan: bytes,
                producers,
                inputs,
                output: TaskOutput { partitions: fragment.partitions, readers: fragment.readers },
                session: session.clone(),
                spool: None,
            })
        })
        .collect()
}

/// What task `task` of a fragment reads: its producers, and for each exchange source the
/// sources of each partition.
fn inputs_of(
    fragment: &Fragment,
    task: u32,
    placed: &[Vec<Producer>],
) -> (Vec<Producer>, Vec<TaskInput>) {
    let mut producers = Vec::new();
    let mut inputs = Vec::with_capacity(fragment.inputs.len());
    for input in &fragment.inputs {
        let first = producers.len() as u32;
        producers.extend(placed[input.producer].iter().cloned());
        let partitions =
            (0..input.partitions).map(|partition| input.sources(task, partition, first)).collect();
        inputs.push(TaskInput { partitions });
    }
    (producers, inputs)
}

/// One query's tasks while they run.
struct Run {
    query: Arc<QueryHandle>,
    options: RunOptions,
    /// Ends the watching when the query has ended.
    stop: CancellationToken,
    /// The tasks in the order of their creation.
    tasks: Vec<Watched>,
    /// Told at each new status.
    news: Notify,
}

impl Run {
    async fn create(&self, requests: Vec<TaskRequest>) -> Result<(), Failure> {
        let created = self.tasks.iter().zip(&requests).map(|(task, request)| async move {
            let contact = self.options.health.contact(task.node());
            task.create(&self.options.control, request, &contact).await
        });
        join_all(created).await.into_iter().collect::<Result<Vec<()>, End>>()?;
        self.report();
        Ok(())
    }

    fn watch(self: &Arc<Self>, failures: mpsc::Sender<Failure>) {
        for index in 0..self.tasks.len() {
            let run = Arc::clone(self);
            let failures = failures.clone();
            self.options.io.spawn(async move {
                let (task, options) = (&run.tasks[index], &run.options);
                let contact = options.health.contact(task.node());
                let done = watch::until_done(task, &options.control, &contact, || run.report());
                tokio::select! {
                    () = run.stop.cancelled() => {}
                    done = done => {
                        if let Err(end) = done {
                            // The receiver is gone once the query has ended.
                            let _ = failures.send(end.into()).await;
                        }
                    }
                }
            });
        }
    }

    /// Shows the tasks' last known statuses to the query.
    fn report(&self) {
        self.query.set_tasks(self.tasks.iter().map(Watched::snapshot).collect());
        self.news.notify_waiters();
    }

    /// Waits a moment for tasks that have given all their rows to say so themselves.
    async fn finished(&self) {
        let all_done = async {
            loop {
                let mut news = std::pin::pin!(self.news.notified());
                // From here on no news is missed.
                news.as_mut().enable();
                if self.tasks.iter().all(Watched::is_done) {
                    return;
                }
                news.await;
            }
        };
        // What has not ended by then is aborted, as after an early end.
        let _ = tokio::time::timeout(FINISH_WAIT, all_done).await;
    }

    /// Aborts every task that is not done, and keeps the final statistics.
    async fn abort(&self) {
        let running = self.tasks.iter().filter(|task| !task.is_done());
        // Who cannot be asked frees it by himself.
        let _ = join_all(running.map(|task| task.abort(&self.options.control))).await;
        self.report();
    }

    /// Runs the root here: its exchange sources read from the workers.
    fn local_root(
        &self,
        root: &Fragment,
        placed: &[Vec<Producer>],
        session: &TaskSession,
    ) -> Result<(SchemaRef, RowStream), Failure> {
        let (producers, inputs) = inputs_of(root, 0, placed);
        let inputs = RemoteInputs { producers, inputs, options: self.options.clone() };
        let attempt = self.root_attempt(root);
        let plan = Arc::clone(&root.tasks[0]);
        let engine = &self.options.engine;
        let task = engine.prepare_plan(&attempt, plan, session, Arc::new(inputs))?;
        Ok((task.schema(), run_on_cpu(engine, Arc::new(task))))
    }

    /// Reads the rows of a root that runs on a worker.
    fn remote_root(&self, root: &Fragment, tasks: &[Producer]) -> (SchemaRef, RowStream) {
        let schema = root.tasks[0].schema();
        let sources = tasks
            .iter()
            .flat_map(|task| (0..root.partitions).map(move |partition| (task.clone(), partition)))
            .map(|(task, partition)| (task, SourcePartition { producer: 0, partition, reader: 0 }))
            .collect();
        let rows = self.options.read(sources, Arc::clone(&schema), HeldBytes::default());
        (schema, rows)
    }

    fn root_attempt(&self, root: &Fragment) -> AttemptId {
        self.query.id().stage(root.stage).task(0).attempt(0)
    }
}

type RowStream = BoxStream<'static, Result<RecordBatch, Failure>>;

/// Runs all partitions of a task on the CPU runtime and gives their batches as they come.
fn run_on_cpu(engine: &Engine, task: Arc<PreparedTask>) -> RowStream {
    let (sender, receiver) = mpsc::channel(2);
    let mut running = tokio::task::JoinSet::new();
    for partition in 0..task.partitions() {
        let task = Arc::clone(&task);
        let sender = sender.clone();
        running.spawn_on(
            async move {
                let mut stream = match task.execute(partition) {
                    Ok(stream) => stream,
                    Err(failure) => {
                        let _ = sender.send(Err(failure)).await;
                        return;
                    }
                };
                while let Some(batch) = stream.next().await {
                    let batch = batch.map_err(|error| failure_of(&error));
                    // The receiver is gone once nobody wants the rows.
                    if sender.send(batch).await.is_err() {
                        return;
                    }
                }
            },
            engine.runtime(),
        );
    }
    drop(sender);
    // The set moves into the stream, so that dropping the rows stops the work.
    futures::stream::unfold((receiver, running), |(mut receiver, mut running)| async move {
        if let Some(batch) = receiver.recv().await {
            return Some((batch, (receiver, running)));
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                let failure = Failure::new(
                    ErrorCode::GENERIC_INTERNAL_ERROR,
                    "the query's last stage stopped with a panic; the coordinator's log has it",
                );
                return Some((Err(failure), (receiver, running)));
            }
        }
        None
    })
    .boxed()
}

/// The exchange sources of the root, read from the workers.
#[derive(Debug)]
struct RemoteInputs {
    producers: Vec<Producer>,
    inputs: Vec<TaskInput>,
    options: RunOptions,
}

impl InputStreams for RemoteInputs {
    fn open(
        &self,
        input: usize,
        partition: usize,
        schema: SchemaRef,
        held: ByteCounter,
    ) -> RowStream {
        let sources = self
            .inputs
            .get(input)
            .and_then(|input| input.partitions.get(partition))
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(|source| (self.producers[source.producer as usize].clone(), *source))
            .collect();
        self.options.read(sources, schema, HeldBytes::counted_by(held))
    }
}

/// Ends the rows at the first failure of any task, and aborts all tasks at the end, whatever the
/// end is.
fn supervised(
    rows: RowStream,
    failed: mpsc::Receiver<Failure>,
    run: Arc<Run>,
    guard: AbortOnDrop,
) -> RowStream {
    let state = Some((rows, failed, run, guard));
    futures::stream::unfold(state, |state| async move {
        let (mut rows, mut failed, run, guard) = state?;
        let next = tokio::select! {
            biased;
            Some(failure) = failed.recv() => Some(Err(failure)),
            batch = rows.next() => batch,
        };
        match next {
            Some(Ok(batch)) => Some((Ok(batch), Some((rows, failed, run, guard)))),
            Some(Err(failure)) => {
                let cause = cause_of(failure, &mut failed).await;
                drop(rows);
                run.abort().await;
                Some((Err(cause), None))
            }
            None => {
                drop(rows);
                run.finished().await;
                run.abort().await;
                None
            }
        }
    })
    .boxed()
}

/// A failure of the transport is a consequence: waits a moment for its cause.
async fn cause_of(failure: Failure, failed: &mut mpsc::Receiver<Failure>) -> Failure {
    let mut worst = failure;
    let deadline = tokio::time::Instant::now() + CAUSE_WAIT;
    while is_consequence(&worst) {
        match tokio::time::timeout_at(deadline, failed.recv()).await {
            Ok(Some(other)) if rank(&other) > rank(&worst) => worst = other,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    worst
}

fn is_consequence(failure: &Failure) -> bool {
    rank(failure) < 2
}

/// 0: pages did not come; 1: the worker did not answer; 2: anything that says why.
fn rank(failure: &Failure) -> u8 {
    match failure.code {
        ErrorCode::PAGE_TRANSPORT_ERROR | ErrorCode::PAGE_TRANSPORT_TIMEOUT => 0,
        ErrorCode::REMOTE_TASK_ERROR => 1,
        _ => 2,
    }
}

/// Aborts what still runs when the rows are dropped before their end.
struct AbortOnDrop(Arc<Run>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.stop.cancel();
        if self.0.tasks.iter().all(Watched::is_done) {
            return;
        }
        let (run, options) = (Arc::clone(&self.0), &self.0.options);
        options.endings.spawn(async move { run.abort().await }, &options.io);
    }
}
