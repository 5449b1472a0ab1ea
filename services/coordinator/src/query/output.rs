//! What a statement gives back.

use std::future::Future;
use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use waterbear_protocol::client::Warning;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

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
    /// The only value of the only row is `updateCount`: see [`Output::update`].
    pub counts: bool,
    /// What changes in the client's session.
    pub changes: SessionChanges,
    /// What the user should know though the statement goes on.
    pub warnings: Vec<Warning>,
}

impl Output {
    /// The rows of a query.
    pub fn rows(
        columns: Vec<OutputColumn>,
        batches: BoxStream<'static, Result<RecordBatch, Failure>>,
    ) -> Self {
        Self {
            columns,
            batches,
            update_type: None,
            counts: false,
            changes: SessionChanges::default(),
            warnings: Vec::new(),
        }
    }

    /// A statement that is done and gives no rows (DDL, SET SESSION, …).
    pub fn done(update_type: &str) -> Self {
        let update_type = Some(update_type.to_owned());
        Self { update_type, ..Self::rows(Vec::new(), stream::empty().boxed()) }
    }

    /// A statement that writes: `count` resolves to the number of rows once they are written. The
    /// client gets it as the only row of one column `rows bigint`, and as `updateCount`.
    pub fn update(
        update_type: &str,
        count: impl Future<Output = Result<u64, Failure>> + Send + 'static,
    ) -> Self {
        let rows = OutputColumn { name: "rows".to_owned(), trino_type: TrinoType::Plain("bigint") };
        let batch = async move { count_row(count.await?) };
        Self {
            update_type: Some(update_type.to_owned()),
            counts: true,
            ..Self::rows(vec![rows], stream::once(batch).boxed())
        }
    }

    /// The output with these changes of the client's session.
    pub fn with_changes(mut self, changes: SessionChanges) -> Self {
        self.changes = changes;
        self
    }
}

fn count_row(count: u64) -> Result<RecordBatch, Failure> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let schema = Schema::new(vec![Field::new("rows", DataType::Int64, false)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![count]))])
        .map_err(|error| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string()))
}

/// What a statement changes in its client's session. The client keeps it, not the coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionChanges {
    /// A new catalog (USE).
    pub set_catalog: Option<String>,
    /// A new schema (USE).
    pub set_schema: Option<String>,
    /// A new path (SET PATH).
    pub set_path: Option<String>,
    /// Session properties by name, with their values (SET SESSION).
    pub set_session: Vec<(String, String)>,
    /// Session properties that have their defaults again (RESET SESSION).
    pub clear_session: Vec<String>,
    /// Roles by catalog (SET ROLE): `ROLE{x}`, `ALL` or `NONE`.
    pub set_roles: Vec<(String, String)>,
    /// Prepared statements by name (PREPARE).
    pub added_prepared: Vec<(String, String)>,
    /// Names of prepared statements that are no more (DEALLOCATE PREPARE).
    pub deallocated_prepared: Vec<String>,
    /// The transaction that began (START TRANSACTION).
    pub started_transaction: Option<String>,
    /// The transaction is over (COMMIT, ROLLBACK).
    pub clear_transaction: bool,
    /// Another user (SET SESSION AUTHORIZATION).
    pub set_authorization_user: Option<String>,
    /// The first user again (RESET SESSION AUTHORIZATION).
    pub reset_authorization_user: bool,
}
