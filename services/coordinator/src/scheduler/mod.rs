//! Places the tasks of a query on workers and watches them until the query ends.

pub mod placement;
pub mod run;
pub mod spooled;
mod watch;

pub use run::{QueryRun, RunOptions};
