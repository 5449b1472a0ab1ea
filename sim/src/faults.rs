//! What breaks, and when.

use waterbear_scheduler::{AttemptKey, NodeKey};

use crate::base::{MS, S, Time};
use crate::setup::Fault;
use crate::sim::Sim;
use crate::state::{Answer, Kind, Request, What};

impl Sim {
    pub(crate) fn plan_faults(&mut self) {
        let end = self.setup.faults_end;
        for fault in self.setup.faults {
            let most = match fault {
                Fault::Damage | Fault::Missing => 12,
                Fault::KillSeveral | Fault::CoordinatorFreeze | Fault::SpoolDown => 3,
                _ => 3 + self.workers.len() as u64 / 8,
            };
            for _ in 0..self.rng.between(1, most) {
                let at = self.fault_time(end);
                self.queue.push(at, What::Break(fault));
            }
        }
        self.queue.push(end, What::FaultsEnd);
    }

    /// Mostly while a query runs: what breaks when nothing is under way proves little.
    fn fault_time(&mut self, end: Time) -> Time {
        if self.rng.chance(300) {
            return self.rng.below(end);
        }
        let query = self.rng.below(self.setup.queries.len() as u64) as usize;
        let query = &self.setup.queries[query];
        let longest = 50 * MS + self.setup.longest_run * query.stages.len() as u64;
        let at = query.at;
        (at + self.rng.below(longest)).min(end - 1)
    }

    pub(crate) fn break_something(&mut self, fault: Fault) {
        if !self.faulty {
            return;
        }
        let number = self.rng.below(self.workers.len() as u64) as usize;
        let now = self.now;
        match fault {
            Fault::Kill => self.kill_for_a_while(number),
            Fault::KillSeveral => {
                for number in 0..self.workers.len() {
                    if self.rng.chance(600) {
                        self.kill_for_a_while(number);
                    }
                }
            }
            Fault::Freeze => self.freeze(number),
            Fault::Restart => {
                self.kill(number, true);
                let at = self.rng.spread(50 * MS, 4 * S);
                self.after(at, What::Start(number));
            }
            Fault::CutThere | Fault::CutBack => {
                let until = now + self.while_long(15 * S);
                let worker = &mut self.workers[number];
                worker.impaired = worker.impaired.max(until + S);
                match fault {
                    Fault::CutThere => worker.cut_there = worker.cut_there.max(until),
                    _ => worker.cut_back = worker.cut_back.max(until),
                }
            }
            Fault::Slow => self.workers[number].slow = self.rng.between(2, 12),
            Fault::SpoolDown => self.spool_down = now + self.while_long(8 * S),
            Fault::Damage | Fault::Missing => self.spoil(),
            Fault::Drain => self.drain(number),
            Fault::Forgotten => {
                let long = self.while_long(10 * S);
                self.workers[number].forgotten = now + long;
                self.after(0, What::Announce(number));
                self.after(long, What::Announce(number));
            }
            Fault::CoordinatorFreeze => {
                // What was put off before must not be overtaken.
                let until = now + self.while_long(8 * S);
                self.coordinator_frozen = self.coordinator_frozen.max(until);
            }
            // These happen to each attempt or message, or were decided beforehand.
            Fault::LostAnswers
            | Fault::BadNetwork
            | Fault::FalseLoss
            | Fault::Memory
            | Fault::Internal
            | Fault::External
            | Fault::User
            | Fault::ClientLeaves => {}
        }
        self.say(None, || format!("{fault:?} (worker {number})"));
    }

    fn while_long(&mut self, most: Time) -> Time {
        self.rng.spread(100 * MS, most)
    }

    fn kill_for_a_while(&mut self, number: usize) {
        let refuses = self.rng.chance(800);
        self.kill(number, refuses);
        if self.rng.chance(500) {
            let at = self.rng.spread(500 * MS, 10 * S);
            self.after(at, What::Start(number));
        }
    }

    /// A process dies; or its machine does, which says nothing any more.
    fn kill(&mut self, number: usize, refuses: bool) {
        let worker = &mut self.workers[number];
        if !worker.up {
            return;
        }
        (worker.up, worker.refuses, worker.frozen) = (false, refuses, 0);
        worker.late.clear();
        let node = NodeKey { node: number as u32, incarnation: worker.incarnation };
        let jobs = std::mem::take(&mut worker.jobs);
        if refuses {
            // Its connections break.
            for (attempt, job) in jobs {
                for (call, poll) in job.polls {
                    let request = Request { kind: Kind::Poll, attempt, call, number: poll, node };
                    self.answer(number, &request, Answer::Broken);
                }
            }
        }
        self.tally.killed += 1;
        self.missed(number);
    }

    fn freeze(&mut self, number: usize) {
        let long = self.rng.between(S, 30 * S);
        let worker = &mut self.workers[number];
        if worker.up && worker.frozen <= self.now {
            worker.frozen = self.now + long;
            worker.impaired = worker.impaired.max(worker.frozen + S);
            self.tally.frozen += 1;
            self.after(long, What::Thaw(number));
            self.missed(number);
        }
    }

    fn drain(&mut self, number: usize) {
        self.workers[number].draining = true;
        let late = self.rng.below(S);
        self.after(late, What::Announce(number));
        if self.rng.chance(700) {
            let (at, ends) = (self.rng.spread(100 * MS, 10 * S), self.rng.chance(500));
            self.after(at, What::Drained { worker: number, ends });
        }
    }

    /// A worker is wanted again after all; or its process ends, and the next one begins.
    pub(crate) fn drained(&mut self, number: usize, ends: bool) {
        if !self.workers[number].draining {
            return;
        }
        if ends {
            self.kill(number, true);
            let at = self.rng.spread(50 * MS, 4 * S);
            self.after(at, What::Start(number));
        } else {
            self.workers[number].draining = false;
            self.after(0, What::Announce(number));
        }
    }

    /// Something that was committed cannot be read any more.
    fn spoil(&mut self) {
        let running = self.queries.iter_mut().filter(|query| query.over.is_none());
        let mut running: Vec<_> = running.collect();
        let query = self.rng.below(running.len() as u64) as usize;
        let Some(query) = running.get_mut(query) else { return };
        let written: Vec<AttemptKey> = (query.objects.keys().copied())
            .filter(|key| query.truth.get(key).is_some_and(|output| !output.inline))
            .collect();
        query.bad.extend(self.rng.pick(&written));
    }

    pub(crate) fn faults_end(&mut self) {
        let now = self.now;
        self.faulty = false;
        self.spool_down = now;
        for number in 0..self.workers.len() {
            let worker = &mut self.workers[number];
            (worker.cut_there, worker.cut_back) =
                (worker.cut_there.min(now), worker.cut_back.min(now));
            (worker.slow, worker.forgotten) = (1, 0);
            self.after(0, What::Announce(number));
        }
        let any = self.workers.iter().any(|worker| worker.up && !worker.draining);
        if !any {
            let number = self.rng.below(self.workers.len() as u64) as usize;
            self.kill(number, true);
            self.after(4 * S, What::Start(number));
        }
        self.last_progress = self.last_progress.max(now + 40 * S);
    }
}
