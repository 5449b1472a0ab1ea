//! How a call fails.

use std::fmt;

use attempts::{GaveUp, Number};

/// Why a call has no winner. `E` is the inner service's error.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// What the task reads is damaged or gone. Repair it and call again: the task goes on with its
    /// next number, and nothing was counted.
    InputLost {
        /// The attempt that found it.
        attempt: Number,
        /// What it said.
        source: E,
    },
    /// The task has failed. Later calls get the same answer, without the errors.
    GaveUp {
        /// The attempt that ended last.
        attempt: Number,
        /// Why there is no other one.
        why: GaveUp,
        /// What the last one to fail in this call said.
        last: Option<E>,
        /// What the up to five before it said, oldest first.
        earlier: Vec<Failure<E>>,
    },
    /// The task was cancelled.
    Cancelled,
    /// The inner service will never be ready again.
    NotReady(E),
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failure<E> {
    /// The attempt.
    pub attempt: Number,
    /// What it said.
    pub error: E,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputLost { attempt, source } => {
                write!(f, "an input of attempt {attempt} is lost: {source}")
            }
            Self::GaveUp { attempt, why, last, .. } => {
                write!(f, "the task is given up after attempt {attempt}: {why}")?;
                last.as_ref().map_or(Ok(()), |last| write!(f, ": {last}"))
            }
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::NotReady(source) => write!(f, "the service for attempts has ended: {source}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InputLost { source, .. } | Self::NotReady(source) => Some(source),
            Self::GaveUp { last, .. } => last.as_ref().map(|last| last as _),
            Self::Cancelled => None,
        }
    }
}
