//! What the coordinator's driver does: performs what the scheduler decides. After
//! services/coordinator/src/scheduler/spooled/driver.rs.

use std::hash::Hash;
use std::time::Duration;

use waterbear_scheduler::{Action, AttemptKey, Event, Failure, NodeKey, QueryKey, TaskKey};

use crate::base::MS;
use crate::digest;
use crate::plant::Plant;
use crate::sim::Sim;
use crate::state::{Call, Message, Reason, What};

impl Sim {
    pub(crate) fn take(&mut self, message: Message) {
        match message {
            Message::Over(query) => {
                self.forget(query);
                self.happened(Event::QueryEnded { query });
            }
            Message::Wanted { attempt, call, memory, avoid, hedge } => {
                self.waiting.insert(attempt, call);
                self.happened(Event::PlaceWanted { attempt, memory, avoid, hedge });
            }
            Message::Committed { task, call, attempt } => self.committed(task, call, attempt),
            Message::InputLost { task, call, lost } => {
                let call = self.number_of_end(task, call);
                self.condemn_lost(&lost);
                self.happened(Event::TaskInputLost { task, call, lost });
            }
            Message::Failed { task, call, why } => {
                self.check_reason(task, why);
                let call = self.number_of_end(task, call);
                self.happened(Event::TaskFailed { task, call });
            }
            Message::Lost(node) => {
                if let Some(event) = self.node_lost(node) {
                    self.after(250 * MS, What::Probe { node, since: self.now });
                    self.happened(event);
                }
            }
            Message::Back(node) => {
                if !self.planted(Plant::ReturnIsNotTold)
                    && let Some(event) = self.node_back(node)
                {
                    self.happened(event);
                }
            }
            Message::Withdrawn(attempt) => {
                self.waiting.remove(&attempt);
                self.given_back(attempt, true);
                self.happened(Event::PlaceWithdrawn { attempt });
            }
            Message::Released(attempt) => {
                self.running.remove(&attempt);
                self.given_back(attempt, false);
                self.happened(Event::PlaceReleased { attempt });
            }
            Message::OutputLost(lost) => {
                self.condemn_lost(&[lost]);
                self.happened(Event::OutputLost { lost });
            }
            Message::RowsGiven(task) => {
                if !self.planted(Plant::RowsGivenIsNotTold) {
                    self.happened(Event::RowsGiven { task });
                }
            }
            Message::SetWinner(attempt) => self.set_winner(attempt),
        }
    }

    /// The number that the end of a call carries; planted: that of whichever runs.
    fn number_of_end(&mut self, task: TaskKey, call: u32) -> u32 {
        let stale = self.planted(Plant::StaleEndIsAccepted);
        match self.query(task.query).calls.get(&task) {
            Some((running, _)) if stale => *running,
            _ => call,
        }
    }

    /// The winner must be known before its readers are called.
    fn committed(&mut self, task: TaskKey, call: u32, attempt: u32) {
        let call = self.number_of_end(task, call);
        let (now, event) = (self.time(), Event::TaskCommitted { task, call, attempt });
        digest::event(&event, &mut self.hash);
        self.say(Some(task.query), || format!("  scheduler <- {event:?}"));
        let actions = self.scheduler.on(now, event);
        let won = self.scheduler.winner(task) == Some(attempt);
        let told = self.task(task).winner;
        let known = self.query(task.query).known;
        if (won || self.planted(Plant::CondemnedIsAccepted)) && known {
            if self.planted(Plant::ReadersBeforeWinner) && self.rng.chance(300) {
                self.after(3 * MS, What::Mail(Message::SetWinner(task.attempt(attempt))));
            } else {
                self.set_winner(task.attempt(attempt));
            }
        }
        self.check_told(task, told);
        if won {
            self.check_winner(task, attempt);
        }
        self.perform(actions);
    }

    pub(crate) fn set_winner(&mut self, attempt: AttemptKey) {
        self.query(attempt.task.query).versions[attempt.task.stage as usize] += 1;
        self.task(attempt.task).winner = Some(attempt.attempt);
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    pub(crate) fn happened(&mut self, event: Event) {
        digest::event(&event, &mut self.hash);
        let of = digest::query_of(&event);
        self.say(of, || format!("  scheduler <- {event:?}"));
        let now = self.time();
        let of_node = matches!(
            event,
            Event::NodeJoined { .. } | Event::NodeDraining { .. } | Event::NodeLost { .. }
        );
        let actions = self.scheduler.on(now, event);
        if of_node || self.no_nodes_since.is_none() && self.nodes.is_empty() {
            self.watch_for_nodes();
        }
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            digest::action(&action, &mut self.hash);
            let of = digest::query_of_action(&action);
            self.say(of, || format!("  scheduler -> {action:?}"));
            match action {
                Action::Call { task, call, condemned } => self.call(task, call, condemned),
                Action::CancelCall { task, call } => self.cancel(task, call),
                Action::Granted { attempt, node } => self.grant(attempt, node),
                Action::Lost { attempt, node } => {
                    self.tally.lost += 1;
                    if self.held.remove(&attempt) != Some(node) {
                        self.violated(Some(attempt.task.query), || {
                            format!("{attempt:?} is lost on {node:?}, where it has no place")
                        });
                    }
                    self.end_attempt(attempt, false);
                }
                Action::Moved { attempt, .. } => {
                    self.tally.moved += 1;
                    self.moved.push_back((self.now, attempt));
                    if !self.planted(Plant::DrainIsIgnored) {
                        self.end_attempt(attempt, true);
                    }
                }
                Action::Done { query, winners } => {
                    self.check_done(query, &winners);
                    self.news(query, true);
                }
                Action::Fail { query, why } => {
                    self.check_failure(query, why);
                    self.news(query, false);
                    self.forget(query);
                }
                Action::WakeAt(at) => {
                    let at = at.as_micros() as u64;
                    self.wake = Some(at);
                    self.queue.push(at, What::Wake(at));
                }
            }
        }
    }

    pub(crate) fn wake(&mut self, at: u64) {
        if self.wake == Some(at) {
            self.wake = None;
            self.happened(Event::TimeCame);
        }
    }

    fn call(&mut self, task: TaskKey, number: u32, mut condemned: Vec<u32>) {
        self.last_progress = self.now;
        self.check_call(task, number, &condemned);
        if !self.query(task.query).known {
            return;
        }
        if self.planted(Plant::CondemnedIsForgotten) {
            condemned.clear();
        }
        self.tally.calls += 1;
        let id = self.next_call;
        self.next_call += 1;
        let (begun, live, timer, lost) = (false, Vec::new(), 0, Vec::new());
        let call = Call { id, number, condemned, begun, live, timer, lost };
        self.task(task).calls.push_back(call);
        let moment = self.moment();
        self.after(moment, What::Turn(task, id));
        if let Some((_, before)) = self.query(task.query).calls.insert(task, (number, id)) {
            // It has sent its end, or this one would not have come.
            self.abort(task, before);
        }
    }

    fn cancel(&mut self, task: TaskKey, number: u32) {
        self.tally.cancelled += 1;
        if self.planted(Plant::CancelIsIgnored) {
            return;
        }
        let calls = &mut self.query(task.query).calls;
        if calls.get(&task).is_some_and(|(running, _)| *running == number)
            && let Some((_, running)) = calls.remove(&task)
        {
            self.abort(task, running);
        }
    }

    /// A task of the runtime is dropped a little later, perhaps after it was polled once more.
    fn abort(&mut self, task: TaskKey, call: u64) {
        let busy = self.rng.chance(10);
        let moment = if busy { self.rng.below(500 * MS) } else { self.moment() };
        self.after(moment, What::Dropped(task, call));
    }

    fn grant(&mut self, attempt: AttemptKey, node: NodeKey) {
        self.last_progress = self.now;
        self.check_grant(attempt, node);
        self.held.insert(attempt, node);
        if !self.nodes.contains_key(&node) {
            return;
        }
        let Some(call) = self.waiting.remove(&attempt) else { return };
        let at = self.now + self.moment();
        self.running.insert(attempt, (call, at));
        self.queue.push(at, What::Place { attempt, call, node });
    }

    fn end_attempt(&mut self, attempt: AttemptKey, moved: bool) {
        if let Some((call, placed)) = self.running.remove(&attempt) {
            // It comes with the place, and so is never heard of before it.
            let at = placed.max(self.now + self.moment());
            self.queue.push(at, What::Above { attempt, call, moved });
        }
    }

    fn news(&mut self, query: QueryKey, done: bool) {
        let of = self.query(query);
        if of.known {
            of.client.news.push_back(done);
            let moment = self.moment();
            self.after(moment, What::News(query));
        }
    }

    fn forget(&mut self, query: QueryKey) {
        let of = self.query(query);
        of.known = false;
        let calls = std::mem::take(&mut of.calls);
        for (task, (_, call)) in calls {
            self.abort(task, call);
        }
        self.waiting.retain(|attempt, _| attempt.task.query != query);
    }

    fn check_failure(&mut self, query: QueryKey, why: Failure) {
        self.tally.failed += 1;
        match why {
            // Its reason was looked at when it was told.
            Failure::TaskFailed { .. } => {}
            Failure::RowsGone { .. } => {
                self.tally.rows_gone += 1;
                if self.query(query).given.is_empty() {
                    self.violated(Some(query), || "rows are gone, and none were given".into());
                }
            }
            Failure::NoNodes => {
                self.tally.no_nodes += 1;
                let limit = self.setup.no_nodes_after;
                let since = self.no_nodes_since;
                if since.is_none_or(|since| self.now < since + limit) {
                    self.violated(Some(query), || format!("no nodes, but since {since:?}"));
                }
            }
            Failure::Malformed => {
                self.violated(Some(query), || "a well-formed graph is refused".into());
            }
        }
    }

    fn check_reason(&mut self, task: TaskKey, why: Reason) {
        why.hash(&mut self.hash);
        let retries = self.setup.limits.retries;
        let (user, lost) = (self.query(task.query).user_error, self.query(task.query).lost.len());
        let of = self.task(task);
        let explained = match why {
            Reason::User => user,
            Reason::Exhausted => of.counted > retries,
            // With the last node that is as large as the largest there was gone, this can be.
            Reason::Memory => of.need > 1,
            Reason::MostCalls => lost >= 50,
        };
        let counted = of.counted;
        if !explained {
            self.violated(Some(task.query), || {
                format!("{task:?} is given up ({why:?}) after {counted} faults that count")
            });
        }
    }
}
