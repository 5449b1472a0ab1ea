//! Output that goes to the spool instead of to readers, and readers that find it there.

mod fetch;
mod sink;

pub use fetch::SpoolFetch;
pub use sink::SpoolSink;
