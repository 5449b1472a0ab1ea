//! Logs to stderr and one metric registry for a process.
