//! A Tower layer that counts requests, errors and durations with the crate metrics.
