//! A table whose rows are collected on the coordinator when a query is planned; they travel in
//! its plan.

use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use waterbear_connector::{Column, ConnectorTable};

use waterbear_types::TrinoType;

use super::wanted::Wanted;

/// A row: one value for each column, NULL of any type included.
pub(super) type Row = Vec<ScalarValue>;

/// Gives the rows of a table.
#[async_trait]
pub(super) trait RowSource: Send + Sync {
    /// The rows; those that `wanted` does not admit may be left out.
    async fn rows(&self, wanted: &Wanted) -> Result<Vec<Row>>;
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
    /// A table of these columns: names between blanks, each with its type behind a colon unless
    /// it is `varchar` (`bigint`, `boolean`, `double`, `instant`, `texts`), and a `?` in front
    /// if it is hidden.
    pub fn connector_table(columns: &str, source: Arc<dyn RowSource>) -> Arc<dyn ConnectorTable> {
        let columns: Vec<Column> = columns.split_whitespace().map(column).collect();
        let field = |column: &Column| Field::new(&column.name, column.data_type.clone(), true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        Arc::new(RowsConnectorTable(Arc::new(Self { columns, schema, source })))
    }
}

fn column(text: &str) -> Column {
    let visible = text.strip_prefix('?');
    let (name, data_type) = match visible.unwrap_or(text).split_once(':') {
        None => (visible.unwrap_or(text), DataType::Utf8),
        Some((name, kind)) => (name, data_type(kind)),
    };
    Column {
        name: name.to_owned(),
        trino_type: TrinoType::of(&data_type).map(|t| t.listing()).unwrap_or_default(),
        data_type,
        nullable: true,
        comment: None,
        hidden: visible.is_some(),
    }
}

fn data_type(kind: &str) -> DataType {
    match kind {
        "bigint" => DataType::Int64,
        "boolean" => DataType::Boolean,
        "double" => DataType::Float64,
        "instant" => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        "texts" => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        _ => DataType::Utf8,
    }
}

/// The same table as a connector gives it.
#[derive(Debug)]
struct RowsConnectorTable(Arc<RowsTable>);

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
        let rows = self.source.rows(&Wanted::new(filters)).await?;
        let columns = self.schema.fields().iter().enumerate();
        let arrays: Vec<ArrayRef> = columns
            .map(|(at, field)| array(&rows, at, field.data_type()))
            .collect::<Result<_>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
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

/// One column of all rows.
fn array(rows: &[Row], at: usize, data_type: &DataType) -> Result<ArrayRef> {
    if rows.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let null = ScalarValue::try_from(data_type)?;
    let value = |row: &Row| match row.get(at) {
        None | Some(ScalarValue::Null) => null.clone(),
        Some(value) => value.clone(),
    };
    ScalarValue::iter_to_array(rows.iter().map(value))
}

/// NULL of whatever type its column has.
pub(super) const NULL: ScalarValue = ScalarValue::Null;

/// A varchar.
pub(super) fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

/// A varchar or NULL.
pub(super) fn optional_text(value: Option<impl Into<String>>) -> ScalarValue {
    ScalarValue::Utf8(value.map(Into::into))
}

/// A bigint; what does not fit is the largest there is.
pub(super) fn bigint(value: impl TryInto<i64>) -> ScalarValue {
    ScalarValue::Int64(Some(value.try_into().unwrap_or(i64::MAX)))
}

/// A bigint or NULL.
pub(super) fn optional_bigint(value: Option<i64>) -> ScalarValue {
    ScalarValue::Int64(value)
}

/// A timestamp with time zone, from milliseconds since the Unix epoch.
pub(super) fn instant(millis: Option<i64>) -> ScalarValue {
    ScalarValue::TimestampMillisecond(millis, Some("UTC".into()))
}

/// An array of varchar.
pub(super) fn texts(values: &[&str]) -> ScalarValue {
    let values: Vec<ScalarValue> = values.iter().map(|value| text(*value)).collect();
    ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8))
}
