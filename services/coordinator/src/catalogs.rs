//! The catalogs of this coordinator: what their connectors have, `information_schema` in each of
//! them, and `system`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use waterbear_connector::{Column, Connector, ConnectorError, ViewDefinition};
use waterbear_dialect::{HidingTable, StoredView};
use waterbear_engine::failure_of;
use waterbear_protocol::{ErrorCode, Failure};

use crate::query::handle::QueryRegistry;
use crate::system::{SYSTEM, SystemConnector, SystemSources, WithInformationSchema};

/// All catalogs by name, lower case. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogs {
    catalogs: Arc<BTreeMap<String, Arc<dyn Connector>>>,
    queries: Arc<QueryRegistry>,
}

impl Catalogs {
    /// The configured catalogs, and `system` over `sources`.
    pub fn new(configured: BTreeMap<String, Arc<dyn Connector>>, sources: SystemSources) -> Self {
        let wrapped = |name: String, connector| {
            let connector = WithInformationSchema::new(name.clone(), connector);
            (name, Arc::new(connector) as Arc<dyn Connector>)
        };
        let mut catalogs: BTreeMap<String, Arc<dyn Connector>> = configured
            .into_iter()
            .map(|(name, connector)| wrapped(name.to_lowercase(), connector))
            .collect();
        let queries = Arc::clone(&sources.registry);
        let system = Arc::new(SystemConnector::new(sources, catalogs.clone()));
        let (name, system) = wrapped(SYSTEM.to_owned(), system);
        catalogs.insert(name, system);
        Self { catalogs: Arc::new(catalogs), queries }
    }

    /// The queries that `system.runtime` shows.
    pub fn queries(&self) -> &Arc<QueryRegistry> {
        &self.queries
    }

    /// The names of all catalogs, in order.
    pub fn names(&self) -> Vec<String> {
        self.catalogs.keys().cloned().collect()
    }

    /// The connector of a catalog, `information_schema` included.
    pub fn connector(&self, catalog: &str) -> Option<&Arc<dyn Connector>> {
        self.catalogs.get(catalog)
    }
}

/// The failure that a client sees for an error of a connector.
pub fn connector_failure(error: ConnectorError) -> Failure {
    match error {
        ConnectorError::SchemaNotFound { .. } => {
            Failure::new(ErrorCode::SCHEMA_NOT_FOUND, error.to_string())
        }
        ConnectorError::Failed(failure) => failure,
        ConnectorError::Engine(error) => failure_of(&error),
        // The same code as when a worker finds it.
        ConnectorError::Unreadable { .. } | ConnectorError::Malformed { .. } => {
            Failure::new(ErrorCode::GENERIC_USER_ERROR, error.to_string())
        }
    }
}

/// A view as the dialect expands it.
fn stored_view(view: &ViewDefinition) -> StoredView {
    let fields: Vec<_> = view.columns.iter().map(Column::field).collect();
    StoredView {
        sql: view.sql.clone(),
        catalog: view.catalog.clone(),
        schema: view.schema.clone(),
        columns: Arc::new(ArrowSchema::new(fields)),
    }
}

impl CatalogProviderList for Catalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        // Catalogs come from their files alone.
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let connector = Arc::clone(self.catalogs.get(name)?);
        Some(Arc::new(Catalog { connector }))
    }
}

#[derive(Debug)]
struct Catalog {
    connector: Arc<dyn Connector>,
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        // Only the connector knows, and it must be waited for.
        Vec::new()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        // Whether it exists shows when a table is asked for.
        Some(Arc::new(Schema { connector: Arc::clone(&self.connector), name: name.to_owned() }))
    }
}

#[derive(Debug)]
struct Schema {
    connector: Arc<dyn Connector>,
    name: String,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = self
            .connector
            .table(&self.name, name)
            .await
            .map_err(|error| DataFusionError::External(Box::new(connector_failure(error))))?;
        let Some(table) = table else { return Ok(None) };
        if let Some(view) = table.view_definition() {
            return Ok(Some(Arc::new(stored_view(view))));
        }
        let hidden = table.columns().iter().filter(|column| column.hidden);
        let hidden = hidden.map(|column| column.name.clone()).collect();
        HidingTable::over(table.provider(), hidden).map(Some)
    }

    fn table_exist(&self, _name: &str) -> bool {
        // Never asked for reading; nothing is ever registered here.
        true
    }
}
