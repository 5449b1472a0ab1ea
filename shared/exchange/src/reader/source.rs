//! Reads one source to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Budget;
use crate::fetch::{Answer, Fetch, FetchError, Fetched, PageRequest, Source};
use crate::metric::ExchangeMetrics;

/// How long a broken connection is tried again before the producer counts as unreachable.
const BROKEN_PATIENCE: Duration = Duration::from_secs(1);
/// How long a node may refuse for load, and storage may fail: who is alive will have time, and
/// what was committed is nowhere else.
const LONG_PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long it may take to tell a producer that its reader is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bounds of what is asked for at once.
const ANSWER_BYTES: (usize, usize) = (64 << 10, 2 << 20);

/// How much to ask each of `sources` sources for, so that one answer of each fits in the buffer.
pub(super) fn answer_bytes(buffer_bytes: usize, sources: usize) -> usize {
    (buffer_bytes / sources.max(1)).clamp(ANSWER_BYTES.0, ANSWER_BYTES.1)
}

/// What a source has to say to the stream.
#[derive(Debug)]
pub(super) enum Event {
    Page { index: usize, page: Fetched },
    Complete,
    Failed { index: usize, cause: FetchError },
}

pub(super) struct SourceReader {
    pub(super) index: usize,
    pub(super) source: Source,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) budget: Arc<Budget>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// Sources that are complete take turns.
    pub(super) turns: Option<Arc<Semaphore>>,
    pub(super) max_bytes: usize,
    pub(super) max_wait: Duration,
    pub(super) input_bytes: Arc<AtomicU64>,
    pub(super) metrics: ExchangeMetrics,
}

impl SourceReader {
    /// Reads until everything came, something failed, or nobody wants more; then closes the
    /// reader at the producer, which frees what is kept there for it.
    pub(super) async fn run(self, unwanted: CancellationToken) {
        let outcome = tokio::select! {
            biased;
            () = unwanted.cancelled() => None,
            outcome = self.read_to_end() => Some(outcome),
        };
        let index = self.index;
        let gone = matches!(outcome, Some(Err(FetchError::Gone(_))));
        // The receiver may be gone: then nobody needs to know.
        let _ = match outcome {
            Some(Ok(())) => self.events.send(Event::Complete),
            Some(Err(cause)) => self.events.send(Event::Failed { index, cause }),
            None => Ok(()),
        };
        if !gone {
            self.close().await;
        }
    }

    async fn read_to_end(&self) -> Result<(), FetchError> {
        let _turn = match &self.turns {
            // It is never closed.
            Some(turns) => Some((turns.acquire().await, self.budget.reading(self.max_bytes))),
            None => None,
        };
        let mut token = 0;
        loop {
            self.budget.room().await;
            let asked = Instant::now();
            let answer = self.ask_again(token).await?;
            self.input_bytes.fetch_add(answer.wire_bytes as u64, Ordering::Relaxed);
            self.metrics.received.increment(answer.wire_bytes as u64);
            if answer.next_token != token + answer.pages.len() as u64 {
                return Err(FetchError::Malformed("its pages do not fit their tokens".into()));
            }
            let none = answer.pages.is_empty();
            token = answer.next_token;
            for page in answer.pages {
                self.budget.take(page.bytes());
                let event = Event::Page { index: self.index, page };
                if self.events.send(event).is_err() {
                    return Ok(());
                }
            }
            if answer.complete {
                return Ok(());
            }
            if none && asked.elapsed() < FIRST_PAUSE {
                // A producer that does not hold the request must not be asked in a circle.
                tokio::time::sleep(FIRST_PAUSE).await;
            }
        }
    }

    /// Asks until there is an answer, or until there is no hope for one.
    async fn ask_again(&self, token: u64) -> Result<Answer, FetchError> {
        let request = PageRequest { token, max_bytes: self.max_bytes, max_wait: self.max_wait };
        let mut pause = FIRST_PAUSE;
        let mut failing_since = None;
        loop {
            let error = match self.fetch.pages(&self.source, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let patience = match error {
                FetchError::Broken(_) => BROKEN_PATIENCE,
                FetchError::Overloaded | FetchError::Storage(_) => LONG_PATIENCE,
                _ => return Err(error),
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            if since.elapsed() + pause > patience {
                return Err(error);
            }
            tracing::debug!(attempt = %self.source.producer.attempt, %error, "asking again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn close(&self) {
        let close = async {
            if let Err(FetchError::Broken(_) | FetchError::Overloaded) =
                self.fetch.close(&self.source).await
            {
                tokio::time::sleep(FIRST_PAUSE).await;
                let _ = self.fetch.close(&self.source).await;
            }
        };
        // A producer that does not hear it is aborted with its query.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
    }
}
