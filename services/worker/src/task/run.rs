//! Runs an attempt's plan, on the engine's threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::{JoinError, JoinSet};
use waterbear_engine::{PreparedTask, failure_of, with_faults};
use waterbear_exchange::{Fetch, HeldBytes, HttpFetch, OutputBuffer, ReaderOptions, WriteError};
use waterbear_ids::AttemptId;
use waterbear_protocol::task::{TaskOutput, TaskRequest, TaskState};
use waterbear_protocol::{ErrorCode, Failure};

use super::fetch::NodeFetch;
use super::inputs::RemoteInputs;
use super::{Destination, Task, spooled};
use crate::{Worker, faults};

/// How long a producer may hold a request that it has no page for.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Runs the attempt until everybody has its output, it fails, or it is ended from outside. Must
/// be called on the engine's runtime.
pub(crate) async fn run(worker: Arc<Worker>, task: Arc<Task>, request: TaskRequest) {
    let outcome = tokio::select! {
        biased;
        () = task.done.cancelled() => return,
        outcome = AssertUnwindSafe(execute(&worker, &task, request)).catch_unwind() => {
            outcome.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
        }
    };
    let (state, failure) = match outcome {
        Ok(()) => (TaskState::Finished, None),
        Err(mut failure) => {
            failure.node.get_or_insert_with(|| worker.node.node_id.clone());
            (TaskState::Failed, Some(failure))
        }
    };
    worker.tasks.end(&task, state, failure);
}

async fn execute(worker: &Arc<Worker>, task: &Task, request: TaskRequest) -> Result<(), Failure> {
    let output = request.output;
    if request.session.operator_metrics {
        task.want_operators();
    }
    let spool = request.spool.clone();
    let prepared = Arc::new(prepare(worker, task, request)?);
    check_partitions(&prepared, output)?;
    if let Some(spool) = spool {
        return spooled::run(worker, task, prepared, spool).await;
    }
    let limit = worker.limits.output_partition_bytes;
    let held = HeldBytes::counted_by(prepared.output_memory());
    let buffer =
        OutputBuffer::new(output.partitions, output.readers, prepared.schema(), limit, held);
    let buffer = Arc::new(buffer);
    task.run(Arc::clone(&prepared), Destination::Buffer(Arc::clone(&buffer)));
    produce(&task.attempt, prepared, &buffer).await?;
    task.flush();
    buffer.drained().await;
    Ok(())
}

fn prepare(
    worker: &Arc<Worker>,
    task: &Task,
    request: TaskRequest,
) -> Result<PreparedTask, Failure> {
    let partitions = request.inputs.iter().flat_map(|input| &input.partitions);
    let reading = partitions.filter(|sources| !sources.is_empty()).count();
    let fetch: Arc<dyn Fetch> = match request.spool {
        Some(spool) => {
            faults::in_reads_of(&task.attempt, Arc::new(spooled::fetch(worker, task, spool)?))
        }
        None => Arc::new(NodeFetch {
            http: HttpFetch::new(worker.exchange.clone()),
            worker: Arc::downgrade(worker),
        }),
    };
    let inputs = RemoteInputs {
        fetch,
        producers: request.producers.into_iter().map(Arc::new).collect(),
        inputs: request.inputs,
        options: ReaderOptions {
            runtime: worker.io.clone(),
            buffer_bytes: worker.limits.source_buffer_bytes(reading),
            held: HeldBytes::default(),
            max_wait: MAX_WAIT,
            input_bytes: Arc::clone(&task.input_bytes),
            metrics: worker.exchange_metrics.clone(),
        },
    };
    let (plan, session) = (&request.plan, &request.session);
    without_panic(|| worker.engine.prepare(&task.attempt, plan, session, Arc::new(inputs)))
}

fn check_partitions(prepared: &PreparedTask, output: TaskOutput) -> Result<(), Failure> {
    let (plan, request) = (prepared.partitions(), output.partitions);
    if plan == request as usize {
        return Ok(());
    }
    let text = format!("the plan has {plan} partitions, the task's request {request}");
    Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text))
}

/// Runs all partitions at once, each as a task of its own; the first failure stops them all.
async fn produce(
    attempt: &AttemptId,
    prepared: Arc<PreparedTask>,
    buffer: &OutputBuffer,
) -> Result<(), Failure> {
    let mut partitions = JoinSet::new();
    for partition in 0..prepared.partitions() {
        let writer = buffer.writer(partition as u32).map_err(Failure::from)?;
        let stream = with_faults(attempt, without_panic(|| prepared.execute(partition))?);
        partitions.spawn(writer.write_all(stream));
    }
    // From here on only the streams and the task's phase hold the plan.
    drop(prepared);
    while let Some(written) = partitions.join_next().await {
        match written {
            Ok(Ok(_)) => {}
            Ok(Err(WriteError::Stream(error))) => return Err(failure_of(&error)),
            Ok(Err(WriteError::Encode(error))) => return Err(error.into()),
            Ok(Err(WriteError::Spool(error))) => return Err(spooled::failure_of(&error)),
            Err(error) => return Err(failure_of_join(error)),
        }
    }
    Ok(())
}

pub(super) fn failure_of_join(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => panicked(panic.as_ref()),
        Err(_) => Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, "the worker is stopping"),
    }
}

/// One task's panic is one task's failure.
pub(super) fn without_panic<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = format!("the task panicked: {}", text.unwrap_or("no text"));
    Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text)
}
