//! How long to wait before a discovery that did not answer is asked again.

use std::time::Duration;

/// Short at first, so that nodes that start together find each other at once; then easy on a
/// discovery that is really away.
#[derive(Debug, Default)]
pub(crate) struct RetryPause {
    failures: u32,
}

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(1);
const SHORT_PAUSES: u32 = 50;

impl RetryPause {
    /// It answered.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure.
    pub fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if self.failures <= SHORT_PAUSES { SHORT } else { LONG }
    }
}
