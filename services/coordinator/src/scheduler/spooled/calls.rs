//! One call of a task: its stack, top = met first: exchange-retry, then a place, then an attempt.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use exchange_retry::{
    Attempt, AttemptFailure, Call, Class, Error, ExchangeRetryLayer, Number, TaskAttempts,
};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_util::task::AbortOnDropHandle;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use waterbear_exchange::ReaderOptions;
use waterbear_outbound::InternalClient;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_scheduler::{Event, NodeKey, TaskKey};
use waterbear_spool::{Spool, SpoolError};

use super::RetryOptions;
use super::attempt::{self, AttemptError};
use super::driver::{Driver, Message};
use super::query::{SpooledQuery, Winner};
use crate::scheduler::Endings;
use crate::scheduler::health::Health;

/// Calls of one task, most of which end with inputs that are lost: storage that loses what was
/// committed again and again is of no use to a query.
const MOST_CALLS: u32 = 100;

/// What all calls share. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    pub(super) spool: Spool,
    pub(super) retry: Arc<RetryOptions>,
    pub(super) control: InternalClient,
    pub(super) reader: ReaderOptions,
    pub(super) io: Handle,
    /// Where plans are encoded: it takes time, and a deep stack.
    pub(super) cpu: Handle,
    pub(super) health: Health,
    pub(super) endings: Endings,
    /// Workers and locations of which it is known that this node sees what they write.
    seen: Arc<Mutex<BTreeSet<(u64, String)>>>,
}

impl Calls {
    pub(super) fn new(
        spool: Spool,
        retry: RetryOptions,
        control: InternalClient,
        reader: ReaderOptions,
        (io, cpu): (Handle, Handle),
        health: Health,
        endings: Endings,
    ) -> Self {
        let (retry, seen) = (Arc::new(retry), Arc::default());
        Self { spool, retry, control, reader, io, cpu, health, endings, seen }
    }

    /// A base directory must be the same on all nodes: looks once for each worker and location
    /// whether what the worker has committed is seen here.
    async fn check_location(
        &self,
        query: &SpooledQuery,
        winner: &Winner,
    ) -> Result<(), AttemptError> {
        let place = (winner.node.incarnation.as_u64(), winner.record.location.clone());
        if self.lock().contains(&place) {
            return Ok(());
        }
        let attempt = &winner.record.attempt;
        match self.spool.committed(&query.seal, attempt, &place.1).await {
            Ok(Some(_)) => {
                self.lock().insert(place);
                Ok(())
            }
            Ok(None) => {
                let text = format!(
                    "What worker {} wrote to '{}' is not there on the coordinator: \
                     exchange.base-directories must name the same storage on all nodes",
                    winner.node.node_id, place.1
                );
                tracing::warn!("{text}");
                Err(AttemptError::misplaced(text))
            }
            Err(error) => {
                Err(AttemptError::misplaced(format!("The exchange manager cannot go on: {error}")))
            }
        }
    }

    /// A query may leave so much in the spool, and not more (`query.max-spool-size`).
    fn check_size(&self, query: &SpooledQuery) -> Result<(), AttemptError> {
        let (limit, spooled) = (self.retry.max_spool_bytes, query.spooled_bytes());
        if spooled <= limit {
            return Ok(());
        }
        let text = format!(
            "Query exceeded the spool limit of {limit} bytes (query.max-spool-size): its tasks have \
             spooled {spooled} bytes"
        );
        // It would be no less at another attempt.
        let failure = Failure::new(ErrorCode::EXCEEDED_SPILL_LIMIT, text);
        Err(AttemptError::new(Class::User, failure))
    }

    /// The location must be looked at anew: an output that lay there is lost.
    pub(super) fn doubt_location(&self, winner: &Winner) {
        self.lock().remove(&(winner.node.incarnation.as_u64(), winner.record.location.clone()));
    }

    /// A worker has not found its inputs, or found them damaged. They are looked for here before
    /// they are made again: perhaps it is the worker's own storage that is not as it should be.
    async fn verify_loss(&self, query: &SpooledQuery, error: AttemptError) -> AttemptError {
        // Many readers may complain of one output: the first one's loss is known to the others.
        let mut known = query.known_lost.lock().await;
        for attempt in &error.failure.lost {
            if known.contains(attempt) {
                return error;
            }
            let winner = query.task_key(attempt).and_then(|task| query.winner(task));
            // It may have been condemned by another reader meanwhile.
            let Some(winner) = winner.filter(|winner| winner.record.attempt == *attempt) else {
                return error;
            };
            self.doubt_location(&winner);
            let (spool, seal) = (self.spool.clone(), query.seal.clone());
            let whole = self.cpu.spawn(async move { spool.verify(&seal, &winner.record).await });
            match AbortOnDropHandle::new(whole).await {
                Ok(Ok(())) => {}
                // It is as the worker says, or nobody can tell.
                Ok(Err(_)) | Err(_) => {
                    known.insert(attempt.clone());
                    return error;
                }
            }
        }
        let mut failure = error.failure.clone();
        failure.lost.clear();
        failure.message = format!(
            "{}: on the coordinator it is whole: the worker's storage is not as it should be",
            failure.message
        );
        AttemptError { class: Class::Internal, failure, ..error }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<(u64, String)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task of a query, as the retry layer knows it.
#[derive(Debug, Clone)]
struct SpooledTask {
    query: Arc<SpooledQuery>,
    key: TaskKey,
}

impl exchange_retry::Task for SpooledTask {
    type Node = NodeKey;
    type Committed = Winner;

    fn attempts(&self) -> &TaskAttempts<NodeKey, Winner> {
        self.query.attempts(self.key)
    }
}

impl std::fmt::Display for AttemptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.failure.fmt(f)
    }
}

impl AttemptFailure for AttemptError {
    fn class(&self) -> Class {
        self.class
    }

    fn peak_memory(&self) -> u64 {
        self.peak_memory
    }
}

impl exchange_retry::Spool<SpooledTask> for Spool {
    type Error = SpoolError;

    async fn committed(
        &self,
        task: &SpooledTask,
        attempt: Number,
    ) -> Result<Option<Winner>, SpoolError> {
        let SpooledTask { query, key } = task;
        // An attempt that was never created has written nothing.
        let (Some(location), Some(node)) =
            (query.location(*key, attempt), query.node_of(*key, attempt))
        else {
            return Ok(None);
        };
        let id = query.task_id(*key).attempt(attempt);
        let record = Spool::committed(self, &query.seal, &id, &location).await?;
        if let Some(record) = &record {
            query.count_adopted(*key, record);
        }
        Ok(record.map(|record| Winner { record: Arc::new(record), node }))
    }
}

/// Starts a call; its end is told to the driver, unless it is aborted before.
pub(super) fn spawn(
    calls: &Calls,
    driver: Driver,
    query: Arc<SpooledQuery>,
    key: TaskKey,
    call: u32,
    condemned: Vec<u32>,
) -> AbortHandle {
    let own = calls.clone();
    let running = async move {
        let _panic = TellOfPanic { driver: driver.clone(), task: key, call };
        let (calls, places) = (own.clone(), driver.clone());
        let attempts = service_fn(move |attempt: Attempt<SpooledTask>| {
            let (calls, driver) = (calls.clone(), places.clone());
            async move { place_and_run(&calls, &driver, attempt).await }
        });
        let layer = ExchangeRetryLayer::new(own.spool.clone());
        let stack = ServiceBuilder::new().layer(layer).service(attempts);
        let task = SpooledTask { query: Arc::clone(&query), key };
        let message = match stack.oneshot(Call { task, condemned }).await {
            Ok(exchange_retry::Winner { committed: winner, .. }) => {
                Message::Committed { task: key, call, winner }
            }
            Err(Error::InputLost { source, .. }) if call >= MOST_CALLS => {
                let failure = source.failure;
                Message::Failed { task: key, call, failure }
            }
            Err(Error::InputLost { source, .. }) => {
                let lost = source.failure.lost.iter();
                let lost = lost
                    .filter_map(|attempt| Some(query.task_key(attempt)?.attempt(attempt.number)));
                let lost = lost.collect();
                Message::Happened(Event::TaskInputLost { task: key, call, lost })
            }
            Err(error) => Message::Failed { task: key, call, failure: failure_of(error) },
        };
        driver.tell(message);
    };
    calls.endings.spawn(running, &calls.io).abort_handle()
}

/// A call that ends without a word would hold its query up for ever.
struct TellOfPanic {
    driver: Driver,
    task: TaskKey,
    call: u32,
}

impl Drop for TellOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "running a task stopped with a panic; the coordinator's log has it";
            let failure = Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text);
            self.driver.tell(Message::Failed { task: self.task, call: self.call, failure });
        }
    }
}

async fn place_and_run(
    calls: &Calls,
    driver: &Driver,
    attempt: Attempt<SpooledTask>,
) -> Result<Winner, AttemptError> {
    let Attempt { task: SpooledTask { query, key }, number, memory, avoid, hedge, placed } =
        attempt;
    let place = driver.place(key.attempt(number), memory, avoid, hedge).await;
    let Some(place) = place else { return Err(AttemptError::input_missing()) };
    placed.on(place.key);
    let ran = async {
        let winner = attempt::run(calls, driver, &query, key, number, place).await?;
        calls.check_location(&query, &winner).await?;
        Ok::<_, AttemptError>(winner)
    };
    match ran.await {
        Ok(winner) => {
            calls.check_size(&query)?;
            Ok(winner)
        }
        Err(error) if !error.failure.lost.is_empty() => Err(calls.verify_loss(&query, error).await),
        Err(error) => {
            if matches!(error.class, Class::Internal | Class::External) {
                query.avoid_location_of(key, number);
            }
            Err(error)
        }
    }
}

/// What the client is told of a task that was given up.
fn failure_of(error: Error<AttemptError>) -> Failure {
    match error {
        Error::GaveUp { last: Some(last), earlier, .. } => {
            for before in earlier {
                tracing::info!(attempt = before.attempt, failure = %before.error, "failed before");
            }
            last.failure
        }
        Error::NotReady(last) => last.failure,
        error => Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string()),
    }
}
