//! Bounds the bytes that wait for a consumer.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::held::HeldBytes;

/// Bytes that wait, and a limit from which on no more are asked for.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
    room: Notify,
    held: HeldBytes,
}

impl Budget {
    pub(super) fn new(limit: usize, held: HeldBytes) -> Self {
        Self { limit: limit.max(1), used: AtomicUsize::new(0), room: Notify::new(), held }
    }

    /// Waits until the limit is not reached.
    pub(super) async fn room(&self) {
        loop {
            let mut freed = pin!(self.room.notified());
            freed.as_mut().enable();
            if self.used.load(Ordering::Acquire) < self.limit {
                return;
            }
            freed.await;
        }
    }

    pub(super) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        self.held.add(bytes);
    }

    pub(super) fn release(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.held.remove(bytes);
        if before >= self.limit && before - bytes < self.limit {
            self.room.notify_waiters();
        }
    }

    /// Counts what is read ahead of a source, until it is dropped.
    pub(super) fn reading(&self, bytes: usize) -> ReadAhead<'_> {
        self.held.add(bytes);
        ReadAhead { budget: self, bytes }
    }
}

/// Bytes that are read ahead, in pages that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct ReadAhead<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Drop for ReadAhead<'_> {
    fn drop(&mut self) {
        self.budget.held.remove(self.bytes);
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        // A reader that is dropped leaves pages that nobody decodes.
        self.held.remove(*self.used.get_mut());
    }
}
