//! When a worker counts as lost: what was heard of it, by all who speak with it.
//!
//! Silence is judged over everything that this coordinator asks of one life of a worker, not over
//! one request: it is lost when nobody has heard of it for the lease. Only time in which somebody
//! asked counts, and only time in which this process ran: when its own tick was late, all leases
//! start anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use waterbear_protocol::membership::NodeInfo;

use super::watch::Watched;

const TICK: Duration = Duration::from_millis(250);
/// A tick that is so late means that this process stood still, not that workers were silent.
const LATE: Duration = Duration::from_secs(1);
/// How much longer than its worker one attempt may be silent: a worker's last answer may have
/// been to another one.
const MARGIN: Duration = Duration::from_millis(1500);

/// What is heard of all workers. Clones are the same.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lease: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ticked: Instant,
    /// No silence from before counts.
    since: Instant,
    /// By incarnation.
    contacts: HashMap<u64, Weak<Contact>>,
}

/// One life of a worker, as long as anybody speaks with it.
#[derive(Debug)]
pub(super) struct Contact {
    health: Arc<Inner>,
    heard: Mutex<Instant>,
    /// Attempts that could not be aborted.
    left: Mutex<Vec<Arc<Watched>>>,
}

/// What silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// The worker lives, but of this attempt it says nothing.
    AttemptLost,
    /// The worker is lost.
    NodeLost,
}

/// The silence in one conversation about one attempt.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    contact: &'a Contact,
    began: Instant,
    answered: Instant,
}

impl Health {
    /// Workers may be silent for `lease`; the clock runs on `io`.
    pub fn start(io: &Handle, lease: Duration) -> Self {
        let health = Self::new(lease);
        let inner = Arc::downgrade(&health.0);
        io.spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let Some(inner) = inner.upgrade() else { return };
                inner.lock().tick(Instant::now());
            }
        });
        health
    }

    fn new(lease: Duration) -> Self {
        let now = Instant::now();
        let state = State { ticked: now, since: now, contacts: HashMap::new() };
        Self(Arc::new(Inner { lease, state: Mutex::new(state) }))
    }

    /// How long a worker may be silent.
    pub fn lease(&self) -> Duration {
        self.0.lease
    }

    pub(super) fn contact(&self, node: &NodeInfo) -> Arc<Contact> {
        let incarnation = node.incarnation.as_u64();
        let mut state = self.0.lock();
        if let Some(contact) = state.contacts.get(&incarnation).and_then(Weak::upgrade) {
            return contact;
        }
        let contact = Arc::new(Contact {
            health: Arc::clone(&self.0),
            heard: Mutex::new(Instant::now()),
            left: Mutex::default(),
        });
        state.contacts.retain(|_, contact| contact.strong_count() > 0);
        state.contacts.insert(incarnation, Arc::downgrade(&contact));
        contact
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Also called before each verdict: whoever woke first after a standstill must know of it.
    fn tick(&mut self, now: Instant) {
        if now - self.ticked > TICK + LATE {
            tracing::warn!(late = ?(now - self.ticked), "this coordinator stood still");
            self.since = now;
        }
        self.ticked = now;
    }
}

impl Contact {
    /// The worker has answered, whatever it said.
    pub(super) fn heard(&self) {
        self.heard_at(Instant::now());
    }

    fn heard_at(&self, now: Instant) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Begins a conversation.
    pub(super) fn patience(&self) -> Patience<'_> {
        self.patience_at(Instant::now())
    }

    fn patience_at(&self, now: Instant) -> Patience<'_> {
        Patience { contact: self, began: now, answered: now }
    }

    pub(super) fn lease(&self) -> Duration {
        self.health.lease
    }

    /// The attempt may still run there.
    pub(super) fn leave(&self, attempt: Arc<Watched>) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }

    /// What may still run there and is to be aborted, once.
    pub(super) fn take_left(&self) -> Vec<Arc<Watched>> {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Patience<'_> {
    /// The worker has answered as it should.
    pub(super) fn answered(&mut self) {
        self.answered_at(Instant::now());
    }

    fn answered_at(&mut self, now: Instant) {
        self.answered = now;
        self.contact.heard_at(now);
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict_at(Instant::now())
    }

    fn verdict_at(&self, now: Instant) -> Verdict {
        let inner = &self.contact.health;
        let since = {
            let mut state = inner.lock();
            state.tick(now);
            state.since
        };
        let heard = *self.contact.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let own = now.saturating_duration_since(self.answered.max(since));
        let all = now.saturating_duration_since(heard.max(self.began).max(since));
        match () {
            () if own >= inner.lease && all >= inner.lease => Verdict::NodeLost,
            () if own >= inner.lease + MARGIN => Verdict::AttemptLost,
            () => Verdict::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::testing::worker;

    const LEASE: Duration = Duration::from_secs(3);

    /// A clock that ticks for `health`.
    struct Clock<'a> {
        health: &'a Health,
        now: Instant,
    }

    impl Clock<'_> {
        fn pass(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.now = end.min(self.now + TICK);
                self.health.0.lock().tick(self.now);
            }
        }
    }

    #[test]
    fn a_worker_is_lost_when_nobody_hears_of_it() {
        let health = Health::new(LEASE);
        let mut clock = Clock { health: &health, now: Instant::now() };
        let contact = health.contact(&worker("a", 1));
        let (mut one, other) = (contact.patience_at(clock.now), contact.patience_at(clock.now));
        clock.pass(LEASE - TICK);
        one.answered_at(clock.now);
        clock.pass(TICK);
        assert_eq!(other.verdict_at(clock.now), Verdict::Wait, "another one has heard of it");
        clock.pass(MARGIN);
        assert_eq!(other.verdict_at(clock.now), Verdict::AttemptLost);
        assert_eq!(one.verdict_at(clock.now), Verdict::Wait);
        clock.pass(LEASE - MARGIN - TICK);
        assert_eq!(one.verdict_at(clock.now), Verdict::NodeLost);
        assert_eq!(other.verdict_at(clock.now), Verdict::NodeLost);
    }

    #[test]
    fn time_in_which_nobody_asked_is_no_silence() {
        let health = Health::new(LEASE);
        let mut clock = Clock { health: &health, now: Instant::now() };
        let contact = health.contact(&worker("a", 1));
        clock.pass(LEASE * 10);
        let asked = contact.patience_at(clock.now);
        assert_eq!(asked.verdict_at(clock.now), Verdict::Wait);
        clock.pass(LEASE);
        assert_eq!(asked.verdict_at(clock.now), Verdict::NodeLost);
    }

    #[test]
    fn a_standstill_of_this_process_is_nobodys_silence() {
        let health = Health::new(LEASE);
        let mut clock = Clock { health: &health, now: Instant::now() };
        let contact = health.contact(&worker("a", 1));
        let asked = contact.patience_at(clock.now);
        clock.pass(LEASE - TICK);
        // Shorter than the lease, and whoever wakes first asks for the verdict.
        clock.now += TICK + LATE + Duration::from_millis(1);
        assert_eq!(asked.verdict_at(clock.now), Verdict::Wait);
        clock.pass(LEASE - TICK);
        assert_eq!(asked.verdict_at(clock.now), Verdict::Wait);
        clock.pass(TICK);
        assert_eq!(asked.verdict_at(clock.now), Verdict::NodeLost);
    }

    #[test]
    fn contacts_are_shared_while_anybody_has_one() {
        let health = Health::new(LEASE);
        let one = health.contact(&worker("a", 1));
        assert!(Arc::ptr_eq(&one, &health.contact(&worker("a", 1))));
        assert!(!Arc::ptr_eq(&one, &health.contact(&worker("a", 2))), "another life of it");
        drop(one);
        health.contact(&worker("b", 3));
        assert_eq!(health.0.lock().contacts.len(), 1, "those that are over are forgotten");
    }
}
