//! What a connector may change: its schemas, tables and views, and the write contract for rows.
//!
//! # The write contract
//! Rows reach a table in four steps, so that it does not matter how often a task is tried:
//!
//! 1. [`ConnectorWrites::begin`] checks everything that can be checked before any work, and gives
//!    a [`TableWrite`]. Nobody sees a change yet.
//! 2. Each attempt of each task that produces rows opens a [`WriteAttempt`] of its own and appends
//!    batches to it. Attempts know nothing of each other; several attempts of one task may run at
//!    the same time, here or, for a connector whose attempts can run on workers, on other nodes.
//! 3. An attempt that has all its rows says so by [`WriteAttempt::finish`], which gives a
//!    [`Written`]. One that is dropped instead leaves nothing behind.
//! 4. [`TableWrite::commit`] takes exactly one [`Written`] of each task: those of the attempts
//!    that won. All their rows become visible at once, and everything else is discarded. A write
//!    that is dropped without a commit is aborted: nothing of it stays.
//!
//! Under retries (a policy other than NONE) rows are written only if the connector says that it can
//! keep this contract: [`ConnectorWrites::check_retries`]. So far the coordinator writes all rows, in
//! one attempt, and takes them from outputs that have won: no row comes twice or is taken back, and
//! `commit` is called once. What writing on workers will ask of a connector later: `commit` must
//! discard attempts that are not among the winners, finished or not, and must be safe to repeat with
//! the same winners when its answer was lost. Attempts may still append after the commit of another
//! attempt of their task; what they write must never become visible.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use waterbear_protocol::{ErrorCode, Failure};

use crate::connector::{Column, ConnectorError};

/// A schema's name and the name of a table or view in it, both lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table or view.
    pub table: String,
}

/// A table as CREATE TABLE describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDefinition {
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// COMMENT.
    pub comment: Option<String>,
}

/// A view as CREATE VIEW describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewDefinition {
    /// The text of its query.
    pub sql: String,
    /// The catalog of the session that made it; names in its text are resolved there.
    pub catalog: Option<String>,
    /// The schema of the session that made it.
    pub schema: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// COMMENT.
    pub comment: Option<String>,
    /// Who made it, unless it runs as whoever asks (SECURITY INVOKER).
    pub owner: Option<String>,
}

/// Where rows are to go.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteTarget {
    /// A table that does not exist yet and comes to be at the commit.
    Create(TableDefinition),
    /// A table that exists; rows have all its columns, in its order.
    Insert,
}

/// Rows that one attempt has written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The attempt's number, unique within its write.
    pub attempt: u32,
    /// How many rows.
    pub rows: u64,
}

/// One write to one table, from its begin to its commit; dropping it aborts it.
#[async_trait]
pub trait TableWrite: Send + Sync + Debug {
    /// Returns the columns that batches must have: these types, in this order.
    fn columns(&self) -> &[Column];

    /// Starts an attempt. `number` is unique within the write.
    ///
    /// # Errors
    /// If there is no place for it.
    async fn attempt(&self, number: u32) -> Result<Box<dyn WriteAttempt>, ConnectorError>;

    /// Makes the rows of the winners visible, all at once, and discards all others; returns how
    /// many rows.
    ///
    /// # Errors
    /// If the table changed in a way that the rows do not fit any more, or is there already; then
    /// nothing is visible.
    async fn commit(&self, winners: &[Written]) -> Result<u64, ConnectorError>;
}

/// One attempt at producing rows; dropping it discards them.
#[async_trait]
pub trait WriteAttempt: Send {
    /// Takes rows.
    ///
    /// # Errors
    /// If they do not fit into the table, or into the connector's limits.
    async fn append(&mut self, batch: RecordBatch) -> Result<(), ConnectorError>;

    /// Says that these were all rows.
    ///
    /// # Errors
    /// If they cannot be kept.
    async fn finish(self: Box<Self>) -> Result<Written, ConnectorError>;
}

fn refuse<T>(what: &str) -> Result<T, ConnectorError> {
    let message = format!("This connector does not support {what}");
    Err(Failure::new(ErrorCode::NOT_SUPPORTED, message).into())
}

/// Changes to what a catalog holds. What a connector does not have is refused in Trino's words.
///
/// Whether a name is taken or missing is checked by the connector itself, under whatever lock it
/// has, so that two statements at the same time cannot both win.
#[async_trait]
pub trait ConnectorWrites: Send + Sync + Debug {
    /// CREATE SCHEMA.
    async fn create_schema(&self, _schema: &str) -> Result<(), ConnectorError> {
        refuse("creating schemas")
    }

    /// DROP SCHEMA; with `cascade`, with all that is in it.
    async fn drop_schema(&self, _schema: &str, _cascade: bool) -> Result<(), ConnectorError> {
        refuse("dropping schemas")
    }

    /// ALTER SCHEMA … RENAME TO.
    async fn rename_schema(&self, _schema: &str, _to: &str) -> Result<(), ConnectorError> {
        refuse("renaming schemas")
    }

    /// CREATE TABLE without rows.
    async fn create_table(
        &self,
        _name: &TableName,
        _definition: TableDefinition,
    ) -> Result<(), ConnectorError> {
        refuse("creating tables")
    }

    /// Begins to write rows: see the module's description.
    async fn begin(
        &self,
        _name: &TableName,
        target: WriteTarget,
    ) -> Result<Arc<dyn TableWrite>, ConnectorError> {
        match target {
            WriteTarget::Create(_) => refuse("creating tables with data"),
            WriteTarget::Insert => refuse("inserts"),
        }
    }

    /// Makes sure that rows may be written by a query whose tasks run again. Whoever allows it
    /// promises that all rows of a write become visible at once, at its commit, and that nothing
    /// stays of a write that is dropped without one.
    ///
    /// # Errors
    /// NOT_SUPPORTED, unless the connector allows it.
    fn check_retries(&self) -> Result<(), ConnectorError> {
        refuse("query retries")
    }

    /// DROP TABLE.
    async fn drop_table(&self, _name: &TableName) -> Result<(), ConnectorError> {
        refuse("dropping tables")
    }

    /// TRUNCATE TABLE.
    async fn truncate_table(&self, _name: &TableName) -> Result<(), ConnectorError> {
        refuse("truncating tables")
    }

    /// DELETE of all rows; returns how many there were.
    async fn delete_all(&self, _name: &TableName) -> Result<u64, ConnectorError> {
        refuse("modifying table rows")
    }

    /// ALTER TABLE … RENAME TO.
    async fn rename_table(&self, _name: &TableName, _to: &TableName) -> Result<(), ConnectorError> {
        refuse("renaming tables")
    }

    /// COMMENT ON TABLE.
    async fn comment_table(
        &self,
        _name: &TableName,
        _comment: Option<String>,
    ) -> Result<(), ConnectorError> {
        refuse("setting table comments")
    }

    /// COMMENT ON COLUMN, of a table or a view.
    async fn comment_column(
        &self,
        _name: &TableName,
        _column: &str,
        _comment: Option<String>,
    ) -> Result<(), ConnectorError> {
        refuse("setting column comments")
    }

    /// ALTER TABLE … ADD COLUMN; rows that are there have NULL in it.
    async fn add_column(&self, _name: &TableName, _column: Column) -> Result<(), ConnectorError> {
        refuse("adding columns")
    }

    /// ALTER TABLE … RENAME COLUMN.
    async fn rename_column(
        &self,
        _name: &TableName,
        _column: &str,
        _to: &str,
    ) -> Result<(), ConnectorError> {
        refuse("renaming columns")
    }

    /// ALTER TABLE … DROP COLUMN.
    async fn drop_column(&self, _name: &TableName, _column: &str) -> Result<(), ConnectorError> {
        refuse("dropping columns")
    }

    /// ALTER TABLE … ALTER COLUMN … DROP NOT NULL.
    async fn drop_not_null(&self, _name: &TableName, _column: &str) -> Result<(), ConnectorError> {
        refuse("dropping a not null constraint")
    }

    /// CREATE VIEW; with `replace`, in the place of a view of that name.
    async fn create_view(
        &self,
        _name: &TableName,
        _view: ViewDefinition,
        _replace: bool,
    ) -> Result<(), ConnectorError> {
        refuse("creating views")
    }

    /// DROP VIEW.
    async fn drop_view(&self, _name: &TableName) -> Result<(), ConnectorError> {
        refuse("dropping views")
    }

    /// ALTER VIEW … RENAME TO.
    async fn rename_view(&self, _name: &TableName, _to: &TableName) -> Result<(), ConnectorError> {
        refuse("renaming views")
    }

    /// COMMENT ON VIEW.
    async fn comment_view(
        &self,
        _name: &TableName,
        _comment: Option<String>,
    ) -> Result<(), ConnectorError> {
        refuse("setting view comments")
    }
}

/// The writes of a connector that has none.
#[derive(Debug)]
pub struct ReadOnly;

impl ConnectorWrites for ReadOnly {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_refused_in_trinos_words() {
        let name = TableName { schema: "s".into(), table: "t".into() };
        let definition = TableDefinition { columns: Vec::new(), comment: None };
        let created = ReadOnly.create_table(&name, definition.clone()).await;
        assert_eq!(
            created.unwrap_err().to_string(),
            "This connector does not support creating tables"
        );
        let begun = ReadOnly.begin(&name, WriteTarget::Create(definition)).await;
        assert_eq!(
            begun.unwrap_err().to_string(),
            "This connector does not support creating tables with data"
        );
        let begun = ReadOnly.begin(&name, WriteTarget::Insert).await;
        assert_eq!(begun.unwrap_err().to_string(), "This connector does not support inserts");
        assert_eq!(
            ReadOnly.check_retries().unwrap_err().to_string(),
            "This connector does not support query retries"
        );
        assert_eq!(
            ReadOnly.delete_all(&name).await.unwrap_err().to_string(),
            "This connector does not support modifying table rows"
        );
    }
}
