//! Hidden columns: a query can name them, `SELECT *` leaves them out.
//!
//! A table with hidden columns is planned as a [`HidingTable`], which has the visible ones alone.
//! When a query names a hidden column of a table that it reads, the table shows all of its
//! columns to that query, and each `*` over it is written out without them.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
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
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, TableAlias, TableFactor, TableWithJoins, VisitMut,
    VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Token;
use waterbear_protocol::Failure;

use crate::ClientContext;
use crate::check::{Checked, unsupported};
use crate::lexer::Lexed;
use crate::plan::{WithNames, full_name};

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

    /// Takes the hidden columns out of every `*` of a query.
    ///
    /// # Errors
    /// NOT_SUPPORTED where `*` cannot be written out.
    pub fn leave_out(&self, query: &mut Query, context: &ClientContext) -> Checked {
        let mut stars = Stars { named: self, context, with: WithNames::default() };
        match query.visit(&mut stars) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(failure) => Err(failure),
        }
    }
}

struct Stars<'a> {
    named: &'a Named,
    context: &'a ClientContext,
    with: WithNames,
}

impl VisitorMut for Stars<'_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        self.with.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Failure> {
        self.with.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Failure> {
        match self.select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => ControlFlow::Break(failure),
        }
    }
}

/// A relation of FROM: what it is called there, and its hidden columns.
struct Relation {
    name: Option<ObjectName>,
    hidden: Vec<String>,
}

impl Relation {
    fn is_called(&self, name: &ObjectName) -> bool {
        let last = |name: &ObjectName| {
            name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase())
        };
        self.name.as_ref().is_some_and(|own| last(own) == last(name))
    }

    /// `relation.*` without its hidden columns.
    fn star(&self) -> Option<SelectItem> {
        let kind = SelectItemQualifiedWildcardKind::ObjectName(self.name.clone()?);
        Some(SelectItem::QualifiedWildcard(kind, without(&self.hidden)))
    }
}

fn without(hidden: &[String]) -> WildcardAdditionalOptions {
    let name = |name: &String| ObjectName::from(Ident::with_quote('"', name));
    let names = hidden.iter().map(name).collect();
    let opt_exclude = (!hidden.is_empty()).then_some(ExcludeSelectItem::Multiple(names));
    WildcardAdditionalOptions { opt_exclude, ..Default::default() }
}

impl Stars<'_> {
    fn select(&self, select: &mut Select) -> Checked {
        let mut relations = Vec::new();
        let mut merges = false;
        for table in &select.from {
            merges |= self.relations(table, &mut relations);
        }
        if relations.iter().all(|relation| relation.hidden.is_empty()) {
            return Ok(());
        }
        let mut items = Vec::with_capacity(select.projection.len());
        for mut item in std::mem::take(&mut select.projection) {
            match &mut item {
                SelectItem::Wildcard(options) => {
                    if let [only] = relations.as_slice() {
                        *options = without(&only.hidden);
                        items.push(item);
                        continue;
                    }
                    let stars: Option<Vec<_>> = relations.iter().map(Relation::star).collect();
                    match stars {
                        Some(stars) if !merges => items.extend(stars),
                        _ => {
                            let what =
                                "* over hidden columns and USING or a subquery without a name";
                            return Err(unsupported(&item, what));
                        }
                    }
                    continue;
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    if let Some(relation) = relations.iter().find(|own| own.is_called(name)) {
                        *options = without(&relation.hidden);
                    }
                }
                _ => {}
            }
            items.push(item);
        }
        select.projection = items;
        Ok(())
    }

    /// Adds the relations of a join, in their order; true when columns of several become one.
    fn relations(&self, table: &TableWithJoins, found: &mut Vec<Relation>) -> bool {
        let mut merges = self.relation(&table.relation, found);
        for join in &table.joins {
            merges |= self.relation(&join.relation, found) | has_using(join);
        }
        merges
    }

    fn relation(&self, factor: &TableFactor, found: &mut Vec<Relation>) -> bool {
        let alias_of = |alias: &Option<TableAlias>| {
            alias.as_ref().map(|alias| ObjectName::from(alias.name.clone()))
        };
        let (name, hidden) = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                return self.relations(table_with_joins, found);
            }
            TableFactor::Table { name, alias, .. } => {
                (alias_of(alias).or_else(|| Some(name.clone())), self.hidden_of(name))
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => (alias_of(alias), Vec::new()),
            _ => (None, Vec::new()),
        };
        found.push(Relation { name, hidden });
        false
    }

    fn hidden_of(&self, name: &ObjectName) -> Vec<String> {
        let idents = name.0.iter().filter_map(|part| part.as_ident());
        let parts: Vec<String> = idents.map(|ident| ident.value.to_lowercase()).collect();
        if parts.len() == 1 && self.with.gives(&parts[0]) {
            return Vec::new();
        }
        let full = full_name(&parts, self.context).ok();
        full.and_then(|(catalog, schema, table)| self.named.0.get(&[catalog, schema, table]))
            .cloned()
            .unwrap_or_default()
    }
}

fn has_using(join: &Join) -> bool {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => {
            matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
        }
        _ => true,
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
