//! Places the tasks of a query on workers and watches them until the query ends.

pub mod health;
pub mod placement;
pub mod run;
pub mod spooled;
#[cfg(test)]
mod testing;
mod watch;

pub use run::{QueryRun, RunOptions};
