//! Workers: they take requests, run attempts, commit what those give. After services/worker.

use std::rc::Rc;

use waterbear_scheduler::AttemptKey;

use crate::base::{MS, S, Time};
use crate::plant::Plant;
use crate::setup::Fault;
use crate::sim::{LEASE, Sim};
use crate::state::{Answer, Cause, Job, Kind, Order, Request, Step, What};

/// How long an attempt lives on that nobody asks for.
const CLIENT_TIMEOUT: Time = 10 * S;
/// How long a poll waits for news.
const POLL: Time = S;
/// How often leases are looked at.
const TICK: Time = S;
/// What a write takes at most.
pub(crate) const LONGEST_WRITE: Time = 50 * MS;

impl Sim {
    /// A request arrives.
    pub(crate) fn arrives(&mut self, number: usize, request: Request) {
        let worker = &self.workers[number];
        if !worker.up {
            if worker.refuses {
                self.answer(number, &request, Answer::Refused);
            }
            return;
        }
        if worker.incarnation != request.node.incarnation {
            let creates = matches!(request.kind, Kind::Create(_));
            if !(creates && self.planted(Plant::IncarnationIsIgnored)) {
                if !matches!(request.kind, Kind::Abort | Kind::Hangup) {
                    self.answer(number, &request, Answer::Conflict);
                }
                return;
            }
            self.violated(Some(request.attempt.task.query), || {
                let attempt = request.attempt;
                format!("{attempt:?} is created by another process than {:?}", request.node)
            });
        }
        match &request.kind {
            Kind::Create(order) => self.create(number, &request, order),
            Kind::Poll => self.polled(number, &request),
            Kind::Abort => self.aborted(number, request.attempt),
            Kind::Hangup => {
                if let Some(job) = self.workers[number].jobs.get_mut(&request.attempt) {
                    let poll = (request.call, request.number);
                    let heard = job.polls.len();
                    job.polls.retain(|waiting| *waiting != poll);
                    if job.polls.len() == heard {
                        // One connection: the end does not overtake what was sent on it.
                        job.hung.push(poll);
                    }
                }
            }
            Kind::Probe(_) => self.answer(number, &request, Answer::Unknown),
        }
    }

    fn create(&mut self, number: usize, request: &Request, order: &Rc<Order>) {
        let (now, attempt) = (self.now, request.attempt);
        if let Some(job) = self.workers[number].jobs.get_mut(&attempt) {
            (job.asked, job.heard) = (now, now);
            let state = job.state.clone();
            return self.answer(number, request, state);
        }
        let job = Job {
            state: Answer::Running,
            asked: now,
            heard: now,
            order: Some(Rc::clone(order)),
            polls: Vec::new(),
            hung: Vec::new(),
            checked: 0,
            saw_damage: false,
        };
        self.workers[number].jobs.insert(attempt, job);
        self.tally.created += 1;
        self.answer(number, request, Answer::Running);
        self.plan(number, attempt, order.memory);
        self.keep_ticking(number);
    }

    /// What will become of the attempt, unless something happens to it.
    fn plan(&mut self, number: usize, attempt: AttemptKey, memory: u64) {
        let run = self.rng.spread(MS, self.setup.longest_run) * self.workers[number].slow;
        let read = self.rng.below(run);
        let given = memory.min(self.workers[number].memory);
        let need = self.task(attempt.task).need;
        let mut fails = None;
        if need > given {
            fails = Some(Cause::Memory(given));
        } else if self.faulty {
            let odds = [
                (Fault::Internal, 150, Cause::Internal),
                (Fault::External, 150, Cause::External),
                (Fault::User, 10, Cause::User),
            ];
            for (fault, permille, cause) in odds {
                if self.setup.breaks(fault) && self.rng.chance(permille) {
                    fails = Some(cause);
                }
            }
        }
        self.work_after(number, read, attempt, Step::Read);
        match fails {
            Some(cause) => {
                let at = self.rng.below(run);
                self.work_after(number, at, attempt, Step::Fail(cause));
            }
            None => self.work_after(number, run, attempt, Step::Check),
        }
    }

    fn work_after(&mut self, worker: usize, late: Time, attempt: AttemptKey, step: Step) {
        let incarnation = self.workers[worker].incarnation;
        self.after(late, What::Work { worker, incarnation, attempt, step });
    }

    /// An attempt's next step.
    pub(crate) fn work(
        &mut self,
        number: usize,
        incarnation: u64,
        attempt: AttemptKey,
        step: Step,
    ) {
        let now = self.now;
        let worker = &mut self.workers[number];
        if !worker.up || worker.incarnation != incarnation {
            return;
        }
        let Some(job) = worker.jobs.get_mut(&attempt) else { return };
        if job.state != Answer::Running {
            // A write that has begun is not called back.
            let written = step == Step::Record && self.rng.chance(500);
            if written {
                self.record(number, attempt);
            }
            return;
        }
        match step {
            Step::Read => {
                let Some(order) = job.order.clone() else { return };
                let mut lost = self.bad_inputs(attempt, &order);
                if !lost.is_empty() && self.planted(Plant::ChecksumIsSkipped) {
                    if let Some(job) = self.workers[number].jobs.get_mut(&attempt) {
                        job.saw_damage = true;
                    }
                    return;
                }
                if lost.is_empty()
                    && self.faulty
                    && self.setup.breaks(Fault::FalseLoss)
                    && self.rng.chance(60)
                {
                    lost.extend(self.some_input(attempt, &order));
                }
                if !lost.is_empty() {
                    self.query(attempt.task.query).lost.extend(&lost);
                    self.end(number, attempt, Answer::Failed(Cause::Lost(lost)));
                }
            }
            Step::Fail(cause) => self.end(number, attempt, Answer::Failed(cause)),
            Step::Check => {
                if now - job.asked > LEASE && self.plant != Some(Plant::CommitWithoutLease) {
                    self.tally.leases += 1;
                    return self.end(number, attempt, Answer::Failed(Cause::Abandoned));
                }
                job.checked = now;
                if now < self.spool_down && self.rng.chance(300) {
                    return self.end(number, attempt, Answer::Failed(Cause::Internal));
                }
                let write = self.rng.spread(200, LONGEST_WRITE);
                self.work_after(number, write, attempt, Step::Record);
            }
            Step::Record => {
                self.record(number, attempt);
                self.end(number, attempt, Answer::Finished);
            }
        }
    }

    /// The record is there: the attempt is committed.
    fn record(&mut self, number: usize, attempt: AttemptKey) {
        let worker = &self.workers[number];
        let (thawed, Some(job)) = (worker.thawed, worker.jobs.get(&attempt)) else { return };
        let (unasked, checked) = (self.now - job.asked, job.checked);
        let (order, saw_damage) = (job.order.clone(), job.saw_damage);
        if unasked > LEASE + LONGEST_WRITE && thawed < checked {
            let text = format!("{attempt:?} is committed {unasked} us after it was last asked for");
            self.violated(Some(attempt.task.query), || text);
        }
        if let Some(order) = order {
            self.commit(number, attempt, &order, saw_damage);
        }
    }

    /// The attempt is done, and who waits for that hears it.
    fn end(&mut self, number: usize, attempt: AttemptKey, state: Answer) {
        let now = self.now;
        let worker = &mut self.workers[number];
        let incarnation = worker.incarnation;
        let Some(job) = worker.jobs.get_mut(&attempt) else { return };
        if job.state != Answer::Running {
            return;
        }
        job.state = state.clone();
        (job.asked, job.heard) = (now, now);
        let node = waterbear_scheduler::NodeKey { node: number as u32, incarnation };
        for (call, poll) in std::mem::take(&mut job.polls) {
            let request = Request { kind: Kind::Poll, attempt, call, number: poll, node };
            self.answer(number, &request, state.clone());
        }
    }

    fn polled(&mut self, number: usize, request: &Request) {
        let now = self.now;
        let Some(job) = self.workers[number].jobs.get_mut(&request.attempt) else {
            return self.answer(number, request, Answer::Unknown);
        };
        (job.asked, job.heard) = (now, now);
        if job.state != Answer::Running {
            let state = job.state.clone();
            return self.answer(number, request, state);
        }
        if job.hung.contains(&(request.call, request.number)) {
            return;
        }
        job.polls.push((request.call, request.number));
        let (incarnation, attempt) = (request.node.incarnation, request.attempt);
        let request = request.number;
        self.after(POLL, What::PollOver { worker: number, incarnation, attempt, request });
    }

    /// A poll has waited long enough.
    pub(crate) fn poll_over(
        &mut self,
        number: usize,
        incarnation: u64,
        attempt: AttemptKey,
        poll: u64,
    ) {
        let now = self.now;
        let worker = &mut self.workers[number];
        if !worker.up || worker.incarnation != incarnation {
            return;
        }
        let Some(job) = worker.jobs.get_mut(&attempt) else { return };
        let Some(place) = job.polls.iter().position(|(_, request)| *request == poll) else {
            return;
        };
        let (call, _) = job.polls.remove(place);
        (job.asked, job.heard) = (now, now);
        let node = waterbear_scheduler::NodeKey { node: number as u32, incarnation };
        let request = Request { kind: Kind::Poll, attempt, call, number: poll, node };
        self.answer(number, &request, Answer::Running);
    }

    /// One that was never created is done from now on.
    fn aborted(&mut self, number: usize, attempt: AttemptKey) {
        let now = self.now;
        self.workers[number].jobs.entry(attempt).or_insert_with(|| Job {
            state: Answer::Running,
            asked: now,
            heard: now,
            order: None,
            polls: Vec::new(),
            hung: Vec::new(),
            checked: 0,
            saw_damage: false,
        });
        self.end(number, attempt, Answer::Aborted);
    }

    // === leases

    fn keep_ticking(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        if !std::mem::replace(&mut worker.ticking, true) {
            let (incarnation, due) = (worker.incarnation, self.now + TICK);
            self.queue.push(due, What::Tick { worker: number, incarnation, due });
        }
    }

    pub(crate) fn tick(&mut self, number: usize, incarnation: u64, due: Time) {
        let now = self.now;
        let worker = &mut self.workers[number];
        if !worker.up || worker.incarnation != incarnation {
            return;
        }
        worker.ticking = false;
        let late = now - due > S;
        let mut silent = Vec::new();
        let mut running = false;
        for (attempt, job) in &mut worker.jobs {
            if job.state != Answer::Running {
                continue;
            }
            running = true;
            if late {
                job.heard = now;
            } else if now - job.heard > CLIENT_TIMEOUT {
                silent.push(*attempt);
            }
        }
        for attempt in silent {
            self.tally.abandoned += 1;
            self.end(number, attempt, Answer::Failed(Cause::Abandoned));
        }
        if running {
            self.keep_ticking(number);
        }
    }

    /// A frozen worker goes on with what came meanwhile.
    pub(crate) fn thaw(&mut self, number: usize) {
        let now = self.now;
        let worker = &mut self.workers[number];
        if now < worker.frozen || !worker.up {
            return;
        }
        worker.thawed = now;
        let late = std::mem::take(&mut worker.late);
        for (place, what) in late.into_iter().enumerate() {
            self.queue.push(now + place as u64 * 20, what);
        }
        let announced = self.rng.below(S);
        self.after(announced, What::Announce(number));
    }
}
