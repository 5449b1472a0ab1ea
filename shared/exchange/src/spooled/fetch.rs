//! Pages out of the spool, for [`crate::ExchangeReader`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::buffer::Buffer;
use futures::FutureExt;
use futures::future::BoxFuture;
use waterbear_ids::AttemptId;
use waterbear_protocol::spool::{CommittedRecord, QueryKey};
use waterbear_spool::{RangeReader, Spool, SpoolError};

use crate::fetch::{Answer, Fetch, FetchError, Fetched, PageRequest, Source};

/// Reads committed outputs.
#[derive(Debug)]
pub struct SpoolFetch {
    spool: Spool,
    key: QueryKey,
    outputs: HashMap<AttemptId, CommittedRecord>,
    /// Where each source stands between two questions.
    cursors: Mutex<HashMap<(AttemptId, u32), Cursor>>,
    requests: Arc<AtomicU64>,
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
        let outputs = outputs.into_iter().map(|record| (record.attempt.clone(), record)).collect();
        Self { spool, key, outputs, cursors: Mutex::default(), requests }
    }

    fn cursors(&self) -> MutexGuard<'_, HashMap<(AttemptId, u32), Cursor>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source's cursor at the token; pages before it are read again if it stands elsewhere.
    async fn cursor(&self, source: &Source, request: PageRequest) -> Result<Cursor, FetchError> {
        let PageRequest { token, max_bytes, .. } = request;
        let attempt = &source.producer.attempt;
        let kept = self.cursors().remove(&(attempt.clone(), source.partition));
        if let Some(cursor) = kept
            && cursor.token == token
        {
            return Ok(cursor);
        }
        let record = self.outputs.get(attempt).ok_or_else(|| {
            FetchError::Refused(format!("the task's request does not say where {attempt} is"))
        })?;
        let spool = self.spool.clone();
        let reader = RangeReader::new(spool, &self.key, record, source.partition, max_bytes);
        let mut cursor = Cursor { token: 0, reader: reader.map_err(|error| failed(&error))? };
        while cursor.token < token {
            self.next(&mut cursor)
                .await?
                .ok_or_else(|| FetchError::Malformed(format!("it has no page {}", cursor.token)))?;
        }
        Ok(cursor)
    }

    async fn next(&self, cursor: &mut Cursor) -> Result<Option<Buffer>, FetchError> {
        let before = cursor.reader.read_requests();
        let page = cursor.reader.next_page().await;
        self.requests.fetch_add(cursor.reader.read_requests() - before, Ordering::Relaxed);
        let page = page.map_err(|error| failed(&error))?;
        cursor.token += u64::from(page.is_some());
        // Decoding asks for alignment.
        Ok(page.map(|page| Buffer::from(&page[..])))
    }

    async fn read(&self, source: &Source, request: PageRequest) -> Result<Answer, FetchError> {
        let mut cursor = self.cursor(source, request).await?;
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
            match self.read(source, request).await {
                // What was read wrong may be right in storage: once more, from the start.
                Err(FetchError::Lost(_)) => self.read(source, request).await,
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
