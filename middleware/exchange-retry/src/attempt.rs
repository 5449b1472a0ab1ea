//! What the inner service gets, and what it must say of its failures.

use std::fmt;

use attempts::{Class, Number};

use crate::Task;

/// One attempt at a task: the request to the inner service. The service finds a place for it, says
/// where ([`Attempt::placed`]), runs it and answers when its output is committed under its number.
/// Dropping the future that it answers with must stop the attempt and free its place.
#[derive(Debug)]
pub struct Attempt<T: Task> {
    /// The task.
    pub task: T,
    /// The attempt's number: its output is kept under it, apart from those of all others.
    pub number: Number,
    /// How much memory it may use, in bytes.
    pub memory: u64,
    /// Nodes that served this task badly, the worst last. A wish, not a ban.
    pub avoid: Vec<T::Node>,
    /// Whether it is a second attempt beside a slow one: to be placed only where no first attempt
    /// waits.
    pub hedge: bool,
    /// To be told when the attempt has its place.
    pub placed: Placed<T::Node>,
}

/// Takes word of the node on which an attempt is placed. An attempt of which nobody said so never
/// gets a hedge, and its node is not avoided after a failure; nothing else depends on it.
pub struct Placed<N>(Box<dyn FnOnce(N) + Send>);

impl<N> Placed<N> {
    /// Calls `told` with the node: for tests of inner services.
    pub fn new(told: impl FnOnce(N) + Send + 'static) -> Self {
        Self(Box::new(told))
    }

    /// The attempt has its place on the node.
    pub fn on(self, node: N) {
        (self.0)(node);
    }
}

impl<N> fmt::Debug for Placed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Placed")
    }
}

/// What an error of the inner service says about the attempt that ended with it.
pub trait AttemptFailure: fmt::Display {
    /// What kind of failure it is: that decides what it costs.
    fn class(&self) -> Class;

    /// The most memory that the attempt was seen to hold, in bytes; 0 if unknown.
    fn peak_memory(&self) -> u64 {
        0
    }
}

impl<E: AttemptFailure + ?Sized> AttemptFailure for Box<E> {
    fn class(&self) -> Class {
        (**self).class()
    }

    fn peak_memory(&self) -> u64 {
        (**self).peak_memory()
    }
}
