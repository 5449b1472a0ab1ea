//! What can go wrong with spooled data.

use std::io;

/// Bytes that are not what an attempt wrote: another attempt's, another version's, or damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The object is not one of a spool.
    #[error("it is no object of a spool")]
    NotASpool,
    /// The object was written by a build with another format.
    #[error("it has version {found} of the spool's format, and this build reads version {known}")]
    Version {
        /// The version in the object.
        found: u8,
        /// The version of this build.
        known: u8,
    },
    /// It ends before it should.
    #[error("it ends after {bytes} bytes, within frame {frame}")]
    Truncated {
        /// Bytes that there are of it.
        bytes: u64,
        /// The frame, counted from the object's start, that is not whole.
        frame: u64,
    },
    /// A frame does not carry its seal: bytes were changed, or it is another attempt's.
    #[error("frame {frame} is not what was written")]
    Seal {
        /// The frame, counted from the object's start.
        frame: u64,
    },
    /// A record that opens but does not make sense.
    #[error("its record is malformed: {0}")]
    Record(String),
}

/// Why storage did not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// The object is there already, and objects are written once.
    Exists,
    /// There is no space left.
    NoSpace,
    /// This process may not do that.
    Denied,
    /// Anything else; trying again may help.
    Other,
}

/// A request to storage that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what} in {location}: {reason}")]
pub struct StoreError {
    /// Why, for decisions.
    pub kind: StoreErrorKind,
    /// The base directory, as it is configured.
    pub location: String,
    /// What was tried: `write q/0.1.0/data`.
    pub what: String,
    /// Why, in the words of the storage.
    pub reason: String,
}

impl StoreErrorKind {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            _ => Self::Other,
        }
    }
}

/// Why spooled data cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data is damaged.
    #[error("{object} is damaged: {error}")]
    Damaged {
        /// The object's location and key.
        object: String,
        /// What is wrong with it.
        error: FormatError,
    },
    /// The location is not one of this node's.
    #[error(
        "'{location}' is not among this node's exchange.base-directories ({known}): they must be \
         the same on all nodes"
    )]
    UnknownLocation {
        /// The location asked for.
        location: String,
        /// Those that there are.
        known: String,
    },
}

impl SpoolError {
    /// True when the data itself is gone or wrong: only its producer can make it again.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Store(error) => error.kind == StoreErrorKind::NotFound,
            Self::UnknownLocation { .. } => false,
        }
    }
}
