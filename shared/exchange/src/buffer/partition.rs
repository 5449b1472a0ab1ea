//! One partition: a queue of pages and a cursor per reader.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Chunk, Chunks, ReadError, Totals};

#[derive(Debug)]
pub(super) struct Partition {
    limit: usize,
    state: Mutex<State>,
    /// Wakes readers that wait for pages.
    readers: Notify,
    /// Wakes the one writer: there is room, or a reader waits.
    writer: Notify,
    /// No page is wanted any more.
    closed: CancellationToken,
    /// All readers read in this process.
    in_process: AtomicBool,
    totals: Arc<Totals>,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Chunk>,
    /// The token of the first of `chunks`.
    first: u64,
    bytes: usize,
    finished: bool,
    aborted: bool,
    drained: bool,
    /// How many readers wait for a page.
    waiting: usize,
    readers: Vec<Reader>,
}

/// Where a reader stands: it may ask for `token` again, or for `next`.
#[derive(Debug, Clone, Copy, Default)]
struct Reader {
    token: u64,
    next: u64,
    /// The last answer said that no page follows.
    told_complete: bool,
    /// The reader has shown that it heard so.
    complete: bool,
    closed: bool,
    /// It reads in this process.
    in_process: bool,
}

impl Partition {
    pub(super) fn new(readers: u32, limit: usize, totals: Arc<Totals>) -> Self {
        let state = State {
            chunks: VecDeque::new(),
            first: 0,
            bytes: 0,
            finished: false,
            aborted: false,
            drained: false,
            waiting: 0,
            readers: vec![Reader::default(); readers as usize],
        };
        Self {
            limit,
            state: Mutex::new(state),
            readers: Notify::new(),
            writer: Notify::new(),
            closed: CancellationToken::new(),
            in_process: AtomicBool::new(false),
            totals,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- the writer's side

    /// Cancelled when nobody wants pages of this partition any more.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// True once every reader reads in this process.
    pub(super) fn is_in_process(&self) -> bool {
        self.in_process.load(Ordering::Acquire)
    }

    /// Appends a chunk as soon as there is room; false when it is not wanted.
    pub(super) async fn append(&self, chunk: Chunk) -> bool {
        let bytes = chunk.bytes();
        loop {
            {
                let mut state = self.lock();
                if self.closed.is_cancelled() {
                    return false;
                }
                if state.chunks.is_empty() || state.bytes + bytes <= self.limit {
                    state.bytes += bytes;
                    self.totals.rows.fetch_add(chunk.rows() as u64, Ordering::Relaxed);
                    self.totals.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                    self.totals.hold(bytes);
                    state.chunks.push_back(chunk);
                    break;
                }
            }
            tokio::select! {
                () = self.writer.notified() => {}
                () = self.closed.cancelled() => {}
            }
        }
        self.readers.notify_waiters();
        true
    }

    /// Waits until a reader waits for a page.
    pub(super) async fn starving(&self) {
        while self.lock().waiting == 0 {
            self.writer.notified().await;
        }
    }

    /// No page follows.
    pub(super) fn finish(&self) {
        self.lock().finished = true;
        self.readers.notify_waiters();
    }

    // --- the readers' side

    /// Notes that a reader reads in this process.
    pub(super) fn in_process(&self, reader: usize) {
        if self.is_in_process() {
            return;
        }
        let mut state = self.lock();
        if let Some(cursor) = state.readers.get_mut(reader) {
            cursor.in_process = true;
        }
        let all = state.readers.iter().all(|reader| reader.in_process);
        self.in_process.store(all, Ordering::Release);
    }

    pub(super) async fn read(
        &self,
        reader: usize,
        token: u64,
        max_bytes: usize,
        max_wait: Duration,
    ) -> Result<Chunks, ReadError> {
        let deadline = Instant::now() + max_wait;
        let mut waiting = None;
        loop {
            let mut woken = pin!(self.readers.notified());
            // From here on no wake-up is missed.
            woken.as_mut().enable();
            if let Some(pages) = self.available(reader, token, max_bytes)? {
                return Ok(pages);
            }
            waiting.get_or_insert_with(|| Waiting::new(self));
            if tokio::time::timeout_at(deadline, woken).await.is_err() {
                let last = self.available(reader, token, max_bytes)?;
                let none = Chunks { chunks: Vec::new(), next_token: token, complete: false };
                return Ok(last.unwrap_or(none));
            }
        }
    }

    fn available(
        &self,
        reader: usize,
        token: u64,
        max_bytes: usize,
    ) -> Result<Option<Chunks>, ReadError> {
        let mut state = self.lock();
        if state.aborted {
            return Err(ReadError::Aborted);
        }
        let Some(cursor) = state.readers.get_mut(reader) else {
            return Err(ReadError::UnknownReader);
        };
        if cursor.closed {
            return Err(ReadError::Closed);
        }
        let (acknowledged, next) = (cursor.token, cursor.next);
        let again = token == acknowledged && next > token;
        if token == next && next > acknowledged {
            cursor.token = token;
            cursor.complete = cursor.told_complete;
            self.release(&mut state);
        } else if token < acknowledged {
            return Err(ReadError::Acknowledged { token, acknowledged });
        } else if token != next && !again {
            return Err(ReadError::UnknownToken { token, next });
        }
        let next = if again { next } else { state.token_after(token, max_bytes) };
        if next == token && !state.finished {
            return Ok(None);
        }
        let chunks = state.chunks_between(token, next);
        if let Some(cursor) = state.readers.get_mut(reader) {
            cursor.next = next;
            cursor.told_complete = chunks.complete;
        }
        Ok(Some(chunks))
    }

    pub(super) fn close_reader(&self, reader: usize) -> Result<(), ReadError> {
        let mut state = self.lock();
        let Some(cursor) = state.readers.get_mut(reader) else {
            return Err(ReadError::UnknownReader);
        };
        cursor.closed = true;
        self.release(&mut state);
        drop(state);
        self.readers.notify_waiters();
        Ok(())
    }

    pub(super) fn abort(&self) {
        let mut state = self.lock();
        state.aborted = true;
        let freed = std::mem::take(&mut state.chunks);
        self.totals.release(std::mem::take(&mut state.bytes));
        drop(state);
        drop(freed);
        self.closed.cancel();
        self.readers.notify_waiters();
    }

    /// Frees what all readers have acknowledged, and notes when that is everything.
    fn release(&self, state: &mut State) {
        let end = state.end();
        let open = state.readers.iter().filter(|reader| !reader.closed);
        let wanted = open.map(|reader| reader.token).min();
        let keep_from = wanted.unwrap_or(end);
        while state.first < keep_from
            && let Some(chunk) = state.chunks.pop_front()
        {
            state.first += 1;
            state.bytes -= chunk.bytes();
            self.totals.release(chunk.bytes());
        }
        self.writer.notify_one();
        let unwanted = wanted.is_none();
        if unwanted {
            self.closed.cancel();
        }
        // A reader that has all pages may still wait to hear that they are all: it is through when
        // it closes, or asks for what follows an answer that said so.
        let drained = state.readers.iter().all(|reader| reader.closed || reader.complete);
        if drained && !std::mem::replace(&mut state.drained, true) {
            let was_open = self.totals.open.fetch_sub(1, Ordering::AcqRel);
            if was_open == 1 {
                self.totals.drained.cancel();
            }
        }
    }
}

impl State {
    /// The token after the last page.
    fn end(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    /// The token after the pages from `token` on that fit in `max_bytes`, at least one if there
    /// is one.
    fn token_after(&self, token: u64, max_bytes: usize) -> u64 {
        let skip = token.saturating_sub(self.first) as usize;
        let mut bytes = 0;
        let fits = |chunk: &&Chunk| {
            let first = bytes == 0;
            bytes += chunk.bytes();
            first || bytes <= max_bytes
        };
        token + self.chunks.iter().skip(skip).take_while(fits).count() as u64
    }

    fn chunks_between(&self, token: u64, next: u64) -> Chunks {
        let skip = token.saturating_sub(self.first) as usize;
        let chunks = self.chunks.iter().skip(skip).take((next - token) as usize);
        Chunks {
            chunks: chunks.cloned().collect(),
            next_token: next,
            complete: self.finished && next == self.end(),
        }
    }
}

/// Counts a waiting reader for as long as it lives, and tells the writer that there is one.
struct Waiting<'a>(&'a Partition);

impl<'a> Waiting<'a> {
    fn new(partition: &'a Partition) -> Self {
        partition.lock().waiting += 1;
        partition.writer.notify_one();
        Self(partition)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}
