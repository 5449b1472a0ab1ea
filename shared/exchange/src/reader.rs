//! Reads the sources of one partition of an exchange, all at once.

mod budget;
mod source;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::Stream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use waterbear_outbound::InternalClient;
use waterbear_protocol::task::{Producer, SourcePartition};

use crate::error::ExchangeError;
use crate::fetch::{Fetch, FetchError, Fetched, Source};
use crate::held::HeldBytes;
use crate::http::HttpFetch;
use crate::metric::ExchangeMetrics;
use crate::page::PageDecoder;
use budget::Budget;
use source::{Event, SourceReader};

/// How many sources are read at once when all are complete: enough to hide what a request takes.
const COMPLETE_AT_ONCE: usize = 8;

/// Bounds, and where to count.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Where requests run: the runtime for I/O, never the one for computing.
    pub runtime: Handle,
    /// Bytes of pages that may wait for the consumer (`exchange.max-buffer-size`). About as much
    /// again may be on its way; with many sources that still produce more, about one answer of
    /// each.
    pub buffer_bytes: usize,
    /// Is told of them, and of what is read ahead of complete sources.
    pub held: HeldBytes,
    /// How long a producer may hold a request that it has no page for.
    pub max_wait: Duration,
    /// Counts the bytes that come over the wire.
    pub input_bytes: Arc<AtomicU64>,
    /// The service's counters.
    pub metrics: ExchangeMetrics,
}

/// A stream of the rows of all its sources, in no order across them. The first error ends it.
/// Dropping it stops the requests and closes the readers at the producers.
#[derive(Debug)]
pub struct ExchangeReader {
    sources: Vec<Source>,
    decoder: PageDecoder,
    events: mpsc::UnboundedReceiver<Event>,
    budget: Arc<Budget>,
    complete: usize,
    batches: VecDeque<RecordBatch>,
    /// Ends the requests when it is dropped.
    requests: Option<DropGuard>,
}

impl ExchangeReader {
    /// Starts to read `sources`, of batches of `schema`, over HTTP.
    pub fn open(
        client: InternalClient,
        sources: Vec<(Producer, SourcePartition)>,
        schema: SchemaRef,
        options: &ReaderOptions,
    ) -> Self {
        let sources = sources.into_iter().map(|(producer, source)| Source {
            producer: Arc::new(producer),
            partition: source.partition,
            reader: source.reader,
        });
        Self::over(Arc::new(HttpFetch::new(client)), sources.collect(), schema, options)
    }

    /// Starts to read `sources` over any transport.
    pub fn over(
        fetch: Arc<dyn Fetch>,
        sources: Vec<Source>,
        schema: SchemaRef,
        options: &ReaderOptions,
    ) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let budget = Arc::new(Budget::new(options.buffer_bytes, options.held.clone()));
        let requests = CancellationToken::new();
        let (at_once, turns) = match fetch.is_complete() {
            true => (sources.len().min(COMPLETE_AT_ONCE), Some(COMPLETE_AT_ONCE)),
            false => (sources.len(), None),
        };
        let turns = turns.map(|turns| Arc::new(Semaphore::new(turns)));
        for (index, source) in sources.iter().enumerate() {
            let reader = SourceReader {
                index,
                source: source.clone(),
                fetch: Arc::clone(&fetch),
                budget: Arc::clone(&budget),
                events: sender.clone(),
                turns: turns.clone(),
                max_bytes: source::answer_bytes(options.buffer_bytes, at_once),
                max_wait: options.max_wait,
                input_bytes: Arc::clone(&options.input_bytes),
                metrics: options.metrics.clone(),
            };
            options.runtime.spawn(reader.run(requests.clone()));
        }
        Self {
            sources,
            decoder: PageDecoder::new(schema),
            events,
            budget,
            complete: 0,
            batches: VecDeque::new(),
            requests: Some(requests.drop_guard()),
        }
    }

    fn failed(&mut self, index: usize, cause: FetchError) -> ExchangeError {
        self.requests = None;
        let producer = &self.sources[index].producer;
        ExchangeError {
            attempt: producer.attempt.clone(),
            node: Box::new(producer.node.clone()),
            cause,
        }
    }

    fn handle(&mut self, event: Event) -> Option<ExchangeError> {
        match event {
            Event::Page { index, page } => {
                self.budget.release(page.bytes());
                let decoded = match page {
                    Fetched::Page(page) => self.decoder.decode(&page, &mut self.batches),
                    Fetched::Batch(batch, _) => self.decoder.accept(batch, &mut self.batches),
                };
                decoded
                    .err()
                    .map(|error| self.failed(index, FetchError::Malformed(error.to_string())))
            }
            Event::Complete => {
                self.complete += 1;
                None
            }
            Event::Failed { index, cause } => Some(self.failed(index, cause)),
        }
    }
}

impl Stream for ExchangeReader {
    type Item = Result<RecordBatch, ExchangeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(batch) = this.batches.pop_front() {
                return Poll::Ready(Some(Ok(batch)));
            }
            if this.complete == this.sources.len() || this.requests.is_none() {
                return Poll::Ready(None);
            }
            let failed = match ready!(this.events.poll_recv(cx)) {
                Some(event) => this.handle(event),
                // A request that ended without a word must not look like the end of its source.
                None => Some(this.failed(0, FetchError::Dropped("the node is stopping".into()))),
            };
            if let Some(error) = failed {
                this.batches.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
