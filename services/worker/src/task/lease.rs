//! Who still asks for a task.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// When a task's coordinator was last heard of.
#[derive(Debug)]
pub(crate) struct Lease {
    /// When its last request came.
    asked: watch::Sender<Instant>,
    /// When it was last heard, or its silence forgiven.
    heard: Mutex<Instant>,
}

impl Lease {
    /// The lease of a task that was asked for just now.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { asked: watch::Sender::new(now), heard: Mutex::new(now) }
    }

    /// A request of the coordinator's has come.
    pub(crate) fn renew(&self) {
        self.asked.send_replace(Instant::now());
        self.forgive();
    }

    /// Nobody could have heard the coordinator. That says nothing of whether it still waits for the
    /// task: a process that stood still answers old requests when it goes on.
    pub(crate) fn forgive(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the coordinator was not heard.
    pub(crate) fn silence(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Waits for a request of the coordinator's, unless one came within `recent`.
    pub(crate) async fn asked_within(&self, recent: Duration) {
        let mut asked = self.asked.subscribe();
        // It fails only when the sender is gone, which is this.
        let _ = asked.wait_for(|at| at.elapsed() <= recent).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECENT: Duration = Duration::from_secs(3);

    /// Whether the task would be committed by now.
    async fn is_wanted(lease: &Lease) -> bool {
        tokio::time::timeout(Duration::ZERO, lease.asked_within(RECENT)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_just_now_is_wanted() {
        let lease = Lease::new();
        assert!(is_wanted(&lease).await);
        tokio::time::advance(RECENT).await;
        assert!(is_wanted(&lease).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_stood_still_finds_what_waited_for_it() {
        let lease = Lease::new();
        tokio::time::advance(Duration::from_secs(5)).await;
        let start = Instant::now();
        let ask = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            lease.renew();
        };
        tokio::join!(lease.asked_within(RECENT), ask);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_stood_still_waits_for_a_new_request() {
        let lease = Lease::new();
        tokio::time::advance(Duration::from_secs(60)).await;
        // It goes on: the request that it was holding ends, and its own late tick forgives.
        lease.forgive();
        assert_eq!(lease.silence(), Duration::ZERO);
        assert!(!is_wanted(&lease).await);
        lease.renew();
        assert!(is_wanted(&lease).await);
    }
}
