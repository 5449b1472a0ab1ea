//! What a lost output takes with it.

use std::collections::BTreeSet;

use super::{Query, State, index};
use crate::event::{Action, Failure, Reads};
use crate::keys::{AttemptKey, TaskKey};

impl Query {
    /// Condemns those of the outputs that are still winners, with what must not outlive them, and
    /// calls their producers again. Returns the tasks whose running calls it cancelled.
    ///
    /// # Errors
    ///
    /// [`Failure::RowsGone`] when the client has rows of an output that would have to be made
    /// again: then nothing is changed.
    pub(crate) fn lose(
        &mut self,
        lost: &[AttemptKey],
        out: &mut Vec<Action>,
    ) -> Result<Vec<TaskKey>, Failure> {
        let mut lost = lost.to_vec();
        lost.retain(|lost| self.winner(lost.task) == Some(lost.attempt));
        lost.sort_unstable();
        lost.dedup();
        let unfit = self.made_from(&lost);
        self.refuse_to_take_rows_back(&lost, &unfit)?;

        for lost in &lost {
            self.take_winner(lost.task);
            self.condemn(*lost);
        }
        let cancelled = self.unmake(&unfit, out);
        // Whatever is unfit has a producer without a winner: only the lost ones can be ready.
        for lost in &lost {
            self.call_if_ready(lost.task.stage as usize, lost.task.task, out);
        }
        Ok(cancelled)
    }

    /// The tasks of each stage whose rows may differ once these outputs are made again: all that
    /// is downstream of an indeterminate one. A task in between counts even if it has no winner at
    /// this moment: an earlier one may have been read.
    fn made_from(&self, lost: &[AttemptKey]) -> Vec<BTreeSet<u32>> {
        let mut unfit = vec![BTreeSet::new(); self.stages.len()];
        for stage in 0..self.stages.len() {
            let mut sources: Vec<u32> = unfit[stage].iter().copied().collect();
            if !self.stages[stage].exact {
                let here = lost.iter().filter(|lost| lost.task.stage as usize == stage);
                sources.extend(here.map(|lost| lost.task.task));
            }
            if sources.is_empty() {
                continue;
            }
            for &(consumer, input) in &self.stages[stage].readers {
                let tasks = self.stages[consumer].tasks.len() as u32;
                let gates = &self.stages[consumer].inputs[input];
                debug_assert_eq!(gates.producer, stage, "readers and inputs are one edge");
                if gates.reads == Reads::All {
                    unfit[consumer] = (0..tasks).collect();
                } else {
                    let groups = sources.iter().map(|source| gates.gate_of(*source));
                    unfit[consumer].extend(groups.filter(|group| *group < tasks));
                }
            }
        }
        unfit
    }

    fn refuse_to_take_rows_back(
        &self,
        lost: &[AttemptKey],
        unfit: &[BTreeSet<u32>],
    ) -> Result<(), Failure> {
        let root = self.stages.len() - 1;
        let given = |task: u32| self.stages[root].tasks[task as usize].rows_given;
        let of_root = |lost: &&AttemptKey| lost.task.stage as usize == root;
        let gone = (lost.iter().filter(of_root).find(|lost| given(lost.task.task))).or_else(|| {
            let indeterminate = |lost: &&AttemptKey| !self.stages[lost.task.stage as usize].exact;
            let taken_back = unfit[root].iter().any(|task| given(*task));
            lost.iter().find(|lost| taken_back && indeterminate(lost))
        });
        gone.map_or(Ok(()), |lost| Err(Failure::RowsGone { lost: *lost }))
    }

    /// Takes winners and running calls of the unfit tasks, and condemns all their attempts so far:
    /// each of them read what is gone.
    fn unmake(&mut self, unfit: &[BTreeSet<u32>], out: &mut Vec<Action>) -> Vec<TaskKey> {
        let mut cancelled = Vec::new();
        for (stage, tasks) in unfit.iter().enumerate() {
            for number in tasks {
                let key = self.key_of(stage, *number);
                self.take_winner(key);
                let task = &mut self.stages[stage].tasks[*number as usize];
                task.condemned = (0..task.numbered).collect();
                let call = task.calls.saturating_sub(1);
                if self.end_call(key, call) {
                    out.push(Action::CancelCall { task: key, call });
                    cancelled.push(key);
                }
            }
        }
        cancelled
    }

    fn take_winner(&mut self, key: TaskKey) {
        let (stage, task) = index(key);
        if !matches!(self.stages[stage].tasks[task].state, State::Committed { .. }) {
            return;
        }
        self.stages[stage].tasks[task].state = State::Waiting;
        self.stages[stage].waiting.insert(key.task);
        self.shut_gates(stage, key.task);
        if stage == self.stages.len() - 1 {
            self.roots_missing += 1;
        }
    }

    fn condemn(&mut self, lost: AttemptKey) {
        let (stage, task) = index(lost.task);
        let condemned = &mut self.stages[stage].tasks[task].condemned;
        if let Err(place) = condemned.binary_search(&lost.attempt) {
            condemned.insert(place, lost.attempt);
        }
    }
}
