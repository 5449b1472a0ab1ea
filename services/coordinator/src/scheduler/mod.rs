//! Places the tasks of a query on workers and watches them until the query ends.

mod endings;
pub mod health;
pub mod placement;
pub mod run;
pub mod spooled;
#[cfg(test)]
mod testing;
mod watch;

pub use endings::Endings;
pub use run::{QueryRun, RunOptions};
