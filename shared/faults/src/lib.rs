//! Named points at which tests make a task attempt fail.
//!
//! Without the feature `faults` no point does anything, and nothing of a plan is compiled. With it,
//! the file that `WATERBEAR_FAULTS` names has a rule in each line:
//!
//! ```text
//! point=create fault=timeout stage=3 task=0 attempt=0 query=20261122_020500_00000_ab2cd
//! point=task error=internal task=0 attempt=0
//! ```
//!
//! | point | in | what can be told |
//! |---|---|---|
//! | `create` | a request to create the attempt | `fault=failure` (500), `fault=timeout` (no answer) |
//! | `status` | a request for its status | the same |
//! | `results` | a request for its pages; where inputs are spooled, a read *by* it | the same |
//! | `task` | its run, behind the first batch of output or at its end | `error=user`, `internal`, `resources`, `external` |
//!
//! What a rule does not name it has for all: a rule with `attempt=0` fails every first attempt. The
//! file may change while processes run: it counts as it is when a point is passed. Put a new one in
//! its place by renaming, so that no half of it is read. A line that is no rule is an error in the
//! log, and then the file has no rules.

#[cfg(feature = "faults")]
mod plan;

use std::fmt;

use waterbear_ids::AttemptId;
use waterbear_protocol::ErrorCode;

/// Whether the points do anything in this build.
pub const COMPILED: bool = cfg!(feature = "faults");

/// Where an attempt may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A request to create it.
    Create,
    /// A request for its status.
    Status,
    /// A request for its pages, or its own read of spooled ones.
    Results,
    /// Its run.
    Task,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Status => "status",
            Self::Results => "results",
            Self::Task => "task",
        })
    }
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request fails.
    Failure,
    /// Nobody answers it.
    Timeout,
    /// The attempt fails with this code.
    Error(ErrorCode),
}

/// What is to happen at a point that an attempt passes.
#[cfg(feature = "faults")]
pub fn at(point: Point, attempt: &AttemptId) -> Option<Fault> {
    plan::at(point, attempt)
}

/// What is to happen at a point that an attempt passes: nothing, in this build.
#[cfg(not(feature = "faults"))]
#[inline]
pub fn at(_: Point, _: &AttemptId) -> Option<Fault> {
    None
}
