//! One statement as a REST resource: tokens, replay, long polls.
//!
//! ```text
//! POST → queued/1 → (queued/2 → …) → executing/0 → executing/1 → … → an answer without nextUri
//! ```
//! The same token gets the same answer, byte for byte; an older one is gone, any other unknown.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use waterbear_dialect::SessionLimits;
use waterbear_protocol::client::{Column, QueryError, QueryResults, Warning};
use waterbear_protocol::{ErrorCode, Failure};

use super::changes;
use super::headers::Prefix;
use super::producer::{Page, produce};
use super::uri::{Phase, SlugKey};
use crate::query::handle::QueryState;
use crate::query::limits::{Admission, QueryLimits};
use crate::query::{QueryHandle, SessionChanges, StatementRunner};
use crate::scheduler::Endings;

/// How long an answer waits for something to say.
const LONG_POLL: Duration = Duration::from_secs(1);

/// What is known of a result once the statement has been planned.
#[derive(Debug)]
pub(super) struct Header {
    pub columns: Vec<Column>,
    pub update_type: Option<String>,
    pub changes: SessionChanges,
    pub warnings: Vec<Warning>,
}

/// What a statement needs to start.
pub(super) struct Start {
    pub runner: Arc<dyn StatementRunner>,
    pub admission: Arc<Admission>,
    pub limits: QueryLimits,
    pub runtime: Handle,
    pub endings: Endings,
}

/// Why there is no answer for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// There never was, or there never will be.
    Unknown,
    /// The query was not submitted to this process.
    OfAnotherStart,
    /// There was, and the client has gone on since.
    Gone,
}

impl IntoResponse for Missing {
    fn into_response(self) -> Response {
        match self {
            Missing::Unknown => (StatusCode::NOT_FOUND, "Query not found").into_response(),
            Missing::OfAnotherStart => {
                let text = "Query not found: it was submitted to another coordinator, or to this \
                            one before it was restarted, and queries end with their coordinator";
                (StatusCode::NOT_FOUND, text).into_response()
            }
            Missing::Gone => (StatusCode::GONE, "Invalid token").into_response(),
        }
    }
}

/// An answer that can be given again.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    body: Bytes,
    headers: HeaderMap,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = [("content-type", "application/json")];
        (json, self.headers, self.body).into_response()
    }
}

/// The answers under `queued/`.
#[derive(Debug)]
struct Queue {
    last_token: u64,
    started: bool,
}

/// The answers under `executing/`.
#[derive(Default)]
struct Pages {
    source: Option<mpsc::Receiver<Page>>,
    last: Option<(u64, Answer)>,
    ended: bool,
}

/// One statement of one client.
pub(super) struct Statement {
    query: Arc<QueryHandle>,
    slugs: SlugKey,
    prefix: Prefix,
    parametric_datetime: bool,
    /// The statement fails with this as soon as it starts.
    refused: Option<Failure>,
    last_access: Mutex<Instant>,
    header: OnceLock<Header>,
    queue: Mutex<Queue>,
    // Held across a long poll, so that a second request for the same page waits for the first.
    pages: tokio::sync::Mutex<Pages>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Statement {
    pub fn new(query: Arc<QueryHandle>, prefix: Prefix, refused: Option<Failure>) -> Self {
        let parametric_datetime = query.context().is_capable_of("PARAMETRIC_DATETIME");
        Self {
            query,
            slugs: SlugKey::random(),
            prefix,
            parametric_datetime,
            refused,
            last_access: Mutex::new(Instant::now()),
            header: OnceLock::new(),
            queue: Mutex::new(Queue { last_token: 0, started: false }),
            pages: tokio::sync::Mutex::default(),
        }
    }

    pub fn query(&self) -> &Arc<QueryHandle> {
        &self.query
    }

    pub fn parametric_datetime(&self) -> bool {
        self.parametric_datetime
    }

    /// Sets what all later answers carry.
    pub fn set_header(&self, header: Header) {
        // A statement runs once, so this is the first and only header.
        let _ = self.header.set(header);
    }

    /// True when this slug opens this page.
    pub fn opens(&self, phase: Phase, token: u64, slug: &str) -> bool {
        self.slugs.verify(phase, token, slug)
    }

    /// Notes that the client is there.
    pub fn touch(&self) {
        *locked(&self.last_access) = Instant::now();
        self.query.heartbeat();
    }

    /// How long the client has not been there.
    pub fn idle(&self) -> Duration {
        locked(&self.last_access).elapsed()
    }

    /// True once the client has asked for the statement to run.
    pub fn started(&self) -> bool {
        locked(&self.queue).started
    }

    /// The answer to the POST.
    pub fn accepted(&self, base: &str) -> Answer {
        self.answer(base, Some((Phase::Queued, 1)), None, None)
    }

    /// The answer under `queued/{token}`; the first one starts the statement.
    pub async fn queued(
        self: &Arc<Self>,
        token: u64,
        base: &str,
        start: impl FnOnce() -> Start,
    ) -> Result<Answer, Missing> {
        let starts = {
            let mut queue = locked(&self.queue);
            if token != queue.last_token && token != queue.last_token + 1 {
                return Err(Missing::Gone);
            }
            queue.last_token = token;
            !std::mem::replace(&mut queue.started, true)
        };
        if starts {
            self.start(start()).await;
        }
        if let Some(refused) = &self.refused {
            return Ok(self.answer(base, None, None, Some(refused)));
        }
        let mut states = self.query.states();
        let dispatched = states.wait_for(|state| *state > QueryState::Dispatching);
        let next = match timeout(LONG_POLL, dispatched).await {
            Ok(_) => (Phase::Executing, 0),
            Err(_) => (Phase::Queued, token + 1),
        };
        Ok(self.answer(base, Some(next), None, None))
    }

    async fn start(self: &Arc<Self>, with: Start) {
        if let Some(refused) = &self.refused {
            self.query.fail(refused.clone());
            return;
        }
        let (sender, receiver) = mpsc::channel(1);
        // Nobody else holds this lock yet: executing/0 is not known to the client.
        self.pages.lock().await.source = Some(receiver);
        let Start { runner, admission, limits, runtime, endings } = with;
        let limits = limits.within(SessionLimits::of(&self.query.context().session_properties));
        endings.spawn(produce(Arc::clone(self), runner, sender, admission, limits), &runtime);
    }

    /// The answer under `executing/{token}`.
    pub async fn executing(&self, token: u64, base: &str) -> Result<Answer, Missing> {
        let mut pages = self.pages.lock().await;
        match &pages.last {
            Some((last, answer)) if token == *last => return Ok(answer.clone()),
            Some((last, _)) if token < *last => return Err(Missing::Gone),
            Some((last, _)) if token != last + 1 => return Err(Missing::Unknown),
            None if token != 0 => return Err(Missing::Unknown),
            _ if pages.ended => return Err(Missing::Unknown),
            _ => {}
        }
        let Some(source) = &mut pages.source else { return Err(Missing::Unknown) };
        let mut states = self.query.states();
        let next = tokio::select! {
            // A failure is told at once, whatever rows are waiting.
            biased;
            _ = states.wait_for(|state| *state == QueryState::Failed) => Some(None),
            page = timeout(LONG_POLL, source.recv()) => page.ok(),
        };
        // From here on nothing waits: a request that is dropped half-way loses no page.
        let answer = match next {
            Some(None) => {
                pages.ended = true;
                pages.source = None;
                self.last_answer(base)
            }
            Some(Some(page)) => {
                self.answer(base, Some((Phase::Executing, token + 1)), Some(&page), None)
            }
            None => self.answer(base, Some((Phase::Executing, token + 1)), None, None),
        };
        pages.last = Some((token, answer.clone()));
        Ok(answer)
    }

    fn last_answer(&self, base: &str) -> Answer {
        self.answer(base, None, None, self.query.failure().as_ref())
    }

    /// Ends the query on the client's wish.
    pub fn cancel(&self) {
        self.query.fail(Failure::new(ErrorCode::USER_CANCELED, "Query was canceled"));
    }

    fn answer(
        &self,
        base: &str,
        next: Option<(Phase, u64)>,
        page: Option<&Page>,
        failure: Option<&Failure>,
    ) -> Answer {
        let id = self.query.id();
        let header = self.header.get();
        let results = QueryResults {
            id: id.to_string(),
            info_uri: format!("{base}/ui/#/queries/{id}"),
            partial_cancel_uri: None,
            next_uri: next.map(|(phase, token)| self.slugs.uri(base, id, phase, token)),
            columns: header.map(|header| header.columns.clone()),
            data: None,
            stats: self.query.stats(),
            error: failure.map(QueryError::from),
            warnings: header.map(|header| header.warnings.clone()).unwrap_or_default(),
            update_type: header.and_then(|header| header.update_type.clone()),
            update_count: self.query.update_count(),
        };
        // The document has string keys and finite numbers only: it always serialises.
        let mut body = serde_json::to_string(&results).unwrap_or_default();
        if let Some(page) = page {
            body.pop();
            body.reserve(page.rows.len() + 12);
            body.push_str(",\"data\":[");
            body.push_str(&page.rows);
            body.push_str("]}");
        }
        let headers = header.map(|header| changes::headers(&header.changes, self.prefix.as_str()));
        Answer { body: body.into(), headers: headers.unwrap_or_default() }
    }
}
