//! The traits that a connector implements for reading.

use std::{collections::HashMap, fmt::Debug, io, path::PathBuf, sync::Arc};

use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use datafusion::{catalog::TableProvider, error::DataFusionError};
use waterbear_protocol::Failure;
use waterbear_types::{METADATA_KEY, TrinoType};

use crate::write::{ConnectorWrites, ReadOnly, ViewDefinition};

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

    /// Returns whether there can be views, or tables with comments: a listing that tells them must
    /// open every table then.
    fn has_views(&self) -> bool {
        false
    }

    /// Returns what may be changed here; by default nothing.
    fn writes(&self) -> &dyn ConnectorWrites {
        &ReadOnly
    }
}

/// A table as one query sees it: its columns do not change while the query is planned.
pub trait ConnectorTable: Send + Sync + Debug {
    /// Returns the columns in the table's order.
    fn columns(&self) -> &[Column];

    /// Returns what DataFusion plans a scan with; its schema is that of [`Self::columns`].
    ///
    /// A view's has no scan: whoever plans must expand [`Self::view_definition`] first.
    fn provider(&self) -> Arc<dyn TableProvider>;

    /// Returns the definition, if this is a view.
    fn view_definition(&self) -> Option<&ViewDefinition> {
        None
    }

    /// Returns what the table is for, if it says so.
    fn comment(&self) -> Option<&str> {
        None
    }
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

impl Column {
    /// Returns the column as a field of a scan's schema: a type that Arrow cannot say stands in
    /// its metadata. What may be NULL is for writes to check; a scan's field always may.
    pub fn field(&self) -> Field {
        let note = HashMap::from([(METADATA_KEY.to_owned(), self.trino_type.clone())]);
        let field = Field::new(&self.name, self.data_type.clone(), true);
        match TrinoType::of_field(&field.clone().with_metadata(note)) {
            Ok(trino_type) => trino_type.annotate(field),
            Err(_) => field,
        }
    }
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
    /// Anything else that has an error code of its own.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// DataFusion refused the table.
    #[error(transparent)]
    Engine(#[from] DataFusionError),
}

impl From<Failure> for ConnectorError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
