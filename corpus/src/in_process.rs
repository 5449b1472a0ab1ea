//! A query as DataFusion plans and runs it by itself: nothing is cut, nothing travels.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use waterbear_connector::Connector;
use waterbear_coordinator::catalogs::Catalogs;
use waterbear_coordinator::client_api::json_rows;
use waterbear_coordinator::planner::{self, CutOptions};
use waterbear_coordinator::query::handle::QueryRegistry;
use waterbear_coordinator::system::SystemSources;
use waterbear_dialect::{self as dialect, ClientContext, Statement};
use waterbear_functions::failure_of;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_testkit::client::{Answer, Table};

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

    /// The plans of a query, as text: as understood, as optimised, as run here, and as cut.
    ///
    /// # Errors
    /// As for the query's rows.
    pub async fn plans(&self, sql: &str, options: CutOptions) -> Result<String, Failure> {
        let (state, context) = self.session();
        let planned = dialect::plan_query(&dialect::parse(sql)?, &state, &context).await?;
        let failed = |error| failure_of(&error);
        let optimized = state.optimize(&planned.plan).map_err(failed)?;
        let whole = state.create_physical_plan(&planned.plan).await.map_err(failed)?;
        let mut text = format!(
            "{}\n\n{}\n\n{}",
            planned.plan.display_indent(),
            optimized.display_indent(),
            planner::display(&whole)
        );
        let stages = planner::plan(&planned.plan, &state, options).await?;
        for fragment in &stages.fragments {
            let _ = write!(
                text,
                "\nstage {}: {} tasks\n{}",
                fragment.stage,
                fragment.tasks.len(),
                planner::display(&fragment.tasks[0])
            );
        }
        Ok(text)
    }

    fn session(&self) -> (SessionState, ClientContext) {
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
        (state, context)
    }

    async fn rows(&self, sql: &str) -> Result<Option<Table>, Failure> {
        let statement = dialect::parse(sql)?;
        if !matches!(statement, Statement::Query(_)) {
            return Ok(None);
        }
        let (state, context) = self.session();
        let planned = dialect::plan_query(&statement, &state, &context).await?;
        let failed = |error| failure_of(&error);
        let plan = state.create_physical_plan(&planned.plan).await.map_err(failed)?;
        let fields = plan.schema();
        let types = fields.fields().iter().enumerate();
        let types = types
            .map(|(position, field)| Ok(planned.column_type(position, field)?.display(true)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let batches = collect(plan, state.task_ctx()).await.map_err(failed)?;
        let rows = serde_json::from_str(&json_rows(&batches)?).map_err(|error| {
            Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, format!("rows are no JSON: {error}"))
        })?;
        Ok(Some(Table { types, rows, ..Table::default() }))
    }
}
