//! Places the tasks of a query on workers and watches them until the query ends.

mod endings;
pub mod placement;
pub mod run;
pub mod spooled;
mod watch;

pub use endings::Endings;
pub use run::{QueryRun, RunOptions};
