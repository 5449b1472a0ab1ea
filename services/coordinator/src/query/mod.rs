//! The life of one query: what the client API asks of it, and what it gives back.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use waterbear_protocol::Failure;
use waterbear_types::TrinoType;

pub mod handle;
pub mod runner;

pub use handle::QueryHandle;
pub use waterbear_dialect::ClientContext;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// The name shown to the client; names may repeat.
    pub name: String,
    /// The type of its values.
    pub trino_type: TrinoType,
}

/// What a statement answers: columns, then rows, and what changes in the client's session.
pub struct Output {
    /// The columns of every batch.
    pub columns: Vec<OutputColumn>,
    /// The rows. Dropping the stream cancels what still runs.
    pub batches: BoxStream<'static, Result<RecordBatch, Failure>>,
    /// `updateType` of the client protocol, for statements that are not queries.
    pub update_type: Option<String>,
    /// A new session catalog (USE).
    pub set_catalog: Option<String>,
    /// A new session schema (USE).
    pub set_schema: Option<String>,
}

/// Runs statements: implemented by the query engine, called by the client API.
#[async_trait]
pub trait StatementRunner: Send + Sync {
    /// Plans and starts one statement. Reports states and tasks through `query` as they change.
    ///
    /// # Errors
    /// The failure that the client shall see; places are those of the client's own text.
    async fn run(&self, query: Arc<QueryHandle>) -> Result<Output, Failure>;
}
