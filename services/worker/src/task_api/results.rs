//! Pages for readers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde::Deserialize;
use tokio::time::Instant;
use waterbear_exchange::{Pages, ReadError};
use waterbear_faults::Point;
use waterbear_ids::AttemptId;
use waterbear_protocol::Failure;
use waterbear_protocol::task::TaskState;
use waterbear_protocol::task::results::{COMPLETE_HEADER, NEXT_TOKEN_HEADER, PAGES_MEDIA_TYPE};

use super::ForThisProcess;
use crate::Worker;
use crate::faults;
use crate::task::Output;

/// The longest that a request is held.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Bytes of pages in an answer, if the reader does not say.
const ANSWER_BYTES: usize = 1 << 20;
/// The most bytes of pages in an answer, but for a single page.
const LARGEST_ANSWER_BYTES: usize = 16 << 20;

#[derive(Debug, Deserialize)]
pub(super) struct ResultsQuery {
    #[serde(default)]
    max_wait_ms: u64,
    max_bytes: Option<usize>,
}

pub(super) async fn read(
    State(worker): State<Arc<Worker>>,
    _: ForThisProcess,
    Path((attempt, partition, reader, token)): Path<(AttemptId, u32, u32, u64)>,
    Query(query): Query<ResultsQuery>,
) -> Response {
    if let Err(fault) = faults::in_request(Point::Results, &attempt).await {
        return fault;
    }
    let max_wait = Duration::from_millis(query.max_wait_ms).min(LONGEST_WAIT);
    let max_bytes = query.max_bytes.unwrap_or(ANSWER_BYTES).min(LARGEST_ANSWER_BYTES);
    let deadline = Instant::now() + max_wait;
    let none = Pages { bytes: Vec::new(), referenced: 0, next_token: token, complete: false };
    // Tasks are created in parallel: a reader may come before its producer.
    let Some(task) = worker.tasks.created(&attempt, deadline).await else {
        return answer(&worker, none);
    };
    let output = match task.output(deadline).await {
        Output::Ready(output) => output,
        Output::NotYet => return answer(&worker, none),
        Output::Gone(state, failure) => return gone(state, failure),
    };
    let max_wait = deadline.saturating_duration_since(Instant::now());
    let error = match output.read(partition, reader, token, max_bytes, max_wait).await {
        Ok(pages) => return answer(&worker, pages),
        Err(error) => error,
    };
    match (error, task.output(deadline).await) {
        (ReadError::Aborted, Output::Gone(state, failure)) => gone(state, failure),
        (ReadError::Aborted | ReadError::Closed | ReadError::Acknowledged { .. }, _) => {
            (StatusCode::GONE, error.to_string()).into_response()
        }
        (ReadError::UnknownReader, _) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
        (ReadError::UnknownToken { .. } | ReadError::InProcess, _) => {
            (StatusCode::BAD_REQUEST, error.to_string()).into_response()
        }
    }
}

pub(super) async fn close(
    State(worker): State<Arc<Worker>>,
    _: ForThisProcess,
    Path((attempt, partition, reader)): Path<(AttemptId, u32, u32)>,
) -> StatusCode {
    let Some(task) = worker.tasks.task(&attempt) else { return StatusCode::NOT_FOUND };
    match task.output(Instant::now()).await {
        Output::Ready(output) => match output.close_reader(partition, reader) {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(_) => StatusCode::NOT_FOUND,
        },
        Output::NotYet => StatusCode::SERVICE_UNAVAILABLE,
        Output::Gone(..) => StatusCode::NO_CONTENT,
    }
}

fn answer(worker: &Worker, pages: Pages) -> Response {
    let headers = [
        (header::CONTENT_TYPE, PAGES_MEDIA_TYPE.to_owned()),
        (HeaderName::from_static(NEXT_TOKEN_HEADER), pages.next_token.to_string()),
        (HeaderName::from_static(COMPLETE_HEADER), pages.complete.to_string()),
    ];
    let body = PagesBody::new(pages.bytes);
    worker.exchange_metrics.sent.increment(body.left);
    worker.exchange_metrics.sent_referenced.increment(pages.referenced as u64);
    (headers, Body::new(body)).into_response()
}

/// The output is gone; a reader of a task that failed hears why it did.
fn gone(state: TaskState, failure: Option<Failure>) -> Response {
    match failure {
        Some(failure) => (StatusCode::GONE, Json(failure)).into_response(),
        None => (StatusCode::GONE, format!("the task is {state:?}")).into_response(),
    }
}

/// Pages as they lie in the buffer, without a copy, of a known length.
struct PagesBody {
    pages: VecDeque<Bytes>,
    left: u64,
}

impl PagesBody {
    fn new(pages: Vec<Bytes>) -> Self {
        let left = pages.iter().map(|page| page.len() as u64).sum();
        Self { pages: pages.into(), left }
    }
}

impl http_body::Body for PagesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let page = self.pages.pop_front();
        self.left -= page.as_ref().map_or(0, |page| page.len() as u64);
        Poll::Ready(page.map(|page| Ok(Frame::data(page))))
    }

    fn is_end_stream(&self) -> bool {
        self.pages.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
