//! `information_schema` in every catalog: its schemas, tables, columns and views. There is no
//! access control, so the tables about privileges and roles are empty.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use waterbear_connector::{Connector, ConnectorError, ConnectorTable, ConnectorWrites};

use super::listing::Listing;
use super::rows::{NULL, Row, RowSource, RowsTable, bigint, optional_text, text};
use super::wanted::Wanted;

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
    Empty,
}

/// Name, rows and columns of each table, by name.
const TABLES: [(&str, Table, &str); 8] = [
    ("applicable_roles", Table::Empty, "grantee grantee_type role_name is_grantable"),
    (
        "columns",
        Table::Columns,
        "table_catalog table_schema table_name column_name ordinal_position:bigint \
         column_default is_nullable data_type ?comment ?extra_info ?column_comment",
    ),
    ("enabled_roles", Table::Empty, "role_name"),
    ("roles", Table::Empty, "role_name"),
    ("schemata", Table::Schemata, "catalog_name schema_name"),
    (
        "table_privileges",
        Table::Empty,
        "grantor grantor_type grantee grantee_type table_catalog table_schema table_name \
         privilege_type is_grantable with_hierarchy",
    ),
    ("tables", Table::Tables, "table_catalog table_schema table_name table_type ?table_comment"),
    ("views", Table::Views, "table_catalog table_schema table_name view_definition"),
];

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
            return Ok(TABLES.iter().map(|(name, ..)| (*name).to_owned()).collect());
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
        let found = TABLES.iter().find(|(name, ..)| *name == table);
        Ok(found.map(|(_, kind, columns)| {
            let source = Source { connector: self.clone(), table: *kind };
            RowsTable::connector_table(columns, Arc::new(source))
        }))
    }

    fn has_views(&self) -> bool {
        self.inner.has_views()
    }

    fn writes(&self) -> &dyn ConnectorWrites {
        self.inner.writes()
    }
}

struct Source {
    connector: WithInformationSchema,
    table: Table,
}

impl Source {
    fn listing<'a>(&self, columns: [&'static str; 3], wanted: &'a Wanted) -> Listing<'a> {
        let connector = Arc::new(self.connector.clone()) as Arc<dyn Connector>;
        let catalogs = vec![(self.connector.catalog.clone(), connector)];
        Listing { catalogs, columns, wanted }
    }

    fn tables<'a>(&self, wanted: &'a Wanted) -> Listing<'a> {
        self.listing(["table_catalog", "table_schema", "table_name"], wanted)
    }
}

#[async_trait]
impl RowSource for Source {
    async fn rows(&self, wanted: &Wanted) -> Result<Vec<Row>> {
        match self.table {
            Table::Schemata => {
                let listing = self.listing(["catalog_name", "schema_name", ""], wanted);
                let schemas = listing.schemas().await?;
                Ok(schemas
                    .into_iter()
                    .map(|(_, catalog, schema)| vec![text(catalog), text(schema)])
                    .collect())
            }
            Table::Tables => tables(&self.tables(wanted)).await,
            Table::Views => views(&self.tables(wanted)).await,
            Table::Empty => Ok(Vec::new()),
            Table::Columns => columns(&self.tables(wanted)).await,
        }
    }
}

async fn tables(listing: &Listing<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for listed in listing.tables().await? {
        let described = listed.describe().await;
        let kind = if described.view.is_some() { "VIEW" } else { "BASE TABLE" };
        rows.push(vec![
            text(listed.catalog),
            text(listed.schema),
            text(listed.table),
            text(kind),
            optional_text(described.comment),
        ]);
    }
    Ok(rows)
}

async fn views(listing: &Listing<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for listed in listing.tables().await? {
        if let Some(view) = listed.describe().await.view {
            let names = [listed.catalog, listed.schema, listed.table];
            rows.push(names.into_iter().chain([view]).map(text).collect());
        }
    }
    Ok(rows)
}

async fn columns(listing: &Listing<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for listed in listing.tables().await? {
        let Some(found) = listed.open().await else { continue };
        let shown = found.columns().iter().filter(|column| !column.hidden);
        for (position, column) in (1i64..).zip(shown) {
            let nullable = if column.nullable { "YES" } else { "NO" };
            rows.push(vec![
                text(&listed.catalog),
                text(&listed.schema),
                text(&listed.table),
                text(&column.name),
                bigint(position),
                NULL,
                text(nullable),
                text(&column.trino_type),
                optional_text(column.comment.as_ref()),
                NULL,
                optional_text(column.comment.as_ref()),
            ]);
        }
    }
    Ok(rows)
}
