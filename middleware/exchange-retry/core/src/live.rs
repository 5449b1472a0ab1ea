//! One attempt of an open call.

use std::time::Duration;

use crate::{Action, Number};

/// An attempt that may still win.
#[derive(Debug, Clone)]
pub(crate) struct Live<N> {
    pub(crate) number: Number,
    /// Whether it was started beside another one.
    pub(crate) hedge: bool,
    /// Whether it has (had) a hedge. One is enough: if that one failed too, a third place would
    /// not help, and failed hedges cost nothing that could end their row.
    pub(crate) hedged: bool,
    /// What it was given, in bytes.
    pub(crate) memory: u64,
    /// Where it runs or ran.
    pub(crate) node: Option<N>,
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Has no place yet.
    Waiting,
    /// Has its place.
    Running,
    /// Ended without an answer: the spool is asked for its output.
    Asked(Question),
}

/// The question whether an attempt has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// How often it was asked.
    pub(crate) times: u32,
    /// When it is to be asked again; none while an answer is awaited.
    pub(crate) again_at: Option<Duration>,
    /// The most memory that the attempt was seen to hold, in bytes.
    pub(crate) peak_memory: u64,
}

impl<N> Live<N> {
    /// How to be rid of it.
    pub(crate) fn dismissal(&self) -> Action<N> {
        match self.stage {
            Stage::Waiting => Action::Withdraw { attempt: self.number },
            Stage::Running | Stage::Asked(_) => Action::Abort { attempt: self.number },
        }
    }

    /// Whether it is a hedge that has no place yet.
    pub(crate) fn is_waiting_hedge(&self) -> bool {
        self.hedge && self.stage == Stage::Waiting
    }

    /// When the spool is to be asked again, if it is.
    pub(crate) fn asks_again_at(&self) -> Option<Duration> {
        match self.stage {
            Stage::Asked(question) => question.again_at,
            Stage::Waiting | Stage::Running => None,
        }
    }
}
