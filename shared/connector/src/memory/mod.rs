//! Tables in the memory of the coordinator. They are gone when it stops.
//!
//! A scan sees the table as it was when its query was planned, whatever is written meanwhile.
//! What writes need of memory is counted from the first row on, so that a write that does not fit
//! fails while it runs.

mod budget;
mod store;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod write;

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    connector::{Column, Connector, ConnectorError, ConnectorTable},
    properties::Properties,
    write::{ConnectorWrites, TableDefinition, TableName, TableWrite, ViewDefinition, WriteTarget},
};
use budget::Budget;
use store::Store;

const MAX_DATA: &str = "memory.max-data-per-node";

/// Trino's other properties, which change no answer.
const IGNORED: [&str; 2] = ["memory.splits-per-node", "memory.enable-lazy-dynamic-filtering"];

/// Trino's default of `memory.max-data-per-node`.
const DEFAULT_MAX_DATA: u64 = 128 << 20;

/// The connector `memory`.
#[derive(Debug)]
pub struct MemoryConnector {
    store: Arc<Store>,
}

impl MemoryConnector {
    pub(crate) fn create(mut properties: Properties<'_>) -> Result<Self, Vec<String>> {
        let limit = properties.take_size(MAX_DATA, DEFAULT_MAX_DATA);
        for name in IGNORED {
            properties.ignore(name, "scans are divided by their size");
        }
        properties.finish(&[MAX_DATA])?;
        Ok(Self { store: Arc::new(Store::new(Budget::new(limit))) })
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn has_views(&self) -> bool {
        true
    }

    async fn schemas(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(self.store.schemas())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        self.store.tables(schema)
    }

    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError> {
        Ok(self.store.entry(schema, table)?.map(table::open))
    }

    fn writes(&self) -> &dyn ConnectorWrites {
        self
    }
}

#[async_trait]
impl ConnectorWrites for MemoryConnector {
    async fn create_schema(&self, schema: &str) -> Result<(), ConnectorError> {
        self.store.create_schema(schema)
    }

    async fn drop_schema(&self, schema: &str, cascade: bool) -> Result<(), ConnectorError> {
        self.store.drop_schema(schema, cascade)
    }

    async fn rename_schema(&self, schema: &str, to: &str) -> Result<(), ConnectorError> {
        self.store.rename_schema(schema, to)
    }

    async fn create_table(
        &self,
        name: &TableName,
        definition: TableDefinition,
    ) -> Result<(), ConnectorError> {
        self.store.create_table(name, definition, Vec::new())
    }

    async fn begin(
        &self,
        name: &TableName,
        target: WriteTarget,
    ) -> Result<Arc<dyn TableWrite>, ConnectorError> {
        write::begin(&self.store, name, target)
    }

    fn check_retries(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn drop_table(&self, name: &TableName) -> Result<(), ConnectorError> {
        self.store.drop_table(name)
    }

    async fn truncate_table(&self, name: &TableName) -> Result<(), ConnectorError> {
        self.delete_all(name).await.map(drop)
    }

    async fn delete_all(&self, name: &TableName) -> Result<u64, ConnectorError> {
        self.store.change_table(name, |table| {
            let rows = table.parts.iter().map(|part| part.rows() as u64).sum();
            table.parts.clear();
            Ok(rows)
        })
    }

    async fn rename_table(&self, name: &TableName, to: &TableName) -> Result<(), ConnectorError> {
        self.store.rename(name, to, store::Kind::Table)
    }

    async fn comment_table(
        &self,
        name: &TableName,
        comment: Option<String>,
    ) -> Result<(), ConnectorError> {
        self.store.change_table(name, |table| {
            table.comment = comment;
            Ok(())
        })
    }

    async fn comment_column(
        &self,
        name: &TableName,
        column: &str,
        comment: Option<String>,
    ) -> Result<(), ConnectorError> {
        self.store.comment_column(name, column, comment)
    }

    async fn add_column(&self, name: &TableName, column: Column) -> Result<(), ConnectorError> {
        self.store.add_column(name, column)
    }

    async fn rename_column(
        &self,
        name: &TableName,
        column: &str,
        to: &str,
    ) -> Result<(), ConnectorError> {
        self.store.rename_column(name, column, to)
    }

    async fn drop_not_null(&self, name: &TableName, column: &str) -> Result<(), ConnectorError> {
        self.store.change_table(name, |table| {
            store::column_of(&mut table.columns, column)?.nullable = true;
            Ok(())
        })
    }

    async fn create_view(
        &self,
        name: &TableName,
        view: ViewDefinition,
        replace: bool,
    ) -> Result<(), ConnectorError> {
        self.store.create_view(name, view, replace)
    }

    async fn drop_view(&self, name: &TableName) -> Result<(), ConnectorError> {
        self.store.drop_view(name)
    }

    async fn rename_view(&self, name: &TableName, to: &TableName) -> Result<(), ConnectorError> {
        self.store.rename(name, to, store::Kind::View)
    }

    async fn comment_view(
        &self,
        name: &TableName,
        comment: Option<String>,
    ) -> Result<(), ConnectorError> {
        self.store.change_view(name, |view| {
            view.comment = comment;
            Ok(())
        })
    }
}
