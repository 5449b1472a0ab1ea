//! The life of one query: what the client API asks of it, and what it gives back.

use std::sync::Arc;

use async_trait::async_trait;
use waterbear_protocol::Failure;

pub mod handle;
pub mod limits;
mod output;
mod pad;
pub mod runner;

pub use handle::QueryHandle;
pub use output::{Output, OutputColumn, SessionChanges};
pub use waterbear_dialect::ClientContext;

/// Runs statements: implemented by the query engine, called by the client API.
#[async_trait]
pub trait StatementRunner: Send + Sync {
    /// Plans and starts one statement. Reports states and tasks through `query` as they change.
    ///
    /// # Errors
    /// The failure that the client shall see; places are those of the client's own text.
    async fn run(&self, query: Arc<QueryHandle>) -> Result<Output, Failure>;
}
