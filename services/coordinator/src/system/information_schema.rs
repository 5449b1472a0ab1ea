//! `information_schema` in every catalog: its schemas, tables and columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use tracing::warn;
use waterbear_connector::{Connector, ConnectorError, ConnectorTable};

use super::rows::{RowSource, RowsConnectorTable, RowsTable, Wanted, varchars};
use crate::catalogs::connector_failure;

/// The schema's name.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// A connector with `information_schema` beside its own schemas.
#[derive(Debug, Clone)]
pub struct WithInformationSchema {
    catalog: String,
    inner: Arc<dyn Connector>,
}

impl WithInformationSchema {
    /// Adds the schema to the connector of a catalog.
    pub fn new(catalog: String, inner: Arc<dyn Connector>) -> Self {
        Self { catalog, inner }
    }
}

#[derive(Debug, Clone, Copy)]
enum Table {
    Columns,
    Schemata,
    Tables,
    Views,
}

const TABLES: [(&str, Table); 4] = [
    ("columns", Table::Columns),
    ("schemata", Table::Schemata),
    ("tables", Table::Tables),
    ("views", Table::Views),
];

impl Table {
    fn columns(self) -> Vec<(&'static str, DataType)> {
        let names: &[&str] = match self {
            Table::Columns => &[
                "table_catalog",
                "table_schema",
                "table_name",
                "column_name",
                "ordinal_position",
                "column_default",
                "is_nullable",
                "data_type",
            ],
            Table::Schemata => &["catalog_name", "schema_name"],
            Table::Tables => &["table_catalog", "table_schema", "table_name", "table_type"],
            Table::Views => &["table_catalog", "table_schema", "table_name", "view_definition"],
        };
        let data_type = |name: &str| match name {
            "ordinal_position" => DataType::Int64,
            _ => DataType::Utf8,
        };
        names.iter().map(|name| (*name, data_type(name))).collect()
    }
}

#[async_trait]
impl Connector for WithInformationSchema {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn schemas(&self) -> Result<Vec<String>, ConnectorError> {
        let mut schemas = self.inner.schemas().await?;
        schemas.retain(|schema| schema != INFORMATION_SCHEMA);
        schemas.push(INFORMATION_SCHEMA.to_owned());
        schemas.sort();
        Ok(schemas)
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        if schema == INFORMATION_SCHEMA {
            return Ok(TABLES.iter().map(|(name, _)| (*name).to_owned()).collect());
        }
        self.inner.tables(schema).await
    }

    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError> {
        if schema != INFORMATION_SCHEMA {
            return self.inner.table(schema, table).await;
        }
        let Some((_, kind)) = TABLES.iter().find(|(name, _)| *name == table) else {
            return Ok(None);
        };
        let source = Source { connector: self.clone(), table: *kind };
        let table = RowsTable::new(&kind.columns(), Arc::new(source));
        Ok(Some(Arc::new(RowsConnectorTable(table))))
    }
}

struct Source {
    connector: WithInformationSchema,
    table: Table,
}

fn failed(error: ConnectorError) -> DataFusionError {
    DataFusionError::External(Box::new(connector_failure(error)))
}

impl Source {
    async fn schemas(&self, column: &str, wanted: &Wanted) -> Result<Vec<String>> {
        let mut schemas = self.connector.schemas().await.map_err(failed)?;
        schemas.retain(|schema| wanted.admits(column, schema));
        Ok(schemas)
    }

    /// Schema and name of each table that the query may want.
    async fn tables(&self, wanted: &Wanted) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for schema in self.schemas("table_schema", wanted).await? {
            match self.connector.tables(&schema).await {
                Ok(tables) => all.extend(
                    tables
                        .into_iter()
                        .filter(|table| wanted.admits("table_name", table))
                        .map(|table| (schema.clone(), table)),
                ),
                // One schema that cannot be read must not hide the others.
                Err(error) => warn!(catalog = self.connector.catalog, schema, %error,
                    "schema left out of information_schema"),
            }
        }
        Ok(all)
    }

    async fn columns_of(&self, schema: &str, table: &str) -> Option<Arc<dyn ConnectorTable>> {
        match self.connector.table(schema, table).await {
            Ok(found) => found,
            Err(error) => {
                warn!(catalog = self.connector.catalog, schema, table, %error,
                    "table left out of information_schema");
                None
            }
        }
    }
}

#[async_trait]
impl RowSource for Source {
    async fn columns(&self, wanted: &Wanted) -> Result<Vec<ArrayRef>> {
        let catalog = self.connector.catalog.as_str();
        match self.table {
            Table::Schemata => {
                let schemas = self.schemas("schema_name", wanted).await?;
                Ok(vec![
                    varchars(schemas.iter().map(|_| Some(catalog))),
                    varchars(schemas.iter().map(Some)),
                ])
            }
            Table::Tables => {
                let tables = self.tables(wanted).await?;
                Ok(vec![
                    varchars(tables.iter().map(|_| Some(catalog))),
                    varchars(tables.iter().map(|(schema, _)| Some(schema))),
                    varchars(tables.iter().map(|(_, table)| Some(table))),
                    varchars(tables.iter().map(|_| Some("BASE TABLE"))),
                ])
            }
            Table::Views => Ok(vec![varchars::<&str>([]); 4]),
            Table::Columns => {
                let mut rows = Vec::new();
                for (schema, table) in self.tables(wanted).await? {
                    let Some(found) = self.columns_of(&schema, &table).await else { continue };
                    let shown = found.columns().iter().filter(|column| !column.hidden);
                    for (position, column) in (1i64..).zip(shown) {
                        rows.push((schema.clone(), table.clone(), position, column.clone()));
                    }
                }
                let nullable = |nullable| if nullable { "YES" } else { "NO" };
                Ok(vec![
                    varchars(rows.iter().map(|_| Some(catalog))),
                    varchars(rows.iter().map(|(schema, ..)| Some(schema))),
                    varchars(rows.iter().map(|(_, table, ..)| Some(table))),
                    varchars(rows.iter().map(|(.., column)| Some(&column.name))),
                    Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
                    varchars(rows.iter().map(|_| None::<&str>)),
                    varchars(rows.iter().map(|(.., column)| Some(nullable(column.nullable)))),
                    varchars(rows.iter().map(|(.., column)| Some(&column.trino_type))),
                ])
            }
        }
    }
}
