//! Hidden columns: a query can name them, `SELECT *` leaves them out.
//!
//! A table with hidden columns is planned as a [`HidingTable`], which has the visible ones alone.
//! When a query names a hidden column of a table that it reads, the table shows all of its
//! columns to that query, and each `*` over it is written out without them (`scopes`).

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, ScanArgs, ScanResult, SchemaProvider, Session,
    TableProvider,
};
use datafusion::common::Statistics;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::lexer::Lexed;

/// A table whose hidden columns are out of sight.
#[derive(Debug)]
pub struct HidingTable {
    inner: Arc<dyn TableProvider>,
    visible: Vec<usize>,
    schema: SchemaRef,
    hidden: Vec<String>,
}

impl HidingTable {
    /// Hides these columns of a table; a table that hides nothing stays as it is.
    ///
    /// # Errors
    /// Never for columns of the table's own schema.
    pub fn over(
        inner: Arc<dyn TableProvider>,
        hidden: Vec<String>,
    ) -> Result<Arc<dyn TableProvider>> {
        if hidden.is_empty() {
            return Ok(inner);
        }
        let all = inner.schema();
        let fields = all.fields().iter().enumerate();
        let visible: Vec<usize> = fields
            .filter(|(_, field)| !hidden.contains(field.name()))
            .map(|(index, _)| index)
            .collect();
        let schema = Arc::new(all.project(&visible)?);
        Ok(Arc::new(Self { inner, visible, schema, hidden }))
    }

    fn all_columns(&self, projection: Option<&[usize]>) -> Vec<usize> {
        match projection {
            None => self.visible.clone(),
            Some(some) => some.iter().filter_map(|at| self.visible.get(*at).copied()).collect(),
        }
    }
}

#[async_trait]
impl TableProvider for HidingTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.inner.statistics()?.project(Some(&self.visible)))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = self.all_columns(projection.map(Vec::as_slice));
        self.inner.scan(state, Some(&projection), filters, limit).await
    }

    async fn scan_with_args<'a>(
        &self,
        state: &dyn Session,
        args: ScanArgs<'a>,
    ) -> Result<ScanResult> {
        let projection = self.all_columns(args.projection());
        let args = args.with_projection(Some(&projection));
        self.inner.scan_with_args(state, args).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }
}

/// The hidden columns that a query names, by catalog, schema and table.
#[derive(Debug, Default, Clone)]
pub(crate) struct Named(HashMap<[String; 3], Vec<String>>);

impl Named {
    /// Notes the hidden columns of a table of the query, if the query names one of them.
    pub fn note(&mut self, table: [String; 3], provider: &dyn TableProvider, lexed: &Lexed) {
        let Some(hiding) = (provider as &dyn Any).downcast_ref::<HidingTable>() else { return };
        let is_named = lexed.tokens.iter().any(
            |token| matches!(&token.token, Token::Word(word) if hiding.hidden.iter().any(|name| word.value.eq_ignore_ascii_case(name))),
        );
        if is_named {
            self.0.insert(table, hiding.hidden.clone());
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The catalogs with these tables showing all their columns.
    pub fn revealed(&self, inner: Arc<dyn CatalogProviderList>) -> Arc<dyn CatalogProviderList> {
        Arc::new(Catalogs { inner, tables: Arc::new(self.0.keys().cloned().collect()) })
    }

    /// The hidden columns of a table that shows them.
    pub fn hidden_of(&self, table: &[String; 3]) -> &[String] {
        self.0.get(table).map_or(&[], Vec::as_slice)
    }
}

type Tables = Arc<HashSet<[String; 3]>>;

/// Catalogs in which some tables show their hidden columns.
#[derive(Debug)]
struct Catalogs {
    inner: Arc<dyn CatalogProviderList>,
    tables: Tables,
}

impl CatalogProviderList for Catalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.inner.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let inner = self.inner.catalog(name)?;
        Some(Arc::new(Catalog { inner, name: name.to_owned(), tables: Arc::clone(&self.tables) }))
    }
}

#[derive(Debug)]
struct Catalog {
    inner: Arc<dyn CatalogProvider>,
    name: String,
    tables: Tables,
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        self.inner.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let inner = self.inner.schema(name)?;
        let names = [self.name.clone(), name.to_owned()];
        Some(Arc::new(Schema { inner, names, tables: Arc::clone(&self.tables) }))
    }
}

#[derive(Debug)]
struct Schema {
    inner: Arc<dyn SchemaProvider>,
    names: [String; 2],
    tables: Tables,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = self.inner.table(name).await? else { return Ok(None) };
        let [catalog, schema] = &self.names;
        let is_named = self.tables.contains(&[catalog.clone(), schema.clone(), name.to_owned()]);
        let hiding = (table.as_ref() as &dyn Any).downcast_ref::<HidingTable>();
        Ok(Some(match hiding {
            Some(hiding) if is_named => Arc::clone(&hiding.inner),
            _ => table,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}
