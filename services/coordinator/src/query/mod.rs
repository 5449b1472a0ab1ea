//! The life of one query: what the client API asks of it, and what it gives back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use waterbear_protocol::Failure;

pub mod handle;
pub mod runner;

pub use handle::QueryHandle;

/// Who asks, and in which session: parsed from the headers of `POST /v1/statement`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientContext {
    /// The session's user.
    pub user: String,
    /// The client program's name for itself.
    pub source: Option<String>,
    /// The session's catalog, lower case.
    pub catalog: Option<String>,
    /// The session's schema, lower case; only with a catalog.
    pub schema: Option<String>,
    /// IANA zone id or offset.
    pub time_zone: Option<String>,
    /// Session properties by name (`name` or `catalog.name`), as sent.
    pub session_properties: BTreeMap<String, String>,
    /// Tags, trimmed, without repetition.
    pub client_tags: Vec<String>,
    /// Free text about the client.
    pub client_info: Option<String>,
    /// The client's token for traces.
    pub trace_token: Option<String>,
    /// What the client can read (`PARAMETRIC_DATETIME`, …).
    pub capabilities: Vec<String>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// The name shown to the client; names may repeat.
    pub name: String,
    /// The type of its values; the client API shows it as a Trino type.
    pub data_type: DataType,
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
