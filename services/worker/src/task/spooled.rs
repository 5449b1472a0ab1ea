//! A task whose inputs lie in the spool, and whose output goes there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;
use waterbear_engine::PreparedTask;
use waterbear_exchange::{HeldBytes, SpoolFetch, SpoolSink, WriteError};
use waterbear_protocol::membership::LEASE;
use waterbear_protocol::task::TaskSpool;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_spool::{AttemptWriter, SpoolError};

use super::run::{failure_of_join, without_panic};
use super::{Destination, Task};
use crate::{Worker, WorkerSpool};

/// Reads what the task's producers have committed.
pub(super) fn fetch(worker: &Worker, task: &Task, spool: TaskSpool) -> Result<SpoolFetch, Failure> {
    let own = own_spool(worker)?.spool.clone();
    Ok(SpoolFetch::for_task(own, spool, task.spool_reads.clone()))
}

fn own_spool(worker: &Worker) -> Result<&WorkerSpool, Failure> {
    worker.spool.as_ref().ok_or_else(|| {
        let text = "Exchange manager must be configured for the failure recovery capabilities to \
                    be fully functional: exchange-manager.properties is missing on worker";
        let text = format!("{text} {}", worker.node.node_id);
        Failure::new(ErrorCode::EXCHANGE_MANAGER_NOT_CONFIGURED, text)
    })
}

/// Runs all partitions, and commits what they give.
pub(super) async fn run(
    worker: &Worker,
    task: &Task,
    prepared: Arc<PreparedTask>,
    spool: TaskSpool,
) -> Result<(), Failure> {
    let WorkerSpool { spool: own, sink_buffer_bytes } = own_spool(worker)?.clone();
    let partitions = prepared.partitions() as u32;
    let attempt = task.attempt.clone();
    let writer = AttemptWriter::new(own, spool.key, attempt, &spool.location, partitions)
        .map_err(|error| failure_of(&error))?;
    let held = HeldBytes::counted_by(prepared.output_memory());
    let sink = SpoolSink::new(writer, partitions, prepared.schema(), sink_buffer_bytes, held);
    let sink = Arc::new(sink);
    task.run(Arc::clone(&prepared), Destination::Spool(Arc::clone(&sink)));
    produce(&prepared, &sink).await?;
    task.keep_operators(&prepared);
    // A coordinator that has ended the query or gone on without this attempt does not ask again:
    // then its lease ends, and nothing is written that nobody would delete. One that only stood
    // still asks again, and finds it.
    task.lease().asked_within(LEASE).await;
    let finished = sink.commit().await.map_err(|error| failure_of(&error))?;
    let Some(finished) = finished else {
        let text = "the task's output was committed twice";
        return Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text));
    };
    task.spooled.0.store(finished.written_bytes, Ordering::Relaxed);
    task.spooled.1.store(finished.write_requests, Ordering::Relaxed);
    task.committed.set(finished.record);
    Ok(())
}

/// Runs all partitions at once, each as a task of its own; the first failure stops them all.
async fn produce(prepared: &Arc<PreparedTask>, sink: &Arc<SpoolSink>) -> Result<(), Failure> {
    let mut partitions = JoinSet::new();
    for partition in 0..prepared.partitions() {
        let stream = without_panic(|| prepared.execute(partition))?;
        let sink = Arc::clone(sink);
        partitions.spawn(async move { sink.write_all(partition as u32, stream).await });
    }
    while let Some(written) = partitions.join_next().await {
        match written {
            Ok(Ok(())) => {}
            Ok(Err(WriteError::Stream(error))) => {
                return Err(waterbear_engine::failure_of(&error));
            }
            Ok(Err(WriteError::Encode(error))) => return Err(error.into()),
            Ok(Err(WriteError::Spool(error))) => return Err(failure_of(&error)),
            Err(error) => return Err(failure_of_join(error)),
        }
    }
    Ok(())
}

/// What storage that fails means for the query: another attempt may do better.
pub(super) fn failure_of(error: &SpoolError) -> Failure {
    let code = match error {
        SpoolError::UnknownLocation { .. } => ErrorCode::CONFIGURATION_INVALID,
        _ => ErrorCode::GENERIC_INTERNAL_ERROR,
    };
    Failure::new(code, format!("The exchange manager cannot go on: {error}"))
}
