//! What catalogs have, listed no further than a query asks.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use tracing::warn;
use waterbear_connector::{Connector, ConnectorError, ConnectorTable};
use waterbear_protocol::Failure;

use super::wanted::Wanted;
use crate::catalogs::connector_failure;

/// Catalogs, and what a table that lists them calls their parts.
pub(super) struct Listing<'a> {
    /// Name and connector of each catalog.
    pub catalogs: Vec<(String, Arc<dyn Connector>)>,
    /// The columns with a catalog's, a schema's and a table's name.
    pub columns: [&'static str; 3],
    /// What the query asks of them.
    pub wanted: &'a Wanted,
}

/// A table of a catalog.
pub(super) struct Listed {
    pub connector: Arc<dyn Connector>,
    pub catalog: String,
    pub schema: String,
    pub table: String,
}

fn failed(catalog: &str, error: ConnectorError) -> DataFusionError {
    let cause = connector_failure(error);
    let message = format!("Error listing schemas of catalog {catalog}: {}", cause.message);
    DataFusionError::External(Box::new(Failure::new(cause.code, message)))
}

impl Listing<'_> {
    /// The catalogs that the query may want.
    pub fn catalogs(&self) -> impl Iterator<Item = &(String, Arc<dyn Connector>)> {
        let column = self.columns[0];
        self.catalogs.iter().filter(move |(name, _)| self.wanted.admits(column, name))
    }

    /// Connector, catalog and schema of each schema that the query may want.
    pub async fn schemas(&self) -> Result<Vec<(Arc<dyn Connector>, String, String)>> {
        let mut all = Vec::new();
        for (catalog, connector) in self.catalogs() {
            let schemas = connector.schemas().await.map_err(|error| failed(catalog, error))?;
            all.extend(
                schemas
                    .into_iter()
                    .filter(|schema| self.wanted.admits(self.columns[1], schema))
                    .map(|schema| (Arc::clone(connector), catalog.clone(), schema)),
            );
        }
        Ok(all)
    }

    /// The tables that the query may want.
    pub async fn tables(&self) -> Result<Vec<Listed>> {
        let mut all = Vec::new();
        for (connector, catalog, schema) in self.schemas().await? {
            let tables = match connector.tables(&schema).await {
                Ok(tables) => tables,
                // One schema that cannot be read must not hide the others.
                Err(error) => {
                    warn!(catalog, schema, %error, "schema left out of a listing");
                    continue;
                }
            };
            let wanted =
                tables.into_iter().filter(|table| self.wanted.admits(self.columns[2], table));
            all.extend(wanted.map(|table| Listed {
                connector: Arc::clone(&connector),
                catalog: catalog.clone(),
                schema: schema.clone(),
                table,
            }));
        }
        Ok(all)
    }
}

/// What a listing says of a table beyond its name.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// The text of its query, if it is a view.
    pub view: Option<String>,
    pub comment: Option<String>,
}

impl Listed {
    /// What it is; opened only where it can be anything but a table without a comment.
    pub async fn describe(&self) -> Described {
        if !self.connector.has_views() {
            return Described::default();
        }
        let Some(found) = self.open().await else { return Described::default() };
        Described {
            view: found.view_definition().map(|view| view.sql.clone()),
            comment: found.comment().map(str::to_owned),
        }
    }

    /// The table itself; nothing when it is gone or cannot be read.
    pub async fn open(&self) -> Option<Arc<dyn ConnectorTable>> {
        match self.connector.table(&self.schema, &self.table).await {
            Ok(found) => found,
            Err(error) => {
                let Self { catalog, schema, table, .. } = self;
                warn!(catalog, schema, table, %error, "table left out of a listing");
                None
            }
        }
    }
}
