//! The machine.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::mem;
use std::time::Duration;

use crate::budget::Budget;
use crate::live::{Live, Question, Stage};
use crate::random::SplitMix64;
use crate::{Action, Class, Event, GaveUp, Limits, Number, Outcome};

/// The attempts at one task. `N` names the nodes that attempts run on; it must tell two lives of
/// one machine apart, since only the one that died is to be avoided.
#[derive(Debug, Clone)]
pub struct Attempts<N> {
    budget: Budget<N>,
    random: SplitMix64,
    /// The next number: all below were given out.
    next: Number,
    condemned: BTreeSet<Number>,
    winner: Option<Number>,
    phase: Phase,
    /// At most two, the first attempt before its hedge; none unless a call is open.
    live: Vec<Live<N>>,
    /// While nothing is live in an open call.
    pause: Option<Pause>,
    /// Sum of the pauses that are over.
    backed_off: Duration,
    /// The moment last asked for.
    wake: Option<Duration>,
    /// What the current event has led to so far.
    actions: Vec<Action<N>>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// No call is open.
    Idle,
    /// A call waits for its answer.
    Open,
    /// The task has failed.
    Spent { attempt: Number, why: GaveUp },
    /// Nothing is wanted any more.
    Cancelled,
}

/// The wait before another attempt.
#[derive(Debug, Clone, Copy)]
struct Pause {
    since: Duration,
    until: Duration,
}

impl<N: Clone + Eq + Ord + Debug> Attempts<N> {
    /// No attempt yet. The seed decides the jitter of the pauses: give each task its own.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            budget: Budget::new(limits),
            random: SplitMix64::new(seed),
            next: 0,
            condemned: BTreeSet::new(),
            winner: None,
            phase: Phase::Idle,
            live: Vec::new(),
            pause: None,
            backed_off: Duration::ZERO,
            wake: None,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened at `now` (since any origin, the same for all events) and says what
    /// to do about it, in this order.
    pub fn on(&mut self, now: Duration, event: Event<N>) -> Vec<Action<N>> {
        let time_came = matches!(event, Event::TimeCame);
        match event {
            Event::Called { condemned } => self.called(now, &condemned),
            Event::Placed { attempt, node } => self.placed(attempt, node),
            Event::Committed { attempt } => self.committed(attempt),
            Event::Failed { attempt, class, peak_memory } => {
                self.failed(now, attempt, class, peak_memory);
            }
            Event::SpoolAnswered { attempt, committed } => {
                self.spool_answered(now, attempt, committed);
            }
            Event::Straggling { attempt } => self.straggling(now, attempt),
            Event::TimeCame => self.time_came(now),
            Event::Dropped => self.dropped(now),
            Event::Cancelled => self.cancelled(now),
        }
        self.ask_for_wake(time_came);
        mem::take(&mut self.actions)
    }

    /// The attempt whose output is the task's.
    pub fn winner(&self) -> Option<Number> {
        self.winner
    }

    /// How many numbers were given out: attempts `0..numbered()` may have left something behind.
    pub fn numbered(&self) -> Number {
        self.next
    }

    /// The attempts that never win.
    pub fn condemned(&self) -> &BTreeSet<Number> {
        &self.condemned
    }

    /// How many failures counted. After a win never more than the retries allowed: what a hedge has
    /// saved may run again.
    pub fn failures(&self) -> u32 {
        self.budget.failures
    }

    /// How many attempts ended without an answer or output, hedges too.
    pub fn losses(&self) -> u32 {
        self.budget.losses
    }

    /// The time in which nothing ran because the next attempt had to wait after a failure. A pause
    /// adds its length when it is over.
    pub fn backed_off(&self) -> Duration {
        self.backed_off
    }

    // === calls ===

    fn called(&mut self, now: Duration, condemned: &[Number]) {
        let open = matches!(self.phase, Phase::Open);
        self.condemn(now, condemned);
        if open {
            return; // It has its answer, or will have it.
        }
        if let Some(attempt) = self.winner {
            return self.answer(Outcome::Committed { attempt });
        }
        match self.phase {
            Phase::Idle | Phase::Open => {
                self.phase = Phase::Open;
                match (self.budget.spent(), self.next.checked_sub(1)) {
                    // The last failure came while a hedge was alive, and the call went with it.
                    (Some(why), Some(attempt)) => self.close(Outcome::GaveUp { attempt, why }),
                    _ => self.start(now, false),
                }
            }
            Phase::Spent { attempt, why } => self.answer(Outcome::GaveUp { attempt, why }),
            Phase::Cancelled => self.answer(Outcome::Cancelled),
        }
    }

    fn condemn(&mut self, now: Duration, condemned: &[Number]) {
        // A number that nobody has yet must not be spoilt for who will have it.
        let known = condemned.iter().filter(|number| **number < self.next);
        self.condemned.extend(known);
        self.winner = self.winner.filter(|winner| !self.condemned.contains(winner));
        let numbers = self.live.iter().map(|live| live.number);
        let spoilt: Vec<Number> = numbers.filter(|number| condemned.contains(number)).collect();
        for number in spoilt {
            if let Some(live) = self.take(number) {
                self.actions.push(live.dismissal());
                self.go_on(now, number, Duration::ZERO);
            }
        }
    }

    fn dropped(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Open) {
            self.end_pause(now);
            self.dismiss_all();
            self.phase = Phase::Idle;
        }
    }

    fn cancelled(&mut self, now: Duration) {
        self.end_pause(now);
        if matches!(self.phase, Phase::Open) {
            self.close(Outcome::Cancelled);
        }
        self.phase = Phase::Cancelled;
    }

    /// Ends the open call.
    fn close(&mut self, outcome: Outcome) {
        self.dismiss_all();
        self.phase = match outcome {
            Outcome::GaveUp { attempt, why } => Phase::Spent { attempt, why },
            Outcome::Committed { .. } | Outcome::InputLost { .. } => Phase::Idle,
            Outcome::Cancelled => Phase::Cancelled,
        };
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Outcome) {
        self.actions.push(Action::Answer(outcome));
    }

    // === attempts ===

    fn start(&mut self, now: Duration, hedge: bool) {
        let number = self.next;
        let Some(next) = number.checked_add(1) else {
            // Four thousand million runs: no budget allows them, but free ones have none.
            let (attempt, why) = (number - 1, GaveUp::AttemptsExhausted);
            return self.close(Outcome::GaveUp { attempt, why });
        };
        self.next = next;
        self.end_pause(now);
        let mut avoid = self.budget.avoid.clone();
        for node in self.live.iter().filter_map(|live| live.node.as_ref()) {
            avoid.retain(|avoided| avoided != node);
            avoid.push(node.clone());
        }
        let memory = self.budget.memory();
        let (hedged, node, stage) = (false, None, Stage::Waiting);
        self.live.push(Live { number, hedge, hedged, memory, node, stage });
        self.actions.push(Action::Want { attempt: number, memory, avoid, hedge });
    }

    fn placed(&mut self, attempt: Number, node: N) {
        match self.live.iter_mut().find(|live| live.number == attempt) {
            Some(live) => {
                // The first grant stays. Heard of after the end, it still tells where that was.
                live.node.get_or_insert(node);
                if live.stage == Stage::Waiting {
                    live.stage = Stage::Running;
                }
            }
            // The grant and the withdrawal crossed: give the place back.
            None => self.actions.push(Action::Abort { attempt }),
        }
    }

    fn committed(&mut self, attempt: Number) {
        if self.take(attempt).is_some() {
            self.winner = Some(attempt);
            self.budget.forgive();
            self.close(Outcome::Committed { attempt });
        }
    }

    fn failed(&mut self, now: Duration, attempt: Number, class: Class, peak_memory: u64) {
        let Some(live) = self.live.iter_mut().find(|live| live.number == attempt) else {
            return;
        };
        if matches!(live.stage, Stage::Asked(_)) {
            return; // It has ended already.
        }
        match class {
            Class::NodeLost => {
                live.stage = Stage::Asked(Question { times: 1, again_at: None, peak_memory });
                self.actions.push(Action::AskSpool { attempt });
            }
            Class::User => {
                self.take(attempt);
                self.close(Outcome::GaveUp { attempt, why: GaveUp::UserError });
            }
            Class::InputLost => {
                self.take(attempt);
                self.close(Outcome::InputLost { attempt });
            }
            Class::Internal | Class::External | Class::InsufficientResources | Class::Abandoned => {
                self.ended(now, attempt, class, peak_memory)
            }
        }
    }

    fn spool_answered(&mut self, now: Duration, attempt: Number, committed: Option<bool>) {
        let Some(live) = self.live.iter_mut().find(|live| live.number == attempt) else {
            return;
        };
        let Stage::Asked(question) = &mut live.stage else {
            return; // Nobody asked.
        };
        match committed {
            Some(true) => self.committed(attempt),
            None if question.again_at.is_some() => {} // A second answer to one question.
            None if question.times < self.budget.limits().spool_questions => {
                let longest = self.budget.limits().longest_pause(question.times);
                question.again_at = Some(now.saturating_add(self.random.below(longest)));
            }
            Some(false) | None => {
                let peak_memory = question.peak_memory;
                self.ended(now, attempt, Class::NodeLost, peak_memory);
            }
        }
    }

    /// A live attempt has ended without output, and that is certain.
    fn ended(&mut self, now: Duration, attempt: Number, class: Class, peak_memory: u64) {
        let Some(ended) = self.take(attempt) else {
            return;
        };
        self.budget.charge(&ended, class, peak_memory);
        let pause = match class {
            Class::Internal | Class::External => {
                let longest = self.budget.limits().longest_pause(self.budget.failures);
                self.random.below(longest)
            }
            _ => Duration::ZERO,
        };
        self.go_on(now, attempt, pause);
    }

    /// Decides what follows after a live attempt is gone.
    fn go_on(&mut self, now: Duration, gone: Number, pause: Duration) {
        // A hedge without a place stands behind all first attempts, and now the task has none.
        if self.live.iter().all(Live::is_waiting_hedge) {
            self.dismiss_all();
        }
        if !self.live.is_empty() {
            return;
        }
        if let Some(why) = self.budget.spent() {
            self.close(Outcome::GaveUp { attempt: gone, why });
        } else if pause.is_zero() {
            self.start(now, false);
        } else {
            self.pause = Some(Pause { since: now, until: now.saturating_add(pause) });
        }
    }

    fn straggling(&mut self, now: Duration, attempt: Number) {
        let allowed = self.budget.limits().hedge && self.next < Number::MAX;
        let Some(slow) = self.live.iter_mut().find(|live| live.number == attempt) else {
            return;
        };
        let first = !slow.hedge && slow.stage == Stage::Running;
        if allowed && first && !slow.hedged {
            slow.hedged = true;
            self.start(now, true);
        }
    }

    fn take(&mut self, attempt: Number) -> Option<Live<N>> {
        let index = self.live.iter().position(|live| live.number == attempt)?;
        Some(self.live.remove(index))
    }

    fn dismiss_all(&mut self) {
        let dismissals = self.live.drain(..).map(|live| live.dismissal());
        self.actions.extend(dismissals);
    }

    // === time ===

    fn time_came(&mut self, now: Duration) {
        if self.pause.is_some_and(|pause| pause.until <= now) {
            self.start(now, false);
        }
        for live in &mut self.live {
            if let Stage::Asked(question) = &mut live.stage
                && question.again_at.is_some_and(|at| at <= now)
            {
                question.again_at = None;
                question.times = question.times.saturating_add(1);
                self.actions.push(Action::AskSpool { attempt: live.number });
            }
        }
    }

    fn end_pause(&mut self, now: Duration) {
        if let Some(pause) = self.pause.take() {
            self.backed_off = self.backed_off.saturating_add(now.saturating_sub(pause.since));
        }
    }

    fn ask_for_wake(&mut self, time_came: bool) {
        let pause = self.pause.map(|pause| pause.until);
        let questions = self.live.iter().filter_map(Live::asks_again_at);
        let earliest = questions.chain(pause).min();
        // After `TimeCame` the caller's timer is gone: if it went off early, it is needed again.
        if let Some(moment) = earliest
            && (time_came || self.wake != earliest)
        {
            self.actions.push(Action::WakeAt(moment));
        }
        self.wake = earliest;
    }
}
