//! Logs that repeat: at most once a minute per reason.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Reasons kept at once: more of them share one entry, so that a stranger who invents reasons
/// neither fills memory nor the log.
const MAX_REASONS: usize = 64;

/// Says whether a reason may be logged again, and how often it was held back.
#[derive(Debug)]
pub struct LogLimit {
    period: Duration,
    reasons: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug)]
struct Seen {
    logged: Instant,
    held_back: u64,
}

impl LogLimit {
    /// Each reason at most once a minute.
    pub fn per_minute() -> Self {
        Self { period: Duration::from_secs(60), reasons: Mutex::default() }
    }

    /// `Some(times held back since it was logged last)` when `reason` is to be logged now.
    pub fn admit(&self, reason: &str, now: Instant) -> Option<u64> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let full = reasons.len() >= MAX_REASONS && !reasons.contains_key(reason);
        let reason = if full { "" } else { reason };
        let Some(seen) = reasons.get_mut(reason) else {
            reasons.insert(reason.to_owned(), Seen { logged: now, held_back: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(seen.logged) < self.period {
            seen.held_back += 1;
            return None;
        }
        seen.logged = now;
        Some(std::mem::take(&mut seen.held_back))
    }
}

/// The name of an error's variant: a reason without the figures in its text, which would make each
/// text a reason of its own.
pub fn variant_name(error: &impl Debug) -> String {
    format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_once_a_minute_with_what_was_held_back() {
        let limit = LogLimit::per_minute();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limit.admit("wrong secret", start), Some(0));
        assert_eq!(limit.admit("wrong secret", after(1)), None);
        assert_eq!(limit.admit("expired", after(2)), Some(0));
        assert_eq!(limit.admit("wrong secret", after(59)), None);
        assert_eq!(limit.admit("wrong secret", after(60)), Some(2));
        assert_eq!(limit.admit("wrong secret", after(61)), None);
    }

    #[test]
    fn variants_are_reasons_whatever_their_figures() {
        #[derive(Debug)]
        #[allow(dead_code)]
        enum Cause {
            Expired { seconds: u64 },
            Broken(String),
        }
        assert_eq!(variant_name(&Cause::Expired { seconds: 7 }), "Expired");
        assert_eq!(variant_name(&Cause::Broken("pipe".to_owned())), "Broken");
    }

    #[test]
    fn invented_reasons_share_one_entry() {
        let limit = LogLimit::per_minute();
        let now = Instant::now();
        let logged = (0..1000).filter(|n| limit.admit(&format!("reason {n}"), now).is_some());
        assert_eq!(logged.count(), MAX_REASONS + 1);
    }
}
