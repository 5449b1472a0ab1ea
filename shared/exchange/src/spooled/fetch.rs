//! Pages out of the spool, for [`crate::ExchangeReader`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::buffer::Buffer;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;
use waterbear_ids::AttemptId;
use waterbear_protocol::spool::{CommittedRecord, QueryKey};
use waterbear_protocol::task::TaskSpool;
use waterbear_spool::{RangeReader, Spool, SpoolError};

use crate::fetch::{Answer, Fetch, FetchError, Fetched, PageRequest, Source};

/// Reads committed outputs.
#[derive(Debug)]
pub struct SpoolFetch {
    spool: Spool,
    key: QueryKey,
    outputs: HashMap<AttemptId, Output>,
    /// Where each source stands between two questions.
    cursors: Mutex<HashMap<(AttemptId, u32), Cursor>>,
    reads: SpoolReads,
}

/// Counts reads. Clones are the same counters.
#[derive(Debug, Clone, Default)]
pub struct SpoolReads {
    /// Requests to storage.
    pub requests: Arc<AtomicU64>,
    /// Reads of what this process had in memory.
    pub memory: Arc<AtomicU64>,
}

/// What a producer has committed, as far as it is read here.
#[derive(Debug)]
struct Output {
    record: CommittedRecord,
    /// Partitions whose rows are not known from the request: they lie in the stored record.
    in_record: Vec<u32>,
    /// The stored record's rows of these partitions, read once for all of them.
    stored: OnceCell<CommittedRecord>,
}

impl Output {
    fn new(record: CommittedRecord, in_record: Vec<u32>) -> (AttemptId, Self) {
        (record.attempt.clone(), Self { record, in_record, stored: OnceCell::new() })
    }
}

#[derive(Debug)]
struct Cursor {
    /// The number of the page that comes next.
    token: u64,
    reader: RangeReader,
}

impl SpoolFetch {
    /// Reads these outputs; `requests` counts what is asked of storage.
    pub fn new(
        spool: Spool,
        key: QueryKey,
        outputs: Vec<CommittedRecord>,
        requests: Arc<AtomicU64>,
    ) -> Self {
        let outputs = outputs.into_iter().map(|record| Output::new(record, Vec::new())).collect();
        let reads = SpoolReads { requests, memory: Arc::default() };
        Self { spool, key, outputs, cursors: Mutex::default(), reads }
    }

    /// Reads the inputs of a task.
    pub fn for_task(spool: Spool, task: TaskSpool, reads: SpoolReads) -> Self {
        let mut in_records: HashMap<_, _> =
            task.in_records.into_iter().map(|own| (own.input, own.partitions)).collect();
        let outputs = (0..).zip(task.inputs).map(|(input, record)| {
            Output::new(record, in_records.remove(&input).unwrap_or_default())
        });
        let (key, outputs) = (task.key, outputs.collect());
        Self { spool, key, outputs, cursors: Mutex::default(), reads }
    }

    fn cursors(&self) -> MutexGuard<'_, HashMap<(AttemptId, u32), Cursor>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source's cursor at the token; pages before it are read again if it stands elsewhere.
    async fn cursor(
        &self,
        source: &Source,
        request: PageRequest,
        memory_first: bool,
    ) -> Result<Cursor, FetchError> {
        let PageRequest { token, max_bytes, .. } = request;
        let attempt = &source.producer.attempt;
        let kept = self.cursors().remove(&(attempt.clone(), source.partition));
        if let Some(cursor) = kept
            && cursor.token == token
        {
            return Ok(cursor);
        }
        let output = self.outputs.get(attempt).ok_or_else(|| {
            FetchError::Refused(format!("the task's request does not say where {attempt} is"))
        })?;
        let record = match output.in_record.contains(&source.partition) {
            true => output.stored.get_or_try_init(|| self.stored(output)).await?,
            false => &output.record,
        };
        let spool = self.spool.clone();
        let reader = RangeReader::new(spool, &self.key, record, source.partition, max_bytes);
        let reader = reader.map_err(|error| failed(&error))?;
        let reader = if memory_first { reader } else { reader.of_storage_alone() };
        let mut cursor = Cursor { token: 0, reader };
        while cursor.token < token {
            self.next(&mut cursor)
                .await?
                .ok_or_else(|| FetchError::Malformed(format!("it has no page {}", cursor.token)))?;
        }
        Ok(cursor)
    }

    async fn stored(&self, output: &Output) -> Result<CommittedRecord, FetchError> {
        let CommittedRecord { attempt, location, .. } = &output.record;
        self.reads.requests.fetch_add(1, Ordering::Relaxed);
        let stored = self.spool.committed(&self.key, attempt, location).await;
        let stored = stored.map_err(|error| failed(&error))?.ok_or_else(|| {
            FetchError::Lost(format!("the record of {attempt} is gone from {location}, or damaged"))
        })?;
        Ok(stored.only(|partition| output.in_record.contains(&partition)))
    }

    async fn next(&self, cursor: &mut Cursor) -> Result<Option<Buffer>, FetchError> {
        let figures = |reader: &RangeReader| (reader.read_requests(), reader.memory_reads());
        let before = figures(&cursor.reader);
        let page = cursor.reader.next_page().await;
        let after = figures(&cursor.reader);
        self.reads.requests.fetch_add(after.0 - before.0, Ordering::Relaxed);
        self.reads.memory.fetch_add(after.1 - before.1, Ordering::Relaxed);
        let page = page.map_err(|error| failed(&error))?;
        cursor.token += u64::from(page.is_some());
        // Decoding asks for alignment.
        Ok(page.map(|page| Buffer::from(&page[..])))
    }

    async fn read(
        &self,
        source: &Source,
        request: PageRequest,
        memory_first: bool,
    ) -> Result<Answer, FetchError> {
        let mut cursor = self.cursor(source, request, memory_first).await?;
        let (mut pages, mut bytes, mut complete) = (Vec::new(), 0, false);
        let mut failed = None;
        while bytes < request.max_bytes {
            match self.next(&mut cursor).await {
                Ok(Some(page)) => {
                    bytes += page.len();
                    pages.push(Fetched::Page(page));
                }
                Ok(None) => {
                    complete = true;
                    break;
                }
                Err(error @ FetchError::Storage(_)) => {
                    failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let next_token = cursor.token;
        if !complete {
            let source = (source.producer.attempt.clone(), source.partition);
            self.cursors().insert(source, cursor);
        }
        match failed {
            // What came before is handed on; the next question is for the same page.
            Some(error) if pages.is_empty() => Err(error),
            _ => Ok(Answer { pages, next_token, complete, wire_bytes: bytes }),
        }
    }
}

impl Fetch for SpoolFetch {
    fn pages<'a>(
        &'a self,
        source: &'a Source,
        request: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        async move {
            match self.read(source, request, true).await {
                // What was read wrong may be right in storage: once more, from the start, and
                // nothing of it from memory.
                Err(FetchError::Lost(_)) => self.read(source, request, false).await,
                answer => answer,
            }
        }
        .boxed()
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn close<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<(), FetchError>> {
        self.cursors().remove(&(source.producer.attempt.clone(), source.partition));
        async { Ok(()) }.boxed()
    }
}

fn failed(error: &SpoolError) -> FetchError {
    let text = error.to_string();
    match error {
        error if error.is_loss() => FetchError::Lost(text),
        SpoolError::Store(_) => FetchError::Storage(text),
        _ => FetchError::Refused(text),
    }
}
