//! Requests and reads that are told to fail; see [`waterbear_faults`].

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::StatusCode;
use waterbear_exchange::{Answer, Fetch, FetchError, PageRequest, Source};
use waterbear_faults::{Fault, Point};
use waterbear_ids::AttemptId;

/// When a read without a network counts as one that has no answer.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers a request about an attempt, or holds it until who asks gives up, where that is planned.
pub(crate) async fn in_request(point: Point, attempt: &AttemptId) -> Result<(), Response> {
    match waterbear_faults::at(point, attempt) {
        None => Ok(()),
        Some(Fault::Timeout) => std::future::pending().await,
        Some(_) => {
            let text = format!("a fault was injected at {point} of {attempt}");
            Err((StatusCode::INTERNAL_SERVER_ERROR, text).into_response())
        }
    }
}

/// Fails a read without a network. The error is one that is not asked for again: the reader's
/// attempt ends by it.
pub(crate) async fn in_read(attempt: &AttemptId) -> Result<(), FetchError> {
    let text = || format!("a fault was injected at {} of {attempt}", Point::Results);
    match waterbear_faults::at(Point::Results, attempt) {
        None => Ok(()),
        Some(Fault::Timeout) => {
            tokio::time::sleep(READ_TIMEOUT).await;
            Err(FetchError::TimedOut(text()))
        }
        Some(_) => Err(FetchError::Refused(text())),
    }
}

/// The reads of an attempt whose inputs are spooled.
pub(crate) fn in_reads_of(reader: &AttemptId, fetch: Arc<dyn Fetch>) -> Arc<dyn Fetch> {
    match waterbear_faults::COMPILED {
        true => Arc::new(FaultyFetch { reader: reader.clone(), fetch }),
        false => fetch,
    }
}

struct FaultyFetch {
    reader: AttemptId,
    fetch: Arc<dyn Fetch>,
}

impl Fetch for FaultyFetch {
    fn pages<'a>(
        &'a self,
        source: &'a Source,
        request: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        async move {
            in_read(&self.reader).await?;
            self.fetch.pages(source, request).await
        }
        .boxed()
    }

    fn is_complete(&self) -> bool {
        self.fetch.is_complete()
    }

    fn close<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<(), FetchError>> {
        self.fetch.close(source)
    }
}
