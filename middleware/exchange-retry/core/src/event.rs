//! What happened, and what is to be done about it.

use std::fmt;
use std::time::Duration;

/// An attempt's number within its task, from zero. A number is never given out twice.
pub type Number = u32;

/// What happened to a task. Events may come late, twice or out of order: one about an attempt that
/// is not live (any more) changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<N> {
    /// The task's output is wanted, the first time or again. While a call is open, another one
    /// only condemns: the open one will be answered, once.
    Called {
        /// Attempts whose output was found damaged or missing. They never win (again).
        condemned: Vec<Number>,
    },
    /// The place that the attempt wanted is granted: it runs.
    Placed {
        /// The attempt.
        attempt: Number,
        /// Where it runs.
        node: N,
    },
    /// The attempt says that its output is durable.
    Committed {
        /// The attempt.
        attempt: Number,
    },
    /// The attempt has ended without output.
    Failed {
        /// The attempt.
        attempt: Number,
        /// What kind of failure it was.
        class: Class,
        /// The most memory that it was seen to hold, in bytes; 0 if unknown.
        peak_memory: u64,
    },
    /// The answer to [`Action::AskSpool`].
    SpoolAnswered {
        /// The attempt that the spool was asked for.
        attempt: Number,
        /// Whether its output is there, committed. None: the spool could not be asked.
        committed: Option<bool>,
    },
    /// The attempt is slower than others like it: the caller wants a hedge beside it.
    Straggling {
        /// The attempt.
        attempt: Number,
    },
    /// The moment of [`Action::WakeAt`] is here. Early, late and needless ones do no harm.
    TimeCame,
    /// Nobody waits for the open call's answer any more: what it ran is gone, and it has no answer.
    /// A later call goes on with the next number.
    Dropped,
    /// The output is wanted no more, for ever.
    Cancelled,
}

/// Kinds of failure: what each one costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The task itself is wrong (a division by zero): would fail anywhere. Ends the task.
    User,
    /// A fault of the machinery. Counts; the next attempt waits and goes elsewhere.
    Internal,
    /// A fault of something outside (a storage). Counts; the next attempt waits and goes elsewhere.
    External,
    /// Out of memory. Counts; the next attempt comes at once and asks for more.
    InsufficientResources,
    /// An end without an answer: the node's port refuses, another process answers there, it is
    /// silent past its lease. The spool is asked; then the next attempt comes at once, elsewhere.
    /// Counts only once the task has lost more than [`Limits::losses_free`](crate::Limits) nodes.
    NodeLost,
    /// What the attempt reads is damaged or gone. Ends the call, counts nothing: the caller
    /// repairs the input and calls again.
    InputLost,
    /// The worker ended it through no fault of the task: nobody asked for it any more, or the node
    /// is to be emptied. Counts nothing; the next attempt comes at once.
    Abandoned,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<N> {
    /// Find a place for the attempt and run it. However long the place takes: then
    /// [`Event::Placed`].
    Want {
        /// The attempt, new.
        attempt: Number,
        /// How much memory it may use, in bytes.
        memory: u64,
        /// Nodes that served this task badly, the worst last. A wish, not a ban: where no other
        /// node is left, these are good enough.
        avoid: Vec<N>,
        /// Whether it is a hedge: to be placed only where no first attempt waits.
        hedge: bool,
    },
    /// The attempt wants a place no more.
    Withdraw {
        /// The attempt.
        attempt: Number,
    },
    /// Stop the attempt and everything that is done for it; free its place. Harmless if it is gone.
    Abort {
        /// The attempt.
        attempt: Number,
    },
    /// Look whether the attempt's output is committed; then [`Event::SpoolAnswered`].
    AskSpool {
        /// The attempt.
        attempt: Number,
    },
    /// Send [`Event::TimeCame`] at this moment, on the clock of `now`. Replaces any earlier one:
    /// a caller needs one timer.
    WakeAt(Duration),
    /// The call's end.
    Answer(Outcome),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The output is there.
    Committed {
        /// The winner: the one attempt whose output is to be read.
        attempt: Number,
    },
    /// What the attempt reads is damaged or gone. Repair it and call again.
    InputLost {
        /// The attempt that found it.
        attempt: Number,
    },
    /// The task has failed; a later call gets the same answer.
    GaveUp {
        /// The attempt that ended last.
        attempt: Number,
        /// Why there is no other one.
        why: GaveUp,
    },
    /// The task was cancelled.
    Cancelled,
}

/// Why a task is not run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// It would fail again: [`Class::User`].
    UserError,
    /// It has failed as often as it may.
    AttemptsExhausted,
    /// It ran out of memory with all that there is.
    OutOfMemory,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserError => "it would fail again",
            Self::AttemptsExhausted => "its attempts are exhausted",
            Self::OutOfMemory => "no node has the memory that it needs",
        })
    }
}
