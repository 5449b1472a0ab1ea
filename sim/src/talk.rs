//! One attempt as a conversation with its worker. After spooled/attempt.rs and scheduler/watch.rs.

use std::rc::Rc;

use attempts::Event;
use waterbear_scheduler::{AttemptKey, NodeKey};

use crate::base::{MS, S};
use crate::plant::Plant;
use crate::setup::Fault;
use crate::sim::{LEASE, Sim};
use crate::state::{Answer, Cause, Kind, LiveState, Message, Order, Request, Talk, What};

impl Sim {
    /// A place is granted: its attempt begins, or whoever wanted it is gone.
    pub(crate) fn placed(&mut self, attempt: AttemptKey, id: u64, node: NodeKey) {
        let live = self.live_mut(attempt, id).filter(|live| live.state == LiveState::Waits);
        let Some(live) = live else {
            if !self.planted(Plant::WishIsNotWithdrawn) {
                self.mail(Message::Released(attempt));
            }
            return;
        };
        let memory = live.memory;
        self.next_request += 1;
        let request = self.next_request;
        let talk = Talk { node, request, created: false, heard: self.now, asked: self.now };
        if let Some(live) = self.live_mut(attempt, id) {
            live.state = LiveState::Talks(talk);
        }
        let inputs = self.inputs(attempt);
        if let Some(inputs) = &inputs {
            self.task(attempt.task).begun.insert(attempt.attempt, node);
            let order = Rc::new(Order { inputs: inputs.clone(), memory });
            self.request(attempt, id, request, node, Kind::Create(order));
            self.after(LEASE, What::Silence { attempt, call: id, request });
            if self.rng.chance(self.setup.hedges) {
                let late = self.rng.spread(10 * MS, 3 * S);
                self.after(late, What::Straggles(attempt));
            }
        }
        self.tell(attempt.task, id, Event::Placed { attempt: attempt.attempt, node });
        if inputs.is_none() {
            self.tally.input_missing += 1;
            self.fail(attempt, id, Cause::Lost(Vec::new()));
        }
    }

    pub(crate) fn request(
        &mut self,
        attempt: AttemptKey,
        call: u64,
        number: u64,
        node: NodeKey,
        kind: Kind,
    ) {
        self.send(Request { kind, attempt, call, number, node });
    }

    /// Its node is lost, or is to be emptied. What ends so is not aborted by a request.
    pub(crate) fn ended_from_above(&mut self, attempt: AttemptKey, id: u64, moved: bool) {
        let Some(talk) = self.talk(attempt, id) else { return };
        self.request(attempt, id, talk.request, talk.node, Kind::Hangup);
        self.fail(attempt, id, if moved { Cause::Abandoned } else { Cause::Node });
    }

    fn talk(&mut self, attempt: AttemptKey, id: u64) -> Option<Talk> {
        match &self.live_mut(attempt, id)?.state {
            LiveState::Talks(talk) => Some(talk.clone()),
            _ => None,
        }
    }

    pub(crate) fn reply(&mut self, attempt: AttemptKey, id: u64, request: u64, answer: Answer) {
        let Some(talk) = self.talk(attempt, id).filter(|talk| talk.request == request) else {
            return;
        };
        match answer {
            Answer::Running => {
                self.poll(attempt, id, true);
            }
            Answer::Finished => self.finished(attempt, id, &talk),
            Answer::Failed(cause) => self.fail(attempt, id, cause),
            // An answer to `create` without a failure is an end without an output.
            Answer::Aborted if !talk.created => self.fail(attempt, id, Cause::Internal),
            Answer::Aborted => self.fail(attempt, id, Cause::Abandoned),
            error => self.broken(attempt, id, &talk, &error),
        }
    }

    pub(crate) fn silence(&mut self, attempt: AttemptKey, id: u64, request: u64) {
        if let Some(talk) = self.talk(attempt, id).filter(|talk| talk.request == request) {
            self.request(attempt, id, request, talk.node, Kind::Hangup);
            self.broken(attempt, id, &talk, &Answer::Broken);
        }
    }

    /// A request has no answer, or one that nothing can be made of.
    fn broken(&mut self, attempt: AttemptKey, id: u64, talk: &Talk, error: &Answer) {
        let last = matches!(error, Answer::Unknown | Answer::Conflict | Answer::Refused);
        let late = self.now - talk.asked > LEASE + S;
        if talk.created && late {
            // The coordinator itself stood still: the silence was its own.
            let now = self.now;
            if let Some(live) = self.live_mut(attempt, id)
                && let LiveState::Talks(talk) = &mut live.state
            {
                talk.heard = now;
            }
        }
        let silent = self.now - talk.heard >= LEASE;
        if !talk.created || (!late && (last || silent)) {
            if *error != Answer::Unknown {
                self.tally.silent += 1;
                self.note_loss(talk.node);
            }
            self.fail(attempt, id, Cause::Node);
            return;
        }
        let request = talk.request;
        self.after(50 * MS, What::Again { attempt, call: id, request });
        // No answer to the request that broke counts any more.
        self.next_request += 1;
        let next = self.next_request;
        if let Some(live) = self.live_mut(attempt, id)
            && let LiveState::Talks(talk) = &mut live.state
        {
            talk.request = next;
        }
    }

    /// The node is lost, not the attempt alone.
    fn note_loss(&mut self, node: NodeKey) {
        if let Some(known) = self.nodes.get_mut(&node).filter(|known| !known.lost) {
            known.lost_at.get_or_insert(self.now);
        }
        if !self.planted(Plant::LossIsNotReported) {
            self.mail(Message::Lost(node));
        }
    }

    pub(crate) fn poll_again(&mut self, attempt: AttemptKey, id: u64, request: u64) {
        // The pause is over only if the attempt has not gone on otherwise.
        if self.talk(attempt, id).is_some_and(|talk| talk.request > request) {
            self.poll(attempt, id, false);
        }
    }

    fn poll(&mut self, attempt: AttemptKey, id: u64, heard: bool) {
        self.next_request += 1;
        let (number, now) = (self.next_request, self.now);
        let Some(live) = self.live_mut(attempt, id) else { return };
        let LiveState::Talks(talk) = &mut live.state else { return };
        if heard || !talk.created {
            talk.heard = now;
        }
        (talk.created, talk.asked, talk.request) = (true, now, number);
        let node = talk.node;
        self.request(attempt, id, number, node, Kind::Poll);
        self.after(LEASE, What::Silence { attempt, call: id, request: number });
    }

    /// The output is committed. Once for each worker it is looked whether that is seen here.
    fn finished(&mut self, attempt: AttemptKey, id: u64, talk: &Talk) {
        self.mail(Message::Released(attempt));
        if self.seen.contains(&talk.node.incarnation) {
            return self.win(attempt, id);
        }
        if let Some(live) = self.live_mut(attempt, id) {
            live.state = LiveState::Looks;
        }
        let late = self.rng.spread(200, 50 * MS);
        self.after(late, What::Seen { attempt, call: id });
    }

    pub(crate) fn location_checked(&mut self, attempt: AttemptKey, id: u64) {
        if self.live_mut(attempt, id).is_none_or(|live| live.state != LiveState::Looks) {
            return;
        }
        if self.committed_record(attempt) == Some(true) {
            let node = self.task(attempt.task).begun.get(&attempt.attempt).copied();
            self.seen.extend(node.map(|node| node.incarnation));
            self.win(attempt, id);
        } else {
            // It counts, though the attempt has done nothing wrong.
            self.tally.misplaced += 1;
            self.fail(attempt, id, Cause::Internal);
        }
    }

    // === the network

    /// Sends a request to a worker.
    pub(crate) fn send(&mut self, request: Request) {
        let worker = request.node.node as usize;
        let mut late = self.rng.spread(100, 2 * MS);
        if self.faulty && self.setup.breaks(Fault::BadNetwork) {
            if self.rng.chance(100) {
                late = self.rng.spread(MS, 800 * MS);
            }
            if self.rng.chance(50) {
                // Twice: a connection that broke while it was sent was taken for a stale one.
                let again = late + self.rng.spread(100, 300 * MS);
                self.after(again, What::ToWorker { worker, request: request.clone() });
            }
        }
        let cut = self.workers[worker].cut_there;
        if self.now < cut {
            if self.rng.chance(500) {
                return;
            }
            // Sent again and again, until it is heard.
            late += cut - self.now;
        }
        self.after(late, What::ToWorker { worker, request });
    }

    /// A worker's answer, on its way to the coordinator.
    pub(crate) fn answer(&mut self, worker: usize, request: &Request, answer: Answer) {
        let mut late = self.rng.spread(100, 2 * MS);
        let mut answer = answer;
        if self.faulty {
            if self.setup.breaks(Fault::LostAnswers) && self.rng.chance(100) {
                self.tally.broken += 1;
                answer = Answer::Broken;
            }
            if self.setup.breaks(Fault::BadNetwork) && self.rng.chance(100) {
                late = self.rng.spread(MS, 800 * MS);
            }
        }
        let cut = self.workers[worker].cut_back;
        if self.now < cut {
            if self.rng.chance(500) {
                return;
            }
            late += cut - self.now;
        }
        let Request { kind, attempt, call, number, node } = request.clone();
        let what = match kind {
            Kind::Create(_) | Kind::Poll => What::Reply { attempt, call, request: number, answer },
            Kind::Probe(since) => What::Probed { node, since, number, answer },
            Kind::Abort | Kind::Hangup => return,
        };
        self.after(late, what);
    }
}
