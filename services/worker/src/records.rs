//! What tasks have committed, for as long as their coordinators may ask for it.
//!
//! A record has up to 64 KiB of rows and an index, and a worker ends thousands of tasks in the time
//! for which it keeps their statuses. So a record goes soon after it was told. A coordinator that
//! has not heard the answer, or asks too late, is told that the task is not known here any more: it
//! reads the record in the spool then, as it does for an attempt of a worker that died.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use waterbear_protocol::spool::{CommittedRecord, InlinePage, Range};

/// How long a record is kept when it was told: the answer may have been lost.
const KEPT_TOLD: Duration = Duration::from_secs(10);
/// How long one is kept that nobody has asked for.
const KEPT_UNTOLD: Duration = Duration::from_secs(60);
/// Bytes of all records that are kept, about. The oldest go first.
const KEPT_BYTES: usize = 32 << 20;

/// What one task has committed.
#[derive(Debug, Default)]
pub(crate) struct Committed(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// Nothing, so far.
    #[default]
    Nothing,
    Kept {
        record: Arc<CommittedRecord>,
        told: Option<Instant>,
    },
    Dropped,
}

impl Committed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task has committed this.
    pub(crate) fn set(&self, record: CommittedRecord) {
        *self.lock() = State::Kept { record: Arc::new(record), told: None };
    }

    /// The record, while it is kept.
    pub(crate) fn record(&self) -> Option<Arc<CommittedRecord>> {
        match &*self.lock() {
            State::Kept { record, .. } => Some(Arc::clone(record)),
            State::Nothing | State::Dropped => None,
        }
    }

    /// True when there was a record that is not kept any more.
    pub(crate) fn is_dropped(&self) -> bool {
        matches!(*self.lock(), State::Dropped)
    }

    /// The coordinator is being told of it.
    pub(crate) fn tell(&self) {
        if let State::Kept { told, .. } = &mut *self.lock() {
            told.get_or_insert_with(Instant::now);
        }
    }

    /// Drops the record, if there is one.
    pub(crate) fn drop_record(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Kept { .. }) {
            *state = State::Dropped;
        }
    }

    /// True when it was told for long, or is not kept at all.
    fn is_old(&self) -> bool {
        match &*self.lock() {
            State::Kept { told, .. } => told.is_some_and(|told| told.elapsed() > KEPT_TOLD),
            State::Nothing | State::Dropped => true,
        }
    }
}

/// The records of all tasks that are finished, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Records {
    kept: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    committed: Arc<Committed>,
    since: Instant,
    bytes: usize,
}

impl Records {
    /// Keeps what a task has committed, if it has.
    pub(crate) fn keep(&mut self, committed: &Arc<Committed>) {
        let Some(record) = committed.record() else { return };
        let entry = Entry {
            committed: Arc::clone(committed),
            since: Instant::now(),
            bytes: held_bytes(&record),
        };
        self.bytes += entry.bytes;
        self.kept.push_back(entry);
        while self.bytes > KEPT_BYTES
            && let Some(entry) = self.kept.pop_front()
        {
            self.bytes -= entry.bytes;
            entry.committed.drop_record();
        }
    }

    /// Drops those that were told, or waited to be told, for long.
    pub(crate) fn forget_old(&mut self) {
        self.kept.retain(|entry| {
            let old = entry.committed.is_old() || entry.since.elapsed() > KEPT_UNTOLD;
            if old {
                self.bytes -= entry.bytes;
                entry.committed.drop_record();
            }
            !old
        });
    }
}

/// What a record takes in memory, about.
fn held_bytes(record: &CommittedRecord) -> usize {
    let pages = record.inline.iter().map(|page| size_of::<InlinePage>() + page.page.len());
    let ranges = record.ranges.len() * size_of::<Range>();
    size_of::<CommittedRecord>() + pages.sum::<usize>() + ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with so many bytes of rows.
    fn committed(bytes: usize) -> Arc<Committed> {
        let page = InlinePage { partition: 0, rows: 1, page: vec![0; bytes].into() };
        let committed = Arc::new(Committed::default());
        committed.set(CommittedRecord {
            attempt: "q.1.2.3".parse().unwrap(),
            location: "/spool".to_owned(),
            header: Default::default(),
            data_bytes: 0,
            partitions: 1,
            rows: 1,
            ranges: Vec::new(),
            inline: vec![page],
        });
        committed
    }

    async fn seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_goes_soon_after_it_was_told_and_not_before() {
        let mut records = Records::default();
        let (told, untold) = (committed(10), committed(10));
        records.keep(&told);
        records.keep(&untold);
        seconds(30).await;
        records.forget_old();
        told.tell();
        seconds(9).await;
        // Told again: the first time counts.
        told.tell();
        records.forget_old();
        assert!(told.record().is_some() && untold.record().is_some());
        seconds(2).await;
        records.forget_old();
        assert!(told.record().is_none() && told.is_dropped());
        assert!(untold.record().is_some() && !untold.is_dropped());
        seconds(30).await;
        records.forget_old();
        assert!(untold.is_dropped());
        assert_eq!((records.bytes, records.kept.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn all_records_together_are_bounded_and_the_oldest_go_first() {
        let mut records = Records::default();
        let all: Vec<_> = (0..1000).map(|_| committed(64 << 10)).collect();
        for committed in &all {
            records.keep(committed);
            assert!(records.bytes <= KEPT_BYTES);
        }
        let kept = all.iter().filter(|committed| committed.record().is_some()).count();
        assert_eq!(kept, records.kept.len());
        assert!((500..512).contains(&kept), "{kept} of 64 KiB");
        assert!(all[..1000 - kept].iter().all(|committed| committed.is_dropped()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_a_record_has_none_to_drop() {
        let (mut records, none) = (Records::default(), Arc::new(Committed::default()));
        records.keep(&none);
        none.tell();
        none.drop_record();
        assert!(records.kept.is_empty() && !none.is_dropped());
    }
}
