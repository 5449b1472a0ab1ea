//! A table whose rows are collected on the coordinator when a query is planned; they travel in
//! its plan.

use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use waterbear_connector::{Column, ConnectorTable};

use waterbear_types::TrinoType;

/// Values that a query asks certain columns to equal.
#[derive(Debug, Default, Clone)]
pub(super) struct Wanted(Vec<(String, String)>);

impl Wanted {
    /// Reads `column = 'text'` out of a scan's filters; everything else is left to the engine.
    fn from_filters(filters: &[Expr]) -> Self {
        let equal = |filter: &Expr| {
            let Expr::BinaryExpr(binary) = filter else { return None };
            let (column, literal) = match (binary.left.as_ref(), binary.right.as_ref()) {
                (Expr::Column(column), Expr::Literal(literal, _))
                | (Expr::Literal(literal, _), Expr::Column(column)) => (column, literal),
                _ => return None,
            };
            let text = literal.try_as_str()??;
            (binary.op == Operator::Eq).then(|| (column.name.clone(), text.to_owned()))
        };
        Self(filters.iter().filter_map(equal).collect())
    }

    /// True unless the query wants this column to be something else.
    pub fn admits(&self, column: &str, value: &str) -> bool {
        self.0.iter().all(|(name, wanted)| name != column || wanted == value)
    }
}

/// Gives the rows of a table, in the order of its columns.
#[async_trait]
pub(super) trait RowSource: Send + Sync {
    async fn columns(&self, wanted: &Wanted) -> Result<Vec<ArrayRef>>;
}

/// A table over a source of rows.
pub(super) struct RowsTable {
    columns: Vec<Column>,
    schema: SchemaRef,
    source: Arc<dyn RowSource>,
}

impl Debug for RowsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl RowsTable {
    pub fn new(columns: &[(&str, DataType)], source: Arc<dyn RowSource>) -> Arc<Self> {
        let field =
            |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        let column = |(name, data_type): &(&str, DataType)| Column {
            name: (*name).to_owned(),
            data_type: data_type.clone(),
            trino_type: TrinoType::of(data_type).map(|t| t.listing()).unwrap_or_default(),
            nullable: true,
            comment: None,
            hidden: false,
        };
        Arc::new(Self {
            columns: columns.iter().map(column).collect(),
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
            source,
        })
    }
}

/// The same table as a connector gives it.
#[derive(Debug)]
pub(super) struct RowsConnectorTable(pub Arc<RowsTable>);

impl ConnectorTable for RowsConnectorTable {
    fn columns(&self) -> &[Column] {
        &self.0.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.0) as Arc<dyn TableProvider>
    }
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.source.columns(&Wanted::from_filters(filters)).await?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(DataFusionError::from)?;
        let plan = MemorySourceConfig::try_new_exec(
            &[vec![batch]],
            Arc::clone(&self.schema),
            projection.cloned(),
        )?;
        Ok(plan)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // What the source does not read of them the engine does.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// A varchar column.
pub(super) fn varchars<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> ArrayRef {
    let values: Vec<Option<T>> = values.into_iter().collect();
    Arc::new(values.iter().map(|value| value.as_ref().map(AsRef::as_ref)).collect::<StringArray>())
}
