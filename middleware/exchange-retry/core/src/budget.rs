//! What a task has cost, and what that leaves to its next attempt.

use crate::live::Live;
use crate::{Class, GaveUp, Limits};

#[derive(Debug, Clone)]
pub(crate) struct Budget<N> {
    /// Failures that count.
    pub(crate) failures: u32,
    /// Nodes that were lost under the task.
    pub(crate) losses: u32,
    /// Nodes that served it badly, the last one last.
    pub(crate) avoid: Vec<N>,
    limits: Limits,
    /// What the next attempt asks for, in bytes.
    memory: u64,
    /// Whether it has failed for want of memory.
    hungry: bool,
    /// Whether it did so with all that there is.
    starved: bool,
}

impl<N: Clone + Eq> Budget<N> {
    pub(crate) fn new(limits: Limits) -> Self {
        let memory = limits.memory.initial.min(limits.memory.whole_node);
        let (failures, losses) = (0, 0);
        Self { failures, losses, avoid: Vec::new(), limits, memory, hungry: false, starved: false }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Charges the task with an attempt that has ended without output.
    pub(crate) fn charge(&mut self, ended: &Live<N>, class: Class, peak_memory: u64) {
        self.memory = self.memory.max(peak_memory).min(self.limits.memory.whole_node);
        let counts = match class {
            Class::User | Class::InputLost => false,
            Class::Abandoned => {
                self.avoid_node_of(ended);
                false
            }
            Class::Internal | Class::External => {
                self.avoid_node_of(ended);
                true
            }
            Class::InsufficientResources => {
                self.starved |= !ended.hedge && ended.memory >= self.limits.memory.whole_node;
                self.grow(ended.memory, peak_memory);
                true
            }
            Class::NodeLost => {
                self.avoid_node_of(ended);
                self.losses = self.losses.saturating_add(1);
                let suspect = self.losses > self.limits.losses_free;
                if suspect {
                    self.grow(ended.memory, peak_memory);
                }
                suspect
            }
        };
        // A hedge teaches where not to go and what to ask for, but costs nothing: the task did not
        // need that run, and must not have fewer chances for having had it.
        if counts && !ended.hedge {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Why there may be no other attempt, if there may not.
    pub(crate) fn spent(&self) -> Option<GaveUp> {
        if self.starved {
            // Says more than that the attempts are exhausted, where both are true.
            Some(GaveUp::OutOfMemory)
        } else if self.failures > self.limits.retries {
            Some(GaveUp::AttemptsExhausted)
        } else {
            None
        }
    }

    /// After a win. A hedge may have saved a task that had nothing left: should that output be lost,
    /// the task must be able to run once more.
    pub(crate) fn forgive(&mut self) {
        self.starved = false;
        self.failures = self.failures.min(self.limits.retries);
    }

    /// What the next attempt asks for, in bytes. The last one of a task that once wanted memory
    /// gets a whole node: there will be no other chance to grow.
    pub(crate) fn memory(&self) -> u64 {
        let last = self.failures >= self.limits.retries;
        if self.hungry && last { self.limits.memory.whole_node } else { self.memory }
    }

    fn grow(&mut self, had: u64, peak_memory: u64) {
        self.hungry = true;
        // The larger one: a failed hedge may have made the demand grow already.
        self.memory = self.memory.max(self.limits.memory.after(had, peak_memory));
    }

    fn avoid_node_of(&mut self, ended: &Live<N>) {
        if let Some(node) = &ended.node {
            self.avoid.retain(|avoided| avoided != node);
            self.avoid.push(node.clone());
        }
    }
}
