//! A query as DataFusion plans and runs it by itself: nothing is cut, nothing travels.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use waterbear_connector::Connector;
use waterbear_coordinator::catalogs::Catalogs;
use waterbear_coordinator::client_api::json_rows;
use waterbear_coordinator::query::handle::QueryRegistry;
use waterbear_coordinator::system::SystemSources;
use waterbear_dialect::{self as dialect, ClientContext, Statement};
use waterbear_functions::failure_of;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_testkit::client::{Answer, Table};
use waterbear_types::TrinoType;

/// Runs queries here.
pub struct InProcess {
    catalogs: Catalogs,
}

impl InProcess {
    /// Over these catalogs.
    pub fn new(configured: BTreeMap<String, Arc<dyn Connector>>) -> Self {
        let registry = Arc::new(QueryRegistry::new());
        let sources = SystemSources { registry, nodes: Arc::new(Vec::new) };
        Self { catalogs: Catalogs::new(configured, sources) }
    }

    /// Runs a query to its end; `None` for a statement that only a coordinator answers.
    pub async fn answer(&self, sql: &str) -> Option<Answer> {
        match self.rows(sql).await {
            Ok(table) => table.map(Answer::Rows),
            Err(failure) => Some(Answer::Error {
                name: failure.code.name().to_owned(),
                message: failure.message,
            }),
        }
    }

    async fn rows(&self, sql: &str) -> Result<Option<Table>, Failure> {
        let statement = dialect::parse(sql)?;
        if !matches!(statement, Statement::Query(_)) {
            return Ok(None);
        }
        // One partition: then no plan has an exchange, not even inside a process.
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_create_default_catalog_and_schema(false);
        let builder = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_catalog_list(Arc::new(self.catalogs.clone()));
        let state = dialect::configure(builder).build();
        let context = ClientContext {
            user: "corpus".to_owned(),
            catalog: Some("tpch".to_owned()),
            schema: Some("tiny".to_owned()),
            ..ClientContext::default()
        };
        let planned = dialect::plan_query(&statement, &state, &context).await?;
        let failed = |error| failure_of(&error);
        let plan = state.create_physical_plan(&planned.plan).await.map_err(failed)?;
        let fields = plan.schema();
        let types = fields.fields().iter().map(|field| TrinoType::of_field(field));
        let types = types
            .map(|trino_type| Ok(trino_type?.display(true)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let batches = collect(plan, state.task_ctx()).await.map_err(failed)?;
        let rows = serde_json::from_str(&json_rows(&batches)?).map_err(|error| {
            Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, format!("rows are no JSON: {error}"))
        })?;
        Ok(Some(Table { types, rows, tasks: 0 }))
    }
}
