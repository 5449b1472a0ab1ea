//! Output that goes to the spool instead of to readers, and readers that find it there.

mod fetch;
mod sink;

pub use fetch::{SpoolFetch, SpoolReads};
pub use sink::SpoolSink;
