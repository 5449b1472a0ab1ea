//! The rows of a query whose root is committed.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use waterbear_exchange::{ExchangeReader, Fetch, Source, SpoolFetch};
use waterbear_protocol::task::Producer;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_scheduler::{AttemptKey, Event, TaskKey};

use super::calls::Calls;
use super::driver::{Driver, Message, News};
use super::query::SpooledQuery;

/// How often the result of one query may be found lost.
const MOST_LOSSES: u32 = 100;

type Rows = BoxStream<'static, Result<RecordBatch, Failure>>;

/// Gives the rows of the root's tasks, in their order, once all of them are committed.
pub(super) struct RootRows {
    pub(super) query: Arc<SpooledQuery>,
    pub(super) news: mpsc::UnboundedReceiver<News>,
    pub(super) driver: Driver,
    pub(super) calls: Calls,
    /// Root tasks whose rows are not all given.
    pub(super) left: Vec<TaskKey>,
    /// The partitions of the first of them that are not read, and the one that is.
    pub(super) reading: Option<Reading>,
    /// Whether all of the root's tasks have been committed.
    pub(super) complete: bool,
    /// How often the result was lost.
    pub(super) lost: u32,
    /// Ends the query when it is dropped.
    pub(super) guard: super::EndOnDrop,
}

pub(super) struct Reading {
    attempt: AttemptKey,
    /// Reversed: the next one is the last.
    partitions: Vec<Rows>,
    given: bool,
}

impl RootRows {
    pub(super) fn stream(self) -> Rows {
        futures::stream::unfold(Some(self), |state| async move {
            let mut state = state?;
            match state.next().await {
                Some(Ok(batch)) => Some((Ok(batch), Some(state))),
                Some(Err(failure)) => {
                    state.guard.end();
                    Some((Err(failure), None))
                }
                None => {
                    state.guard.end();
                    None
                }
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<RecordBatch, Failure>> {
        if !self.complete {
            if let Err(failure) = self.done().await {
                return Some(Err(failure));
            }
            self.complete = true;
        }
        loop {
            let &task = self.left.last()?;
            let mut reading = match self.reading.take() {
                Some(reading) => reading,
                None => match self.committed(task).await {
                    Ok(reading) => reading,
                    Err(failure) => return Some(Err(failure)),
                },
            };
            let Some(rows) = reading.partitions.last_mut() else {
                self.left.pop();
                continue;
            };
            match rows.next().await {
                Some(Ok(batch)) => {
                    if !reading.given {
                        reading.given = true;
                        self.driver.tell(Message::Happened(Event::RowsGiven { task }));
                    }
                    self.reading = Some(reading);
                    return Some(Ok(batch));
                }
                Some(Err(failure)) if !failure.lost.is_empty() && self.lost < MOST_LOSSES => {
                    // If rows of it were given, the answer is that the query fails.
                    tracing::warn!(%failure, "the result is to be made again");
                    self.lost += 1;
                    if let Err(failure) = self.made_again(reading.attempt).await {
                        return Some(Err(failure));
                    }
                }
                Some(Err(failure)) => return Some(Err(failure)),
                None => {
                    reading.partitions.pop();
                    self.reading = Some(reading);
                }
            }
        }
    }

    /// Waits until an output that is lost has a successor.
    async fn made_again(&mut self, lost: AttemptKey) -> Result<(), Failure> {
        // What was said before this loss says nothing of its successor.
        while let Ok(news) = self.news.try_recv() {
            if let News::Failed(failure) = news {
                return Err(failure);
            }
        }
        if let Some(winner) = self.query.winner(lost.task) {
            self.calls.doubt_location(&winner);
        }
        self.driver.tell(Message::Happened(Event::OutputLost { lost }));
        self.done().await
    }

    /// Waits until all root tasks are committed.
    pub(super) async fn done(&mut self) -> Result<(), Failure> {
        match self.news.recv().await {
            Some(News::Done) => Ok(()),
            Some(News::Failed(failure)) => Err(failure),
            None => {
                let text = "the query's scheduler has ended";
                Err(Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, text))
            }
        }
    }

    async fn committed(&mut self, task: TaskKey) -> Result<Reading, Failure> {
        let winner = loop {
            match self.query.winner(task) {
                Some(winner) => break winner,
                None => self.done().await?,
            }
        };
        let root = self.query.root();
        let schema = root.tasks[0].schema();
        let attempt = task.attempt(winner.record.attempt.number);
        let fetch: Arc<dyn Fetch> = Arc::new(SpoolFetch::new(
            self.calls.spool.clone(),
            self.query.seal.clone(),
            vec![winner.record.as_ref().clone()],
            Arc::default(),
        ));
        let producer = Producer { attempt: winner.record.attempt.clone(), node: winner.node };
        let producer = Arc::new(producer);
        let partitions = (0..root.partitions).rev().map(|partition| {
            let source = Source { producer: Arc::clone(&producer), partition, reader: 0 };
            self.read(Arc::clone(&fetch), source, Arc::clone(&schema))
        });
        Ok(Reading { attempt, partitions: partitions.collect(), given: false })
    }

    /// Opened only when it is asked for rows.
    fn read(&self, fetch: Arc<dyn Fetch>, source: Source, schema: SchemaRef) -> Rows {
        let options = self.calls.reader.clone();
        let open = async move {
            ExchangeReader::over(fetch, vec![source], schema, &options)
                .map(|batch| batch.map_err(Failure::from))
        };
        futures::stream::once(open).flatten().boxed()
    }
}
