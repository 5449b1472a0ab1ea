//! The traits that a connector implements for reading.

use std::{fmt::Debug, io, path::PathBuf, sync::Arc};

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::{catalog::TableProvider, error::DataFusionError};

/// A source of tables: what one catalog file configures.
#[async_trait]
pub trait Connector: Send + Sync + Debug {
    /// Returns the connector's name as `connector.name` has it.
    fn name(&self) -> &'static str;

    /// Returns the names of all schemas, lower case and in order.
    async fn schemas(&self) -> Result<Vec<String>, ConnectorError>;

    /// Returns the names of a schema's tables, lower case and in order.
    ///
    /// # Errors
    /// [`ConnectorError::SchemaNotFound`] if there is no such schema.
    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError>;

    /// Returns a table, or `None` if the schema has no such table.
    ///
    /// # Errors
    /// [`ConnectorError::SchemaNotFound`] if there is no such schema.
    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError>;
}

/// A table as one query sees it: its columns do not change while the query is planned.
pub trait ConnectorTable: Send + Sync + Debug {
    /// Returns the columns in the table's order.
    fn columns(&self) -> &[Column];

    /// Returns what DataFusion plans a scan with; its schema is that of [`Self::columns`].
    fn provider(&self) -> Arc<dyn TableProvider>;
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name, lower case.
    pub name: String,
    /// Type of the arrays that a scan yields.
    pub data_type: DataType,
    /// Type as Trino writes it, such as `varchar(25)`.
    pub trino_type: String,
    /// Whether a value may be NULL.
    pub nullable: bool,
    /// What the column means, if the source says so.
    pub comment: Option<String>,
    /// Whether `SELECT *` and `SHOW COLUMNS` leave the column out.
    pub hidden: bool,
}

/// Why a connector cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The schema does not exist.
    #[error("Schema '{schema}' does not exist")]
    SchemaNotFound {
        /// The name asked for.
        schema: String,
    },
    /// A file or folder cannot be read: it is missing, not a folder, or access is denied.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// What was read does not make a table.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// DataFusion refused the table.
    #[error(transparent)]
    Engine(#[from] DataFusionError),
}
