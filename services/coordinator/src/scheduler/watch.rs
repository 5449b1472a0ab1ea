//! One task as its coordinator sees it: create, poll, abort; and when its worker counts as lost.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use waterbear_ids::AttemptId;
use waterbear_outbound::{InternalClient, OutboundError, Peer};
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::spool::CommittedRecord;
use waterbear_protocol::task::{
    INCARNATION_HEADER, Producer, TaskRequest, TaskState, TaskStats, TaskStatus,
};
use waterbear_protocol::{ErrorCode, Failure};

use crate::query::handle::TaskSnapshot;

/// How long a status poll waits on the worker for news.
const POLL: Duration = Duration::from_secs(1);
/// How long aborting may take.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a poll whose connection broke, before the port is tried again.
const BROKEN_PAUSE: Duration = Duration::from_millis(50);

/// How an attempt ended without being finished.
#[derive(Debug)]
pub(super) enum End {
    /// By its own words.
    Failed(Failure),
    /// Before it began: its worker takes no tasks any more.
    Refused(Failure),
    /// Without a word.
    Lost {
        /// What a client is to be told.
        failure: Failure,
        /// The whole node is lost, not the attempt alone.
        node_is_lost: bool,
    },
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        match end {
            End::Failed(failure) | End::Refused(failure) | End::Lost { failure, .. } => failure,
        }
    }
}

/// A task and its last known status.
#[derive(Debug)]
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
            output: None,
            operators: Vec::new(),
        };
        Self { task, status: Mutex::new(status) }
    }

    pub(super) fn attempt(&self) -> &AttemptId {
        &self.task.attempt
    }

    pub(super) fn node(&self) -> &NodeInfo {
        &self.task.node
    }

    /// What it has committed, once it is finished.
    pub(super) fn output(&self) -> Option<CommittedRecord> {
        self.status().output
    }

    pub(super) fn peak_memory(&self) -> u64 {
        self.status().stats.peak_memory_bytes
    }

    pub(super) fn snapshot(&self) -> TaskSnapshot {
        // What was committed may be large, and is nobody's to see.
        let status = TaskStatus { output: None, ..self.status() };
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

    pub(super) fn mark(&self, state: TaskState) {
        let mut known = self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !known.state.is_done() {
            known.state = state;
            // What it held is not known any more, and not the query's.
            known.stats.memory_bytes = 0;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            known.stats.ended_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
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

    /// Creates the task on its worker, which has as long as it may be silent. A worker that takes no
    /// tasks any more says so: [`End::Refused`].
    pub(super) async fn create(
        &self,
        client: &InternalClient,
        request: &TaskRequest,
        lease: Duration,
    ) -> Result<(), End> {
        let path = self.path();
        let created: Result<TaskStatus, _> = client
            .json(&self.peer(), Method::POST, &path, self.headers(), Some(request), lease)
            .await;
        match created {
            Ok(status) => {
                let failure = status.failure.clone();
                self.keep(status);
                failure.map_or(Ok(()), |failure| Err(End::Failed(failure)))
            }
            Err(OutboundError::Status {
                status: StatusCode::SERVICE_UNAVAILABLE, body, ..
            }) => {
                self.mark(TaskState::Aborted);
                let failure = Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, body);
                Err(End::Refused(failure.on(self.task.node.node_id.clone())))
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
            .json::<(), _>(&self.peer(), Method::DELETE, &path, self.headers(), None, ABORT_TIMEOUT)
            .await;
        match aborted {
            Ok(status) => self.keep(status),
            Err(error) => {
                self.mark(TaskState::Aborted);
                tracing::debug!(attempt = %self.task.attempt, %error, "task not aborted by request");
            }
        }
    }

    /// Somebody else has aborted it.
    fn aborted(&self) -> End {
        let text = format!("task {} was aborted", self.task.attempt);
        let failure = Failure::new(ErrorCode::ABANDONED_TASK, text);
        End::Failed(failure.on(self.task.node.node_id.clone()))
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

    /// The end of a conversation that broke with this error.
    fn lost(&self, error: &OutboundError) -> End {
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
        let failure = Failure::new(code, message).on(node.node_id.clone());
        // A process that answers, and is the right one, lives: it only does not know the attempt.
        let node_is_lost = match error {
            OutboundError::Status { status, .. } => *status == StatusCode::CONFLICT,
            _ => true,
        };
        End::Lost { failure, node_is_lost }
    }
}

/// Watches a task until it is finished; `news` is told of each status.
///
/// # Errors
/// How it ended otherwise.
pub(super) async fn until_done(
    task: &Watched,
    control: &InternalClient,
    lease: Duration,
    news: impl Fn(),
) -> Result<(), End> {
    let mut heard = Instant::now();
    loop {
        if task.is_done() {
            return Ok(());
        }
        let asked = Instant::now();
        match task.poll(control, lease).await {
            Ok(status) => {
                heard = Instant::now();
                let failure = status.failure.clone();
                let state = status.state;
                task.keep(status);
                news();
                match failure {
                    Some(failure) if state.is_done() => return Err(End::Failed(failure)),
                    _ if state == TaskState::Aborted => return Err(task.aborted()),
                    _ if state.is_done() => return Ok(()),
                    _ => {}
                }
            }
            Err(error) => {
                let late = asked.elapsed() > lease + Duration::from_secs(1);
                if late {
                    // This process itself stood still: the silence was ours.
                    heard = Instant::now();
                } else if is_final(&error) || heard.elapsed() >= lease {
                    task.mark(TaskState::Failed);
                    news();
                    return Err(task.lost(&error));
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
