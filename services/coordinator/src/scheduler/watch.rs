//! One task as its coordinator sees it: create, poll, abort; and when its worker counts as lost.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use waterbear_ids::AttemptId;
use waterbear_outbound::{InternalClient, OutboundError, Peer};
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::spool::CommittedRecord;
use waterbear_protocol::task::{
    INCARNATION_HEADER, Producer, TaskRequest, TaskState, TaskStats, TaskStatus,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::health::{Contact, Patience, Verdict};
use crate::query::handle::TaskSnapshot;

/// How long a status poll waits on the worker for news.
const POLL: Duration = Duration::from_secs(1);
/// How long its answer may take then.
const POLL_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long aborting may take.
const ABORT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after a request that failed, before it is made again.
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

    /// What it has committed, once it is finished. It is given once: it may be large.
    pub(super) fn take_output(&self) -> Option<CommittedRecord> {
        self.status().output.take()
    }

    pub(super) fn peak_memory(&self) -> u64 {
        self.status().stats.peak_memory_bytes
    }

    /// What it has written to the spool.
    pub(super) fn spooled_bytes(&self) -> u64 {
        self.status().stats.spooled_bytes
    }

    pub(super) fn snapshot(&self) -> TaskSnapshot {
        let known = self.status();
        // What was committed may be large, and is nobody's to see.
        let status = TaskStatus {
            attempt: known.attempt.clone(),
            failure: known.failure.clone(),
            operators: known.operators.clone(),
            output: None,
            ..*known
        };
        drop(known);
        let stage = status.attempt.task.stage.number;
        TaskSnapshot { node: self.task.node.node_id.clone(), stage, status }
    }

    pub(super) fn is_done(&self) -> bool {
        self.status().state.is_done()
    }

    fn status(&self) -> MutexGuard<'_, TaskStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a status unless a later one is known; a task that is done stays as it is.
    fn keep(&self, status: TaskStatus) {
        let mut known = self.status();
        if !known.state.is_done() && status.version >= known.version {
            *known = status;
        }
    }

    pub(super) fn mark(&self, state: TaskState) {
        let mut known = self.status();
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

    /// Creates the task on its worker. The request can be made again: a worker that has the
    /// attempt says how it is. One that takes no tasks any more says so: [`End::Refused`].
    pub(super) async fn create(
        &self,
        client: &InternalClient,
        request: &TaskRequest,
        contact: &Contact,
    ) -> Result<(), End> {
        let (path, mut patience) = (self.path(), contact.patience());
        loop {
            let timeout = contact.lease();
            let created: Result<TaskStatus, _> = client
                .json(&self.peer(), Method::POST, &path, self.headers(), Some(request), timeout)
                .await;
            match created {
                Ok(status) => {
                    patience.answered();
                    let failure = status.failure.clone();
                    self.keep(status);
                    return failure.map_or(Ok(()), |failure| Err(End::Failed(failure)));
                }
                Err(OutboundError::Status {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    body,
                    ..
                }) => {
                    contact.heard();
                    self.mark(TaskState::Aborted);
                    let failure = Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, body);
                    return Err(End::Refused(failure.on(self.task.node.node_id.clone())));
                }
                Err(error) => self.broken(contact, &patience, &error).await?,
            }
        }
    }

    /// Aborts the task; a worker that does not answer frees it by itself after its lease.
    ///
    /// # Errors
    /// When it may still run.
    pub(super) async fn abort(&self, client: &InternalClient) -> Result<(), OutboundError> {
        let path = self.path();
        let aborted: Result<TaskStatus, _> = client
            .json::<(), _>(&self.peer(), Method::DELETE, &path, self.headers(), None, ABORT_TIMEOUT)
            .await;
        match aborted {
            Ok(status) => {
                self.keep(status);
                Ok(())
            }
            Err(error) => {
                self.mark(TaskState::Aborted);
                tracing::debug!(attempt = %self.task.attempt, %error, "task not aborted by request");
                Err(error)
            }
        }
    }

    /// Somebody else has aborted it.
    fn aborted(&self) -> End {
        let text = format!("task {} was aborted", self.task.attempt);
        let failure = Failure::new(ErrorCode::ABANDONED_TASK, text);
        End::Failed(failure.on(self.task.node.node_id.clone()))
    }

    async fn poll(&self, client: &InternalClient) -> Result<TaskStatus, OutboundError> {
        let version = self.status().version;
        let wait = POLL.as_millis();
        let path = format!("{}/status?version={version}&max_wait_ms={wait}", self.path());
        let timeout = POLL_TIMEOUT;
        client.json::<(), _>(&self.peer(), Method::GET, &path, self.headers(), None, timeout).await
    }

    /// A request has failed: after a pause it is to be made again, unless the attempt is lost.
    async fn broken(
        &self,
        contact: &Contact,
        patience: &Patience<'_>,
        error: &OutboundError,
    ) -> Result<(), End> {
        let answer = Answer::of(error);
        if answer != Answer::None {
            contact.heard();
        }
        let verdict = match answer {
            Answer::Stranger => Verdict::NodeLost,
            Answer::Final => Verdict::AttemptLost,
            Answer::None | Answer::Trouble => patience.verdict(),
        };
        if verdict == Verdict::Wait {
            tokio::time::sleep(BROKEN_PAUSE).await;
            return Ok(());
        }
        self.mark(TaskState::Failed);
        let node = &self.task.node;
        let node_is_lost = verdict == Verdict::NodeLost;
        let (address, attempt) = (format!("{}:{}", node.host, node.internal_port), self.attempt());
        let message = match node_is_lost {
            true => format!(
                "worker {} ({address}) is lost, and task {attempt} with it: {error}",
                node.node_id
            ),
            false => {
                format!("task {attempt} is lost on worker {} ({address}): {error}", node.node_id)
            }
        };
        let code = if error.is_gone() {
            ErrorCode::REMOTE_HOST_GONE
        } else {
            ErrorCode::REMOTE_TASK_ERROR
        };
        let failure = Failure::new(code, message).on(node.node_id.clone());
        Err(End::Lost { failure, node_is_lost })
    }
}

/// What a failed request says of who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nothing: silence, or a connection that broke.
    None,
    /// The process is gone: its port refuses, or another one answers there.
    Stranger,
    /// The process lives, and this request will never succeed: it does not know the attempt.
    Final,
    /// The process lives, and the request may succeed when it is made again.
    Trouble,
}

impl Answer {
    fn of(error: &OutboundError) -> Self {
        match error {
            OutboundError::Refused { .. } => Self::Stranger,
            OutboundError::Status { status, .. } => match *status {
                StatusCode::CONFLICT => Self::Stranger,
                // Secrets are being changed, or a clock is being set.
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Trouble,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Self::Trouble,
                status if status.is_client_error() => Self::Final,
                _ => Self::Trouble,
            },
            _ => Self::None,
        }
    }
}

/// Watches a task until it is finished; `news` is told of each status.
///
/// # Errors
/// How it ended otherwise.
pub(super) async fn until_done(
    task: &Watched,
    control: &InternalClient,
    contact: &Contact,
    news: impl Fn(),
) -> Result<(), End> {
    let mut patience = contact.patience();
    while !task.is_done() {
        match task.poll(control).await {
            Ok(status) => {
                patience.answered();
                let failure = status.failure.clone();
                let state = status.state;
                task.keep(status);
                news();
                match failure {
                    Some(failure) if state.is_done() => return Err(End::Failed(failure)),
                    _ if state == TaskState::Aborted => return Err(task.aborted()),
                    _ => {}
                }
            }
            Err(error) => {
                let broken = task.broken(contact, &patience, &error).await;
                if broken.is_err() {
                    news();
                }
                broken?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_or_another_process_is_a_death() {
        let peer = || "worker a".to_owned();
        let status = |status| OutboundError::Status { peer: peer(), status, body: String::new() };
        let reason = String::new;
        for (error, answer) in [
            (OutboundError::Refused { peer: peer() }, Answer::Stranger),
            (status(StatusCode::CONFLICT), Answer::Stranger),
            (status(StatusCode::NOT_FOUND), Answer::Final),
            (status(StatusCode::PAYLOAD_TOO_LARGE), Answer::Final),
            (status(StatusCode::UNAUTHORIZED), Answer::Trouble),
            (status(StatusCode::INTERNAL_SERVER_ERROR), Answer::Trouble),
            (OutboundError::Reset { peer: peer(), reason: reason() }, Answer::None),
            (OutboundError::Unreachable { peer: peer(), reason: reason() }, Answer::None),
            (OutboundError::Timeout { peer: peer(), after: POLL_TIMEOUT }, Answer::None),
        ] {
            assert_eq!(Answer::of(&error), answer, "{error}");
        }
    }
}
