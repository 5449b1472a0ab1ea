//! Where committed outputs are.

use std::fmt;
use std::future::Future;

use attempts::Number;

use crate::Task;

/// Knows whether an attempt has committed.
pub trait Spool<T: Task>: Send + Sync + 'static {
    /// Why the spool could not be asked.
    type Error: fmt::Display + Send;

    /// Looks for the committed output of the attempt at its known place: one request, no listing.
    /// None says that it is not there; an error, that the spool could not be asked, and is asked
    /// again later. Where an answer of None could be stale, a run is wasted, but nothing is wrong.
    fn committed(
        &self,
        task: &T,
        attempt: Number,
    ) -> impl Future<Output = Result<Option<T::Committed>, Self::Error>> + Send;
}
