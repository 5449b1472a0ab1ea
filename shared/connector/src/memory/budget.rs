//! How much memory all rows of a catalog take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch};
use waterbear_protocol::{ErrorCode, Failure};

use crate::connector::ConnectorError;

/// A limit, and what of it is taken.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Rows that count against the budget for as long as anybody has them.
#[derive(Debug)]
pub(super) struct Part {
    /// The table's columns at the time of the write; columns added since are missing at the end.
    pub columns: Vec<ArrayRef>,
    rows: usize,
    bytes: u64,
    budget: Arc<Budget>,
}

impl Part {
    /// Takes the memory for a batch.
    ///
    /// # Errors
    /// Trino's message when there is not enough left.
    pub(super) fn hold(budget: &Arc<Budget>, batch: &RecordBatch) -> Result<Self, ConnectorError> {
        let bytes = batch.get_array_memory_size() as u64;
        let used = budget.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        // From here on dropping it gives the bytes back.
        let part = Self {
            columns: batch.columns().to_vec(),
            rows: batch.num_rows(),
            bytes,
            budget: Arc::clone(budget),
        };
        if used > budget.limit {
            let limit = budget.limit;
            let message = format!("Memory limit [{limit}] for memory connector exceeded");
            return Err(Failure::new(ErrorCode::EXCEEDED_LOCAL_MEMORY_LIMIT, message).into());
        }
        Ok(part)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
