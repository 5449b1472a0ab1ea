//! The tables of one query: each is looked up once, so that the whole query sees it in one state,
//! and views are put in as the queries that they stand for.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider,
};
use datafusion::common::Column;
use datafusion::datasource::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use waterbear_functions::failure_of;
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};
use waterbear_types::TrinoType;

use super::hidden::Named;
use super::lexer::{Lexed, failure_at, lex};
use super::plan::{PlannedQuery, analyse, full_name, plan_unanalysed};
use super::{ClientContext, parse_query};

/// A view as a catalog has it: a text whose names are those of the session that made it. Catalogs
/// give it as a table; planning puts the query in its place.
#[derive(Debug, Clone)]
pub struct StoredView {
    /// The text of its query.
    pub sql: String,
    /// The catalog of the session that made it.
    pub catalog: Option<String>,
    /// The schema of the session that made it.
    pub schema: Option<String>,
    /// Its columns as they were when it was made.
    pub columns: SchemaRef,
}

#[async_trait]
impl TableProvider for StoredView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.sql)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Err(DataFusionError::Internal("a view was not expanded".to_owned()))
    }
}

/// A table that a query names.
pub(super) struct TableUse {
    pub parts: Vec<String>,
    pub location: Option<ErrorLocation>,
}

type FullName = (String, String, String);

/// The views that are being expanded, the outermost first.
#[derive(Clone, Default)]
pub(super) struct Views(Vec<FullName>);

impl Views {
    pub fn inside(name: FullName) -> Self {
        Self(vec![name])
    }
}

/// Looks up the tables that a query uses; notes which of their hidden columns it names.
///
/// # Errors
/// Trino's code for what does not exist, with its place; what is wrong with a view.
pub(super) async fn resolve(
    uses: &[TableUse],
    state: &SessionState,
    context: &ClientContext,
    lexed: &Lexed,
    named: &mut Named,
    views: &Views,
) -> Result<ResolvedTables, Failure> {
    let mut tables: BTreeMap<FullName, Arc<dyn TableProvider>> = BTreeMap::new();
    for table in uses {
        let name = full_name(&table.parts, context)
            .map_err(|(code, text)| failure_at(table.location, code, text))?;
        if tables.contains_key(&name) {
            continue;
        }
        let mut provider = table.look_up(&name, state).await?;
        named.note([name.0.clone(), name.1.clone(), name.2.clone()], provider.as_ref(), lexed);
        let view = (provider.as_ref() as &dyn Any).downcast_ref::<StoredView>().cloned();
        if let Some(view) = view {
            let expanded = Box::pin(expand(&view, &name, state, context, views));
            let plan = expanded
                .await
                .map_err(|failure| failure_at(table.location, failure.code, failure.message))?;
            provider = Arc::new(ViewTable::new(plan, Some(view.sql)));
        }
        tables.insert(name, provider);
    }
    Ok(ResolvedTables(Arc::new(tables)))
}

impl TableUse {
    async fn look_up(
        &self,
        (catalog, schema, table): &FullName,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, Failure> {
        let failure = |code, message: String| failure_at(self.location, code, message);
        let provider = state.catalog_list().catalog(catalog).ok_or_else(|| {
            failure(ErrorCode::CATALOG_NOT_FOUND, format!("Catalog '{catalog}' not found"))
        })?;
        let no_schema =
            || failure(ErrorCode::SCHEMA_NOT_FOUND, format!("Schema '{schema}' does not exist"));
        let provider = provider.schema(schema).ok_or_else(no_schema)?;
        let found = provider.table(table).await.map_err(|error| {
            let cause = failure_of(&error);
            failure_at(self.location, cause.code, cause.message)
        })?;
        found.ok_or_else(|| {
            let message = format!("Table '{catalog}.{schema}.{table}' does not exist");
            failure(ErrorCode::TABLE_NOT_FOUND, message)
        })
    }
}

/// The plan of a view's query, with the view's columns.
async fn expand(
    view: &StoredView,
    name: &FullName,
    state: &SessionState,
    context: &ClientContext,
    views: &Views,
) -> Result<LogicalPlan, Failure> {
    let (catalog, schema, table) = name;
    if views.0.contains(name) {
        return Err(Failure::new(ErrorCode::VIEW_IS_RECURSIVE, "View is recursive"));
    }
    let mut views = views.clone();
    views.0.push(name.clone());
    // Who asks stays who asks: only names are resolved as the view's maker saw them.
    let context = ClientContext {
        catalog: view.catalog.clone(),
        schema: view.schema.clone(),
        ..context.clone()
    };
    let invalid = |failure: Failure| match failure.code {
        ErrorCode::VIEW_IS_RECURSIVE | ErrorCode::VIEW_IS_STALE => failure,
        _ => {
            let message = format!(
                "Failed analyzing stored view '{catalog}.{schema}.{table}': {}",
                failure.message
            );
            Failure::new(ErrorCode::INVALID_VIEW, message)
        }
    };
    let parsed = lex(&view.sql).and_then(parse_query).map_err(invalid)?;
    // What is analysed twice could be rewritten twice: the types are read off a copy.
    let (plan, _) = plan_unanalysed(&parsed, state, &context, &views).await.map_err(invalid)?;
    let analysed = analyse(plan.clone(), state, &context, &parsed).map_err(invalid)?;
    check_columns(view, &PlannedQuery::new(analysed, Vec::new())).map_err(|reason| {
        let message =
            format!("View '{catalog}.{schema}.{table}' is stale or in invalid state: {reason}");
        Failure::new(ErrorCode::VIEW_IS_STALE, message)
    })?;
    let renamed: Vec<Expr> = view
        .columns
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            Expr::Column(Column::from(plan.schema().qualified_field(index))).alias(field.name())
        })
        .collect();
    let renamed = LogicalPlanBuilder::from(plan).project(renamed).and_then(|plan| plan.build());
    renamed.map_err(|error| failure_of(&error))
}

/// Makes sure that the query still gives what the view promised when it was made.
fn check_columns(view: &StoredView, query: &PlannedQuery) -> Result<(), String> {
    let (stored, found) = (view.columns.fields(), query.plan.schema().fields());
    if stored.len() != found.len() {
        return Err(format!(
            "stored view column count ({}) does not match column count derived from the view \
             query analysis ({})",
            stored.len(),
            found.len()
        ));
    }
    for (position, (stored, found)) in stored.iter().zip(found).enumerate() {
        let listing = |found: Result<TrinoType, Failure>| found.map(|t| t.listing());
        let expected = listing(TrinoType::of_field(stored)).unwrap_or_default();
        let actual = listing(query.column_type(position, found)).unwrap_or_default();
        if expected != actual {
            let name = stored.name();
            return Err(format!(
                "column [{name}] of type {actual} projected from query view at position \
                 {position} cannot be coerced to column [{name}] of type {expected} stored in \
                 view definition"
            ));
        }
    }
    Ok(())
}

/// The tables of one query as catalogs; nothing else is in them.
#[derive(Clone)]
pub(super) struct ResolvedTables(Arc<BTreeMap<FullName, Arc<dyn TableProvider>>>);

impl ResolvedTables {
    /// A table by catalog, schema and name.
    pub fn get(&self, [catalog, schema, table]: &[String; 3]) -> Option<&Arc<dyn TableProvider>> {
        self.0.get(&(catalog.clone(), schema.clone(), table.clone()))
    }
}

impl fmt::Debug for ResolvedTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl CatalogProviderList for ResolvedTables {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.0.keys().map(|(catalog, ..)| catalog.clone()).collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(ResolvedCatalog { tables: self.clone(), catalog: name.to_owned() }))
    }
}

#[derive(Debug)]
struct ResolvedCatalog {
    tables: ResolvedTables,
    catalog: String,
}

impl CatalogProvider for ResolvedCatalog {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(ResolvedSchema {
            tables: self.tables.clone(),
            name: (self.catalog.clone(), name.to_owned()),
        }))
    }
}

#[derive(Debug)]
struct ResolvedSchema {
    tables: ResolvedTables,
    name: (String, String),
}

#[async_trait]
impl SchemaProvider for ResolvedSchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let (catalog, schema) = self.name.clone();
        Ok(self.tables.0.get(&(catalog, schema, name.to_owned())).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        let (catalog, schema) = self.name.clone();
        self.tables.0.contains_key(&(catalog, schema, name.to_owned()))
    }
}
