//! The client of a query, and what the coordinator does to give it its rows. After
//! spooled/rows.rs.

use waterbear_scheduler::{AttemptKey, QueryKey, TaskKey};

use crate::base::{MS, S};
use crate::setup::Fault;
use crate::sim::Sim;
use crate::state::{Message, Reading, What};

impl Sim {
    /// A client that waits hears whether all root tasks are committed.
    pub(crate) fn hears(&mut self, query: QueryKey) {
        let of = self.query(query);
        if of.client.state != Reading::Waits {
            return;
        }
        match of.client.news.pop_front() {
            Some(true) => self.read_next_task(query),
            Some(false) => self.end_client(query),
            // Nobody is there to tell it anything: that is an error, too.
            None if !of.known => self.end_client(query),
            None => {}
        }
    }

    /// A client reads on.
    pub(crate) fn reads(&mut self, query: QueryKey) {
        if let Reading::Reads { attempt, batches, given } = self.query(query).client.state {
            self.read_batch(query, attempt, batches, given);
        }
    }

    fn read_next_task(&mut self, query: QueryKey) {
        let of = self.query(query);
        let stage = of.stages.len() as u32 - 1;
        let task = of.client.read.len() as u32;
        let key = TaskKey { query, stage, task };
        if task >= of.stages[stage as usize].tasks {
            self.tally.done += 1;
            let read = self.query(query).client.read.clone();
            self.check_rows(query, &read, "the client's rows");
            return self.end_client(query);
        }
        let state = match self.task(key).winner {
            Some(winner) => {
                let batches = self.rng.between(1, 4);
                let attempt = key.attempt(winner);
                self.read_later(query);
                Reading::Reads { attempt, batches, given: false }
            }
            None => {
                self.after(0, What::News(query));
                Reading::Waits
            }
        };
        self.query(query).client.state = state;
    }

    fn read_later(&mut self, query: QueryKey) {
        // Clients take their time now and then.
        let slow = self.rng.chance(30);
        let late = self.rng.spread(MS, if slow { 3 * S } else { 100 * MS });
        self.after(late, What::Client(query));
    }

    fn read_batch(&mut self, query: QueryKey, attempt: AttemptKey, batches: u64, given: bool) {
        if batches == 0 {
            self.query(query).client.read.push(attempt);
            return self.read_next_task(query);
        }
        let of = self.query(query);
        let inline = of.truth.get(&attempt).is_some_and(|output| output.inline);
        let mut lost = of.bad.contains(&attempt) && !inline;
        if self.planted(crate::plant::Plant::ChecksumIsSkipped) {
            lost = false;
        }
        if self.faulty && self.setup.breaks(Fault::FalseLoss) && self.rng.chance(50) {
            lost = true;
        }
        if lost {
            self.tally.results_lost += 1;
            let client = &mut self.query(query).client;
            let failed = client.news.contains(&false);
            client.news.clear();
            client.state = Reading::Waits;
            if failed {
                // A failure that is drained is never heard of again.
                self.tally.drained_failures += 1;
            }
            self.after(MS, What::News(query));
            self.mail(Message::OutputLost(attempt));
            if given {
                self.tally.given_lost += 1;
            }
            return;
        }
        self.check_given(attempt, given);
        if !given {
            self.mail(Message::RowsGiven(attempt.task));
        }
        self.query(query).client.state =
            Reading::Reads { attempt, batches: batches - 1, given: true };
        self.read_later(query);
    }

    /// The query is over for its client: it has all rows, or an error, or has left.
    pub(crate) fn end_client(&mut self, query: QueryKey) {
        let now = self.now;
        let of = self.query(query);
        if of.over.is_some() {
            return;
        }
        of.over = Some(now);
        of.client.state = Reading::Ended;
        self.last_progress = now;
        self.mail(Message::Over(query));
        self.delete_soon(query);
    }
}
