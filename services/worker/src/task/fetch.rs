//! How a task asks for its inputs: a producer on this worker is asked without a network.

use std::sync::Weak;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;
use waterbear_exchange::{
    Answer, Chunks, Fetch, FetchError, Fetched, HttpFetch, PageRequest, ReadError, Source,
};

use super::Output;
use crate::Worker;
use crate::faults;

/// Asks producers on this worker for what lies in their buffers, others over HTTP.
#[derive(Debug)]
pub(super) struct NodeFetch {
    pub(super) http: HttpFetch,
    /// Tasks must not keep their worker alive.
    pub(super) worker: Weak<Worker>,
}

impl NodeFetch {
    /// This worker, if the producer is in this very process.
    fn own(&self, source: &Source) -> Option<std::sync::Arc<Worker>> {
        let (worker, node) = (self.worker.upgrade()?, &source.producer.node);
        let same =
            worker.node.node_id == node.node_id && worker.node.incarnation == node.incarnation;
        same.then_some(worker)
    }
}

impl Fetch for NodeFetch {
    fn pages<'a>(
        &'a self,
        source: &'a Source,
        request: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        match self.own(source) {
            Some(worker) => async move { read(&worker, source, request).await }.boxed(),
            None => self.http.pages(source, request),
        }
    }

    fn close<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<(), FetchError>> {
        match self.own(source) {
            Some(worker) => async move {
                let Some(task) = worker.tasks.task(&source.producer.attempt) else { return Ok(()) };
                if let Output::Ready(output) = task.output(Instant::now()).await {
                    // A reader that is not there needs no closing.
                    let _ = output.close_reader(source.partition, source.reader);
                }
                Ok(())
            }
            .boxed(),
            None => self.http.close(source),
        }
    }
}

async fn read(
    worker: &Worker,
    source: &Source,
    request: PageRequest,
) -> Result<Answer, FetchError> {
    faults::in_read(&source.producer.attempt).await?;
    let PageRequest { token, max_bytes, max_wait } = request;
    let deadline = Instant::now() + max_wait;
    let none = Answer { pages: Vec::new(), next_token: token, complete: false, wire_bytes: 0 };
    // Tasks are created in parallel: a reader may come before its producer.
    let Some(task) = worker.tasks.created(&source.producer.attempt, deadline).await else {
        return Ok(none);
    };
    let gone = |state, failure: Option<waterbear_protocol::Failure>| match failure {
        Some(failure) => FetchError::Failed(Box::new(failure)),
        None => FetchError::Dropped(format!("the task is {state:?}")),
    };
    let output = match task.output(deadline).await {
        Output::Ready(output) => output,
        Output::NotYet => return Ok(none),
        Output::Gone(state, failure) => return Err(gone(state, failure)),
    };
    let max_wait = deadline.saturating_duration_since(Instant::now());
    let (partition, reader) = (source.partition, source.reader);
    let read = output.read_in_process(partition, reader, token, max_bytes, max_wait).await;
    let Chunks { chunks, next_token, complete } = match read {
        Ok(chunks) => chunks,
        Err(error) => {
            return Err(match (error, task.output(deadline).await) {
                (ReadError::Aborted, Output::Gone(state, failure)) => gone(state, failure),
                (ReadError::Aborted | ReadError::Closed | ReadError::Acknowledged { .. }, _) => {
                    FetchError::Dropped(error.to_string())
                }
                _ => FetchError::Refused(error.to_string()),
            });
        }
    };
    let pages = chunks.into_iter().map(Fetched::from).collect();
    Ok(Answer { pages, next_token, complete, wire_bytes: 0 })
}
