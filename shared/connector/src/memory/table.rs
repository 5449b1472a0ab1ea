//! A table or view as a query sees it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::budget::Part;
use super::store::{Entry, StoredTable};
use crate::connector::{Column, ConnectorTable};
use crate::write::ViewDefinition;

/// Rows up to this size, in bytes, are one partition: to divide them costs more than it gives.
const ONE_PARTITION: u64 = 4 << 20;

pub(super) fn open(entry: Entry) -> Arc<dyn ConnectorTable> {
    let columns = match &entry {
        Entry::Table(table) => &table.columns,
        Entry::View(view) => &view.columns,
    };
    let fields: Vec<Field> = columns.iter().map(Column::field).collect();
    Arc::new(MemoryTable { entry, schema: Arc::new(Schema::new(fields)) })
}

#[derive(Clone, Debug)]
struct MemoryTable {
    entry: Entry,
    schema: SchemaRef,
}

impl ConnectorTable for MemoryTable {
    fn columns(&self) -> &[Column] {
        match &self.entry {
            Entry::Table(table) => &table.columns,
            Entry::View(view) => &view.columns,
        }
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(self.clone())
    }

    fn view_definition(&self) -> Option<&ViewDefinition> {
        match &self.entry {
            Entry::Table(_) => None,
            Entry::View(view) => Some(view),
        }
    }

    fn comment(&self) -> Option<&str> {
        match &self.entry {
            Entry::Table(table) => table.comment.as_deref(),
            Entry::View(view) => view.comment.as_deref(),
        }
    }
}

impl MemoryTable {
    fn batches(&self, table: &StoredTable) -> Result<Vec<RecordBatch>> {
        let batch = |part: &Arc<Part>| {
            let mut columns: Vec<ArrayRef> = part.columns.clone();
            for field in &self.schema.fields()[columns.len()..] {
                columns.push(new_null_array(field.data_type(), part.rows()));
            }
            let options = RecordBatchOptions::new().with_row_count(Some(part.rows()));
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
                .map_err(DataFusionError::from)
        };
        table.parts.iter().map(batch).collect()
    }
}

#[async_trait]
impl TableProvider for MemoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match &self.entry {
            Entry::Table(_) => TableType::Base,
            Entry::View(_) => TableType::View,
        }
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Entry::Table(table) = &self.entry else {
            return Err(DataFusionError::Internal("a view was not expanded".to_owned()));
        };
        let batches = self.batches(table)?;
        let bytes: u64 = table.parts.iter().map(|part| part.bytes()).sum();
        let partitions = match bytes {
            0..=ONE_PARTITION => vec![batches],
            _ => divide(batches, state.config().target_partitions()),
        };
        let schema = Arc::clone(&self.schema);
        let scan = MemorySourceConfig::try_new_exec(&partitions, schema, projection.cloned())?;
        Ok(scan)
    }
}

/// Deals batches out to `count` partitions.
fn divide(batches: Vec<RecordBatch>, count: usize) -> Vec<Vec<RecordBatch>> {
    let count = count.clamp(1, batches.len().max(1));
    let mut partitions = vec![Vec::new(); count];
    for (index, batch) in batches.into_iter().enumerate() {
        partitions[index % count].push(batch);
    }
    partitions
}
