//! The spool: what attempts are told to read, what they commit, what is deleted.

use std::hash::Hasher;
use std::rc::Rc;

use waterbear_scheduler::{AttemptKey, QueryKey, Reads, TaskKey};

use crate::base::{Fnv, MS, S, mix};
use crate::plant::Plant;
use crate::setup::Fault;
use crate::sim::{LEASE, Sim};
use crate::state::{Object, Order, Output, Query, Snapshot, What};

/// The tasks of a stage that one of its readers reads: as the planner counts them, which is not
/// how the scheduler does.
pub(crate) fn group(producers: u32, reads: Reads, task: u32) -> std::ops::Range<u32> {
    match reads {
        Reads::All => 0..producers,
        Reads::Group { consumer_tasks } => {
            let (small, rest) = (producers / consumer_tasks, producers % consumer_tasks);
            let start = task * small + task.min(rest);
            start..start + small + u32::from(task < rest)
        }
    }
}

impl Sim {
    /// What an attempt is told to read: the winners of now. None while one is missing.
    pub(crate) fn inputs(&mut self, attempt: AttemptKey) -> Option<Vec<Rc<Snapshot>>> {
        let key = attempt.task;
        let edges = self.query(key.query).stages[key.stage as usize].inputs.clone();
        let mut inputs = Vec::with_capacity(edges.len());
        for edge in edges {
            let producers = self.query(key.query).stages[edge.stage].tasks;
            let all = edge.reads == Reads::All;
            let of = self.query(key.query);
            let cached = of.snapshots[edge.stage].as_ref();
            let fresh = cached.filter(|snap| snap.version == of.versions[edge.stage]);
            if let Some(snapshot) = fresh.filter(|_| all) {
                inputs.push(Rc::clone(snapshot));
                continue;
            }
            let range = group(producers, edge.reads, key.task);
            let snapshot = Rc::new(self.snapshot(key.query, edge.stage as u32, range)?);
            if all {
                self.query(key.query).snapshots[edge.stage] = Some(Rc::clone(&snapshot));
            }
            inputs.push(snapshot);
        }
        Some(inputs)
    }

    fn snapshot(
        &mut self,
        query: QueryKey,
        stage: u32,
        range: std::ops::Range<u32>,
    ) -> Option<Snapshot> {
        let first = range.start;
        let mut attempts = Vec::with_capacity(range.len());
        let mut values = Fnv::default();
        for task in range {
            let key = TaskKey { query, stage, task };
            let winner = self.task(key).winner?;
            let now = self.scheduler.winner(key);
            let wrong = match now {
                Some(now) => now != winner,
                // It is being made again, which its readers need not know yet.
                None => self.task(key).stood != Some(winner) && self.query(query).known,
            };
            if wrong {
                self.violated(Some(query), || {
                    format!("attempt {winner} of {key:?} is read; the winner is {now:?}")
                });
            }
            let Some(output) = self.query(query).truth.get(&key.attempt(winner)) else {
                self.violated(Some(query), || {
                    format!("attempt {winner} of {key:?} is read, and was never committed")
                });
                return None;
            };
            values.write_u64(output.value);
            attempts.push(winner);
        }
        let version = self.query(query).versions[stage as usize];
        Some(Snapshot { stage, first, attempts, version, values: values.finish() })
    }

    /// Those of an attempt's inputs that cannot be read now.
    pub(crate) fn bad_inputs(&mut self, attempt: AttemptKey, order: &Order) -> Vec<AttemptKey> {
        let query = attempt.task.query;
        let of = self.query(query);
        let over = of.deleted.is_some();
        let mut bad = Vec::new();
        for input in &order.inputs {
            let first = TaskKey { query, stage: input.stage, task: input.first };
            for spoilt in of.bad.range(first.attempt(0)..) {
                let place = spoilt.task.task.wrapping_sub(input.first) as usize;
                if spoilt.task.stage != input.stage || place >= input.attempts.len() {
                    break;
                }
                if input.attempts[place] == spoilt.attempt {
                    bad.push(*spoilt);
                }
            }
        }
        if over && bad.is_empty() {
            bad.extend(self.some_input(attempt, order));
        }
        bad.sort_unstable();
        bad.dedup();
        bad
    }

    pub(crate) fn some_input(&mut self, attempt: AttemptKey, order: &Order) -> Option<AttemptKey> {
        let place = self.rng.below(order.inputs.len() as u64) as usize;
        let input = order.inputs.get(place)?;
        let place = self.rng.below(input.attempts.len() as u64);
        let number = *input.attempts.get(place as usize)?;
        let task = input.first + place as u32;
        Some(TaskKey { query: attempt.task.query, stage: input.stage, task }.attempt(number))
    }

    /// An attempt's output and its record are written.
    pub(crate) fn commit(
        &mut self,
        worker: usize,
        attempt: AttemptKey,
        order: &Order,
        saw_damage: bool,
    ) {
        let key = attempt.task;
        let fresh = self.rng.word();
        let inline = self.rng.chance(300);
        let damage = self.faulty && self.setup.breaks(Fault::Damage) && self.rng.chance(60);
        let missing = self.faulty && self.setup.breaks(Fault::Missing) && self.rng.chance(60);
        let spoilt = damage && self.rng.chance(200);
        let exact = self.query(key.query).stages[key.stage as usize].exact;
        let mut value = mix((u64::from(key.stage) << 32) | u64::from(key.task));
        for input in &order.inputs {
            value = mix(value ^ input.values);
        }
        if !exact {
            value = mix(value ^ fresh);
        }
        if saw_damage {
            value = !value;
        }
        let reads = order.inputs.clone();
        let of = self.query(key.query);
        let output = Rc::new(Output { value, reads, inline });
        let twice = of.truth.insert(attempt, output).is_some();
        if (damage || missing) && !inline {
            of.bad.insert(attempt);
        }
        of.objects.insert(attempt, Object { spoilt });
        let impaired = self.workers[worker].impaired;
        let of = self.query(key.query);
        // Who stood still, or was told late, does not know better.
        let late = of.deleted.zip(of.over).filter(|(_, over)| impaired < *over);
        self.tally.commits += 1;
        if twice {
            self.violated(Some(key.query), || format!("the key of {attempt:?} is written twice"));
        }
        if let Some((deleted, _)) = late {
            self.tally.leftovers += 1;
            self.violated(Some(key.query), || {
                format!("{attempt:?} is written after the second deletion, at {deleted} us")
            });
        }
        if self.query(key.query).over.is_some() {
            self.tally.late_commits += 1;
        }
        self.say(Some(key.query), || format!("  {attempt:?} is committed"));
        let of = self.task(key);
        if of.winner.is_some_and(|winner| winner != attempt.attempt) {
            self.tally.second_commits += 1;
            if self.planted(Plant::LateCommitReplacesWinner) {
                self.set_winner(attempt);
            }
        }
    }

    /// Whether the attempt's record is there; none if the spool cannot be asked.
    pub(crate) fn committed_record(&mut self, attempt: AttemptKey) -> Option<bool> {
        if self.now < self.spool_down && self.rng.chance(800) {
            return None;
        }
        match self.query(attempt.task.query).objects.get(&attempt) {
            Some(object) if object.spoilt => None,
            Some(_) => Some(true),
            None => Some(false),
        }
    }

    // === deletion

    /// A query is over: what it has left is deleted now, and once more after the lease.
    pub(crate) fn delete_soon(&mut self, query: QueryKey) {
        if !self.planted(Plant::NothingIsDeleted) {
            let late = self.rng.spread(MS, 300 * MS);
            self.after(late, What::Delete { query, again: false });
        }
    }

    pub(crate) fn delete(&mut self, query: QueryKey, again: bool) {
        let now = self.now;
        self.query(query).objects.clear();
        if again {
            self.query(query).deleted = Some(now);
        } else if !self.planted(Plant::DeletedOnlyOnce) {
            self.after(LEASE + 500 * MS, What::Delete { query, again: true });
        }
    }

    /// Deletes what is there a second time of queries that are over.
    pub(crate) fn sweep(&mut self) {
        self.after(20 * S, What::Sweep);
        let now = self.now;
        let (once, none) =
            (self.planted(Plant::DeletedOnlyOnce), self.planted(Plant::NothingIsDeleted));
        for number in 0..self.queries.len() {
            let of: &mut Query = &mut self.queries[number];
            let Some(over) = of.over else { continue };
            let (left, key) = (!of.objects.is_empty(), of.key);
            let long = now > over.max(self.coordinator_frozen) + LEASE + 2 * S;
            if of.swept && left {
                of.objects.clear();
                self.tally.swept += 1;
            } else {
                of.swept = left;
            }
            if long && left && (of.deleted.is_none() || once || none) {
                self.violated(Some(key), || "what it has left is not deleted".into());
            }
        }
    }
}
