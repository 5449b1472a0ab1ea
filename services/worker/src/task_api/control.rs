//! Create, status, abort.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use waterbear_faults::Point;
use waterbear_ids::AttemptId;
use waterbear_protocol::task::{TaskOutput, TaskRequest, TaskState, TaskStatus};

use super::{ForThisProcess, FromCoordinator};
use crate::Worker;
use crate::faults;
use crate::task::{self, Task};

/// Bytes of a request that is read at once, rather than by a thread for computing.
const SMALL_REQUEST: usize = 64 << 10;
/// Cursors that one task's output may have.
const MAX_CURSORS: u64 = 1 << 20;

pub(super) async fn create(
    State(worker): State<Arc<Worker>>,
    _: FromCoordinator,
    _: ForThisProcess,
    Path(attempt): Path<AttemptId>,
    body: Bytes,
) -> Result<Response, Response> {
    faults::in_request(Point::Create, &attempt).await?;
    if let Some(task) = worker.tasks.task(&attempt) {
        task.lease().renew();
        return Ok(answer(&task, task.status()));
    }
    let work = worker.lifecycle.begin().map_err(|state| {
        let text = format!("worker {} takes no tasks: it is {state}", worker.node.node_id);
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    })?;
    let parsed = if body.len() <= SMALL_REQUEST {
        parse(&body)
    } else {
        // Reading a large plan must not hold up polls.
        let parsed = worker.engine.runtime().spawn(async move { parse(&body) }).await;
        parsed.unwrap_or_else(|error| Err(error.to_string()))
    };
    let request = parsed.map_err(|text| (StatusCode::BAD_REQUEST, text).into_response())?;
    let (task, new) = worker.tasks.create(&attempt);
    task.lease().renew();
    if new {
        tracing::debug!(%attempt, "task created");
        let run = task::run(Arc::clone(&worker), Arc::clone(&task), request);
        worker.engine.runtime().spawn(async move {
            run.await;
            drop(work);
        });
    }
    Ok(answer(&task, task.status()))
}

fn parse(body: &[u8]) -> Result<TaskRequest, String> {
    let request: TaskRequest = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not a task request: {error}"))?;
    let TaskOutput { partitions, readers } = request.output;
    let cursors = u64::from(partitions) * u64::from(readers);
    if cursors == 0 || cursors > MAX_CURSORS {
        return Err(format!(
            "the task request has {partitions} output partitions with {readers} readers each"
        ));
    }
    Ok(request)
}

#[derive(Debug, Deserialize)]
pub(super) struct StatusQuery {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    max_wait_ms: u64,
}

pub(super) async fn status(
    State(worker): State<Arc<Worker>>,
    _: FromCoordinator,
    _: ForThisProcess,
    Path(attempt): Path<AttemptId>,
    Query(query): Query<StatusQuery>,
) -> Result<Response, Response> {
    faults::in_request(Point::Status, &attempt).await?;
    let Some(task) = worker.tasks.task(&attempt) else {
        let text = format!("there is no task {attempt}");
        return Err((StatusCode::NOT_FOUND, text).into_response());
    };
    task.lease().renew();
    // A poll that waits must not outlast its own lease.
    let max_wait = Duration::from_millis(query.max_wait_ms).min(worker.client_timeout / 2);
    let status = task.status_after(query.version, max_wait).await;
    Ok(answer(&task, status))
}

/// Tells the coordinator of a task. One whose record is not kept here any more is known to the
/// spool alone.
fn answer(task: &Task, status: TaskStatus) -> Response {
    let committed = task.committed();
    if status.output.is_some() {
        committed.tell();
    } else if status.state == TaskState::Finished && committed.is_dropped() {
        let text = format!("what task {} has committed lies in the spool alone", status.attempt);
        return (StatusCode::NOT_FOUND, text).into_response();
    }
    Json(status).into_response()
}

/// Aborts the task. One that was never created is done from now on, so that a request to create
/// it that is still under way comes too late.
pub(super) async fn abort(
    State(worker): State<Arc<Worker>>,
    _: FromCoordinator,
    _: ForThisProcess,
    Path(attempt): Path<AttemptId>,
) -> Json<TaskStatus> {
    let (task, _) = worker.tasks.create(&attempt);
    worker.tasks.end(&task, TaskState::Aborted, None);
    Json(task.status())
}
