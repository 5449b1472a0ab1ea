//! Counters of what goes over the wire.

use metrics::{Counter, Label};

/// `waterbear_exchange_bytes_total` by direction, and `waterbear_exchange_referenced_bytes_total`,
/// with the labels of a service.
#[derive(Clone)]
pub struct ExchangeMetrics {
    /// Bytes of pages given to readers.
    pub sent: Counter,
    /// Bytes that the rows in these pages reference in memory.
    pub sent_referenced: Counter,
    /// Bytes of pages read from producers.
    pub received: Counter,
}

impl ExchangeMetrics {
    /// Counters with the given labels (`role`, `node`).
    pub fn new(labels: &[Label]) -> Self {
        let counter = |direction: &'static str| {
            let mut labels = labels.to_vec();
            labels.push(Label::from_static_parts("direction", direction));
            metrics::counter!("waterbear_exchange_bytes_total", labels)
        };
        Self {
            sent: counter("out"),
            sent_referenced: metrics::counter!(
                "waterbear_exchange_referenced_bytes_total",
                labels.to_vec()
            ),
            received: counter("in"),
        }
    }
}

impl std::fmt::Debug for ExchangeMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExchangeMetrics").finish_non_exhaustive()
    }
}
