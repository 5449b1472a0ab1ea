//! What the retry layer does with one call: performs what the attempts decide. After
//! middleware/exchange-retry/src/{call,task}.rs and spooled/calls.rs.

use attempts::{Action, Attempts, Class, Event, Number, Outcome};
use waterbear_scheduler::{AttemptKey, NodeKey, TaskKey};

use crate::base::{MS, S, Time};
use crate::digest;
use crate::plant::Plant;
use crate::sim::Sim;
use crate::state::{Call, Cause, Kind, Live, LiveState, Message, Reason, What};

/// How long one question to the spool may take.
const QUESTION_TIMEOUT: Time = 5 * S;
/// Calls of one task.
const MOST_CALLS: u32 = 100;

impl Sim {
    pub(crate) fn call_mut(&mut self, task: TaskKey, id: u64) -> Option<&mut Call> {
        self.task(task).calls.iter_mut().find(|call| call.id == id)
    }

    pub(crate) fn live_mut(&mut self, attempt: AttemptKey, id: u64) -> Option<&mut Live> {
        let call = self.call_mut(attempt.task, id)?;
        call.live.iter_mut().find(|live| live.number == attempt.attempt)
    }

    /// A call begins when the one before it is gone.
    pub(crate) fn turn(&mut self, key: TaskKey, id: u64) {
        let fresh = self.planted(Plant::NumbersAreReused);
        let limits = self.setup.limits.clone();
        let task = self.task(key);
        let Some(call) = task.calls.front_mut() else { return };
        if call.id != id || call.begun {
            return;
        }
        call.begun = true;
        let condemned = call.condemned.clone();
        if fresh && call.number > 0 {
            task.attempts = Attempts::new(limits, 0);
        }
        self.tell(key, id, Event::Called { condemned });
    }

    /// An aborted call is dropped, and what it ran with it.
    pub(crate) fn call_dropped(&mut self, key: TaskKey, id: u64) {
        let Some(call) = self.call_mut(key, id) else { return };
        let begun = call.begun;
        let live: Vec<Number> = call.live.iter().map(|live| live.number).collect();
        for number in live {
            self.drop_live(key.attempt(number), id);
        }
        if begun {
            let now = self.time();
            // No attempt of this call lives beyond it: there is nothing to do about the actions.
            let actions = self.task(key).attempts.on(now, Event::Dropped);
            for action in &actions {
                digest::wanted(action, &mut self.hash);
                if matches!(action, Action::Want { .. } | Action::Answer(_)) {
                    self.violated(Some(key.query), || format!("{key:?} dropped, but {action:?}"));
                }
            }
        }
        self.remove_call(key, id);
    }

    fn remove_call(&mut self, key: TaskKey, id: u64) {
        let task = self.task(key);
        task.calls.retain(|call| call.id != id);
        if let Some(next) = task.calls.front().filter(|call| !call.begun) {
            let next = next.id;
            let moment = self.moment();
            self.after(moment, What::Turn(key, next));
        }
    }

    /// Tells the attempts and does what they want.
    pub(crate) fn tell(&mut self, key: TaskKey, id: u64, event: Event<NodeKey>) {
        self.say(Some(key.query), || format!("  {}.{} <- {event:?}", key.stage, key.task));
        let now = self.time();
        let actions = self.task(key).attempts.on(now, event);
        let (mut answer, mut unasked) = (None, Vec::new());
        for action in actions {
            digest::wanted(&action, &mut self.hash);
            self.say(Some(key.query), || format!("  {}.{} -> {action:?}", key.stage, key.task));
            match action {
                Action::Want { attempt, memory, avoid, hedge } => {
                    self.want(key, id, attempt, memory, avoid, hedge);
                }
                Action::Withdraw { attempt } | Action::Abort { attempt } => {
                    self.drop_live(key.attempt(attempt), id);
                }
                Action::AskSpool { attempt } => {
                    if self.planted(Plant::SpoolIsNotAsked) {
                        unasked.push(attempt);
                    } else {
                        self.ask(key.attempt(attempt), id);
                    }
                }
                Action::WakeAt(at) => {
                    let at = at.as_micros() as Time + 1;
                    let Some(call) = self.call_mut(key, id) else { continue };
                    call.timer += 1;
                    let number = call.timer;
                    self.queue.push(at, What::Timer { task: key, call: id, number });
                }
                Action::Answer(outcome) => answer = Some(outcome),
            }
        }
        self.check_costs(key);
        if let Some(outcome) = answer {
            self.finish(key, id, outcome);
        }
        for attempt in unasked {
            self.check_lost(key.attempt(attempt));
            if let Some(call) = self.call_mut(key, id) {
                call.live.retain(|live| live.number != attempt);
            }
            self.tell(key, id, Event::SpoolAnswered { attempt, committed: Some(false) });
        }
    }

    fn want(
        &mut self,
        key: TaskKey,
        id: u64,
        number: Number,
        memory: u64,
        avoid: Vec<NodeKey>,
        hedge: bool,
    ) {
        self.tally.attempts += 1;
        self.tally.hedges += u64::from(hedge);
        let last = self.task(key).last.replace(number);
        if last.is_some_and(|last| last >= number) {
            self.violated(Some(key.query), || {
                format!("{key:?}: attempt number {number} is used twice")
            });
        }
        if self.task(key).hopeless {
            self.violated(Some(key.query), || format!("{key:?} runs again after a user's error"));
        }
        let Some(call) = self.call_mut(key, id) else { return };
        call.live.push(Live { number, memory, state: LiveState::Waits });
        let attempt = key.attempt(number);
        self.mail(Message::Wanted { attempt, call: id, memory, avoid, hedge });
    }

    /// What is dropped before its end is aborted, and its place given back.
    pub(crate) fn drop_live(&mut self, attempt: AttemptKey, id: u64) {
        let Some(call) = self.call_mut(attempt.task, id) else { return };
        let Some(place) = call.live.iter().position(|live| live.number == attempt.attempt) else {
            return;
        };
        match call.live.remove(place).state {
            LiveState::Waits => {
                if !self.planted(Plant::WishIsNotWithdrawn) {
                    self.mail(Message::Withdrawn(attempt));
                }
            }
            LiveState::Talks(talk) => {
                self.request(attempt, id, talk.request, talk.node, Kind::Hangup);
                self.request(attempt, id, talk.request, talk.node, Kind::Abort);
                self.mail(Message::Released(attempt));
            }
            LiveState::Looks | LiveState::Asks { .. } => {}
        }
    }

    /// An attempt has ended without output, and gives its place back.
    pub(crate) fn fail(&mut self, attempt: AttemptKey, id: u64, cause: Cause) {
        let (key, number) = (attempt.task, attempt.attempt);
        let Some(call) = self.call_mut(key, id) else { return };
        let Some(place) = call.live.iter().position(|live| live.number == number) else { return };
        let live = call.live.remove(place);
        if let Cause::Lost(lost) = &cause {
            call.lost = lost.clone();
        }
        if matches!(live.state, LiveState::Talks(_)) && !self.planted(Plant::PlaceIsKept) {
            self.mail(Message::Released(attempt));
            if self.planted(Plant::PlaceIsReturnedTwice) {
                self.mail(Message::Released(attempt));
            }
        }
        let mut class = cause.class();
        if class == Class::InputLost && self.planted(Plant::LostInputCounts) {
            class = Class::Internal;
        }
        let peak_memory = match cause {
            Cause::Memory(peak) => peak,
            _ => 0,
        };
        match &cause {
            Cause::Internal | Cause::External | Cause::Memory(_) => self.task(key).counted += 1,
            Cause::User => {
                self.query(key.query).user_error = true;
                self.task(key).hopeless = true;
            }
            Cause::Lost(_) | Cause::Abandoned | Cause::Node => {}
        }
        self.tally.note(&cause);
        if class == Class::NodeLost
            && let Some(call) = self.call_mut(key, id)
        {
            // It lives on until the spool has answered.
            call.live.push(Live { state: LiveState::Asks { ask: 0 }, ..live });
        }
        self.tell(key, id, Event::Failed { attempt: number, class, peak_memory });
    }

    /// An attempt is committed, by its worker's words.
    pub(crate) fn win(&mut self, attempt: AttemptKey, id: u64) {
        let Some(call) = self.call_mut(attempt.task, id) else { return };
        call.live.retain(|live| live.number != attempt.attempt);
        self.task(attempt.task).kept = Some(attempt.attempt);
        self.tell(attempt.task, id, Event::Committed { attempt: attempt.attempt });
    }

    pub(crate) fn timer(&mut self, task: TaskKey, id: u64, number: u64) {
        if self.call_mut(task, id).is_some_and(|call| call.timer == number) {
            self.tell(task, id, Event::TimeCame);
        }
    }

    /// Somebody finds that the attempt is slow; without a call that runs nothing happens.
    pub(crate) fn straggles(&mut self, attempt: AttemptKey) {
        if let Some(call) = self.task(attempt.task).calls.front().filter(|call| call.begun) {
            let id = call.id;
            self.tell(attempt.task, id, Event::Straggling { attempt: attempt.attempt });
        }
    }

    // === the spool is asked

    fn ask(&mut self, attempt: AttemptKey, id: u64) {
        self.tally.asked += 1;
        self.next_request += 1;
        let ask = self.next_request;
        let Some(live) = self.live_mut(attempt, id) else { return };
        live.state = LiveState::Asks { ask };
        let late = self.rng.spread(200, 200 * MS);
        let silent = self.now < self.spool_down && self.rng.chance(300);
        if silent {
            self.after(QUESTION_TIMEOUT, What::SpoolSilent { attempt, call: id, ask });
        } else {
            self.after(late, What::Spool { attempt, call: id, ask });
        }
    }

    pub(crate) fn spool_answers(&mut self, attempt: AttemptKey, id: u64, ask: u64) {
        let asks = LiveState::Asks { ask };
        if self.live_mut(attempt, id).is_none_or(|live| live.state != asks) {
            return;
        }
        let number = attempt.attempt;
        let committed = if self.task(attempt.task).begun.contains_key(&number) {
            self.committed_record(attempt)
        } else {
            Some(false)
        };
        match committed {
            Some(true) => {
                self.tally.lost_answers += 1;
                self.task(attempt.task).kept = Some(number);
            }
            Some(false) => self.check_lost(attempt),
            None => {}
        }
        self.tell_of_spool(attempt, id, committed);
    }

    fn tell_of_spool(&mut self, attempt: AttemptKey, id: u64, committed: Option<bool>) {
        let number = attempt.attempt;
        if committed.is_some()
            && let Some(call) = self.call_mut(attempt.task, id)
        {
            call.live.retain(|live| live.number != number);
        }
        let losses = self.task(attempt.task).losses;
        self.tell(attempt.task, id, Event::SpoolAnswered { attempt: number, committed });
        if self.task(attempt.task).losses > losses
            && let Some(call) = self.call_mut(attempt.task, id)
        {
            // It was asked for once too often.
            call.live.retain(|live| live.number != number);
        }
    }

    pub(crate) fn spool_is_silent(&mut self, attempt: AttemptKey, id: u64, ask: u64) {
        let asks = LiveState::Asks { ask };
        if self.live_mut(attempt, id).is_some_and(|live| live.state == asks) {
            self.tell_of_spool(attempt, id, None);
        }
    }

    // === the end

    fn finish(&mut self, key: TaskKey, id: u64, outcome: Outcome) {
        let Some(call) = self.call_mut(key, id) else { return };
        let (call_number, lost) = (call.number, std::mem::take(&mut call.lost));
        let live: Vec<Number> = call.live.iter().map(|live| live.number).collect();
        for number in live {
            self.drop_live(key.attempt(number), id);
        }
        self.remove_call(key, id);
        self.last_progress = self.now;
        let message = match outcome {
            Outcome::Committed { attempt } => {
                if self.task(key).kept != Some(attempt) {
                    self.violated(Some(key.query), || {
                        format!("{key:?}: what winner {attempt} committed is not kept")
                    });
                }
                Message::Committed { task: key, call: call_number, attempt }
            }
            Outcome::InputLost { .. } if call_number >= MOST_CALLS => {
                Message::Failed { task: key, call: call_number, why: Reason::MostCalls }
            }
            Outcome::InputLost { .. } => {
                self.tally.input_lost += 1;
                let nameless = self.planted(Plant::LostInputIsNotNamed);
                let lost = if nameless { Vec::new() } else { lost };
                Message::InputLost { task: key, call: call_number, lost }
            }
            Outcome::GaveUp { why, .. } => {
                Message::Failed { task: key, call: call_number, why: why.into() }
            }
            Outcome::Cancelled => {
                self.violated(Some(key.query), || format!("{key:?} is cancelled by nobody"));
                return;
            }
        };
        self.mail(message);
    }
}
