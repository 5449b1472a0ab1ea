//! The catalog `system`.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result;
use waterbear_connector::{Connector, ConnectorError, ConnectorTable};
use waterbear_protocol::membership::NodeInfo;

use super::information_schema::WithInformationSchema;
use super::listing::Listing;
use super::rows::{Row, RowSource, RowsTable, optional_text, text};
use super::wanted::Wanted;
use super::{jdbc, runtime};
use crate::query::handle::QueryRegistry;

/// The catalog's name.
pub const SYSTEM: &str = "system";

/// What the catalog `system` shows.
#[derive(Clone)]
pub struct SystemSources {
    /// All queries of this coordinator.
    pub registry: Arc<QueryRegistry>,
    /// The cluster's nodes as this coordinator sees them now.
    pub nodes: Arc<dyn Fn() -> Vec<NodeInfo> + Send + Sync>,
}

impl Debug for SystemSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemSources").finish_non_exhaustive()
    }
}

/// The connector of the catalog `system`.
#[derive(Debug, Clone)]
pub struct SystemConnector {
    sources: SystemSources,
    others: Arc<BTreeMap<String, Arc<dyn Connector>>>,
}

impl SystemConnector {
    /// Shows `sources`, itself and all other catalogs, `information_schema` in each of them.
    pub fn new(sources: SystemSources, others: BTreeMap<String, Arc<dyn Connector>>) -> Self {
        Self { sources, others: Arc::new(others) }
    }

    /// Every catalog, by name.
    fn catalogs(&self) -> Vec<(String, Arc<dyn Connector>)> {
        let own = WithInformationSchema::new(SYSTEM.to_owned(), Arc::new(self.clone()));
        let mut all: Vec<(String, Arc<dyn Connector>)> = self
            .others
            .iter()
            .map(|(name, connector)| (name.clone(), Arc::clone(connector)))
            .chain([(SYSTEM.to_owned(), Arc::new(own) as Arc<dyn Connector>)])
            .collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

#[derive(Debug, Clone, Copy)]
enum Table {
    Catalogs,
    Comments,
    Nodes,
    Queries,
    Tasks,
    JdbcCatalogs,
    JdbcSchemas,
    JdbcTables,
    JdbcColumns,
    JdbcTableTypes,
    JdbcTypes,
    Empty,
}

const PROPERTIES: &str = "catalog_name property_name default_value type description";

/// Schema, name, rows and columns of each table, by schema and name.
const TABLES: &[(&str, &str, Table, &str)] = &[
    ("jdbc", "attributes", Table::Empty, jdbc::ATTRIBUTES),
    ("jdbc", "catalogs", Table::JdbcCatalogs, jdbc::CATALOGS),
    ("jdbc", "columns", Table::JdbcColumns, jdbc::COLUMNS),
    ("jdbc", "procedure_columns", Table::Empty, jdbc::PROCEDURE_COLUMNS),
    ("jdbc", "procedures", Table::Empty, jdbc::PROCEDURES),
    ("jdbc", "pseudo_columns", Table::Empty, jdbc::PSEUDO_COLUMNS),
    ("jdbc", "schemas", Table::JdbcSchemas, jdbc::SCHEMAS),
    ("jdbc", "super_tables", Table::Empty, jdbc::SUPER_TABLES),
    ("jdbc", "super_types", Table::Empty, jdbc::SUPER_TYPES),
    ("jdbc", "table_types", Table::JdbcTableTypes, jdbc::TABLE_TYPES),
    ("jdbc", "tables", Table::JdbcTables, jdbc::TABLES),
    ("jdbc", "types", Table::JdbcTypes, jdbc::TYPES),
    ("jdbc", "udts", Table::Empty, jdbc::UDTS),
    ("metadata", "analyze_properties", Table::Empty, PROPERTIES),
    ("metadata", "catalogs", Table::Catalogs, "catalog_name connector_id connector_name state"),
    ("metadata", "column_properties", Table::Empty, PROPERTIES),
    ("metadata", "materialized_view_properties", Table::Empty, PROPERTIES),
    (
        "metadata",
        "materialized_views",
        Table::Empty,
        "catalog_name schema_name name storage_catalog storage_schema storage_table freshness \
         last_fresh_time:instant comment definition",
    ),
    ("metadata", "schema_properties", Table::Empty, PROPERTIES),
    ("metadata", "table_comments", Table::Comments, "catalog_name schema_name table_name comment"),
    ("metadata", "table_properties", Table::Empty, PROPERTIES),
    ("runtime", "nodes", Table::Nodes, runtime::NODES),
    ("runtime", "optimizer_rule_stats", Table::Empty, runtime::OPTIMIZER_RULE_STATS),
    ("runtime", "queries", Table::Queries, runtime::QUERIES),
    ("runtime", "tasks", Table::Tasks, runtime::TASKS),
    ("runtime", "transactions", Table::Empty, runtime::TRANSACTIONS),
];

#[async_trait]
impl Connector for SystemConnector {
    fn name(&self) -> &'static str {
        SYSTEM
    }

    async fn schemas(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(["jdbc", "metadata", "runtime"].map(str::to_owned).to_vec())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        let of_schema = TABLES.iter().filter(|(found, ..)| *found == schema);
        let tables: Vec<String> = of_schema.map(|(_, name, ..)| (*name).to_owned()).collect();
        match tables.is_empty() {
            true => Err(ConnectorError::SchemaNotFound { schema: schema.to_owned() }),
            false => Ok(tables),
        }
    }

    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError> {
        if !self.tables(schema).await?.iter().any(|name| name == table) {
            return Ok(None);
        }
        let found = TABLES.iter().find(|(s, t, ..)| *s == schema && *t == table);
        Ok(found.map(|(_, _, kind, columns)| {
            let source = Source { connector: self.clone(), table: *kind };
            RowsTable::connector_table(columns, Arc::new(source))
        }))
    }
}

struct Source {
    connector: SystemConnector,
    table: Table,
}

impl Source {
    fn listing<'a>(&self, columns: [&'static str; 3], wanted: &'a Wanted) -> Listing<'a> {
        Listing { catalogs: self.connector.catalogs(), columns, wanted }
    }
}

#[async_trait]
impl RowSource for Source {
    async fn rows(&self, wanted: &Wanted) -> Result<Vec<Row>> {
        let sources = &self.connector.sources;
        let jdbc_listing = || self.listing(["table_cat", "table_schem", "table_name"], wanted);
        Ok(match self.table {
            Table::Empty => Vec::new(),
            Table::Catalogs => catalogs(&self.connector.catalogs()),
            Table::Comments => {
                let columns = ["catalog_name", "schema_name", "table_name"];
                table_comments(&self.listing(columns, wanted)).await?
            }
            Table::Nodes => runtime::nodes(&(sources.nodes)()),
            Table::Queries => runtime::queries(&sources.registry.all()),
            Table::Tasks => runtime::tasks(&sources.registry.all()),
            Table::JdbcCatalogs => jdbc::catalogs(&jdbc_listing()),
            Table::JdbcSchemas => {
                let columns = ["table_catalog", "table_schem", ""];
                jdbc::schemas(&self.listing(columns, wanted)).await?
            }
            Table::JdbcTables => jdbc::tables(&jdbc_listing()).await?,
            Table::JdbcColumns => jdbc::columns(&jdbc_listing()).await?,
            Table::JdbcTableTypes => jdbc::table_types(),
            Table::JdbcTypes => jdbc::types(),
        })
    }
}

fn catalogs(catalogs: &[(String, Arc<dyn Connector>)]) -> Vec<Row> {
    let row = |(name, connector): &(String, Arc<dyn Connector>)| {
        vec![text(name), text(name), text(connector.name()), text("READY")]
    };
    catalogs.iter().map(row).collect()
}

async fn table_comments(listing: &Listing<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for listed in listing.tables().await? {
        let comment = optional_text(listed.describe().await.comment);
        rows.push(vec![text(listed.catalog), text(listed.schema), text(listed.table), comment]);
    }
    Ok(rows)
}
