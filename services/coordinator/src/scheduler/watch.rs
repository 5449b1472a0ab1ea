//! One task as its coordinator sees it: create, poll, abort; and when its worker counts as lost.

use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;
use waterbear_outbound::{InternalClient, OutboundError, Peer};
use waterbear_protocol::task::{
    INCARNATION_HEADER, Producer, TaskRequest, TaskState, TaskStats, TaskStatus,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::run::Run;
use crate::query::handle::TaskSnapshot;

/// How long a status poll waits on the worker for news.
const POLL: Duration = Duration::from_secs(1);
/// How long creating and aborting may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a poll whose connection broke, before the port is tried again.
const BROKEN_PAUSE: Duration = Duration::from_millis(50);

/// A task and its last known status.
pub(super) struct Watched {
    task: Producer,
    status: Mutex<TaskStatus>,
}

impl Watched {
    pub(super) fn new(task: Producer) -> Self {
        let status = TaskStatus {
            attempt: task.attempt.clone(),
            version: 0,
            state: TaskState::Running,
            failure: None,
            stats: TaskStats::default(),
            operators: Vec::new(),
        };
        Self { task, status: Mutex::new(status) }
    }

    pub(super) fn snapshot(&self) -> TaskSnapshot {
        let status = self.status();
        let stage = status.attempt.task.stage.number;
        TaskSnapshot { node: self.task.node.node_id.clone(), stage, status }
    }

    pub(super) fn is_done(&self) -> bool {
        self.status().state.is_done()
    }

    fn status(&self) -> TaskStatus {
        self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Keeps a status unless a later one is known; a task that is done stays as it is.
    fn keep(&self, status: TaskStatus) {
        let mut known = self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !known.state.is_done() && status.version >= known.version {
            *known = status;
        }
    }

    fn mark(&self, state: TaskState) {
        let mut known = self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !known.state.is_done() {
            known.state = state;
        }
    }

    fn path(&self) -> String {
        format!("/v1/task/{}", self.task.attempt)
    }

    fn peer(&self) -> Peer {
        Peer::Node(self.task.node.clone())
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&self.task.node.incarnation.to_string()) {
            headers.insert(INCARNATION_HEADER, value);
        }
        headers
    }

    /// Creates the task on its worker.
    pub(super) async fn create(
        &self,
        client: &InternalClient,
        request: &TaskRequest,
    ) -> Result<(), Failure> {
        let path = self.path();
        let created: Result<TaskStatus, _> = client
            .json(&self.peer(), Method::POST, &path, self.headers(), Some(request), REQUEST_TIMEOUT)
            .await;
        match created {
            Ok(status) => {
                let failure = status.failure.clone();
                self.keep(status);
                failure.map_or(Ok(()), Err)
            }
            Err(error) => {
                self.mark(TaskState::Failed);
                Err(self.lost(&error))
            }
        }
    }

    /// Aborts the task; a worker that does not answer frees it by itself after its lease.
    pub(super) async fn abort(&self, client: &InternalClient) {
        let path = self.path();
        let aborted: Result<TaskStatus, _> = client
            .json::<(), _>(
                &self.peer(),
                Method::DELETE,
                &path,
                self.headers(),
                None,
                REQUEST_TIMEOUT,
            )
            .await;
        match aborted {
            Ok(status) => self.keep(status),
            Err(error) => {
                self.mark(TaskState::Aborted);
                tracing::debug!(attempt = %self.task.attempt, %error, "task not aborted by request");
            }
        }
    }

    async fn poll(
        &self,
        client: &InternalClient,
        timeout: Duration,
    ) -> Result<TaskStatus, OutboundError> {
        let version = self.status().version;
        let wait = POLL.as_millis();
        let path = format!("{}/status?version={version}&max_wait_ms={wait}", self.path());
        client.json::<(), _>(&self.peer(), Method::GET, &path, self.headers(), None, timeout).await
    }

    fn lost(&self, error: &OutboundError) -> Failure {
        let node = &self.task.node;
        let code = if error.is_gone() {
            ErrorCode::REMOTE_HOST_GONE
        } else {
            ErrorCode::REMOTE_TASK_ERROR
        };
        let message = format!(
            "worker {} ({}:{}) is lost, and task {} with it: {error}",
            node.node_id, node.host, node.internal_port, self.task.attempt
        );
        Failure::new(code, message).on(node.node_id.clone())
    }
}

/// Watches a task until it is done; returns its failure, if it failed or its worker is lost.
pub(super) async fn until_done(run: &Run, index: usize) -> Option<Failure> {
    let task = &run.tasks[index];
    let lease = run.options.lease;
    let mut heard = Instant::now();
    loop {
        if task.is_done() {
            return None;
        }
        let asked = Instant::now();
        match task.poll(&run.options.control, lease).await {
            Ok(status) => {
                heard = Instant::now();
                let failure = status.failure.clone();
                let done = status.state.is_done();
                task.keep(status);
                run.report();
                if done {
                    return failure;
                }
            }
            Err(error) => {
                let late = asked.elapsed() > lease + Duration::from_secs(1);
                if late {
                    // This process itself stood still: the silence was ours.
                    heard = Instant::now();
                } else if is_final(&error) || heard.elapsed() >= lease {
                    task.mark(TaskState::Failed);
                    run.report();
                    return Some(task.lost(&error));
                }
                tokio::time::sleep(BROKEN_PAUSE).await;
            }
        }
    }
}

/// True for answers after which the attempt cannot live: the port refuses, or whoever answers
/// there does not know the attempt.
fn is_final(error: &OutboundError) -> bool {
    match error {
        OutboundError::Status { status, .. } => status.is_client_error(),
        other => other.is_gone(),
    }
}
