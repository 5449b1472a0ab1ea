//! Plans scans of a table's files.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::table::hidden_fields;
use crate::connector::Column;

/// A table over files, as they were when it was made.
pub(super) struct FilesProvider {
    store: ObjectStoreUrl,
    format: Arc<dyn FileFormat>,
    files: Vec<PartitionedFile>,
    /// The files' own columns, then the hidden ones.
    read: TableSchema,
    schema: SchemaRef,
}

impl fmt::Debug for FilesProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesProvider").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl FilesProvider {
    pub(super) fn new(
        store: ObjectStoreUrl,
        format: Arc<dyn FileFormat>,
        file_schema: SchemaRef,
        files: Vec<PartitionedFile>,
        columns: &[Column],
    ) -> Self {
        let hidden: Vec<FieldRef> = hidden_fields().into_iter().map(Arc::new).collect();
        let read = TableSchema::builder(file_schema).with_table_partition_cols(hidden).build();
        let named =
            |(field, column): (&FieldRef, &Column)| field.as_ref().clone().with_name(&column.name);
        let fields: Vec<Field> =
            read.table_schema().fields().iter().zip(columns).map(named).collect();
        let schema = Arc::new(Schema::new(fields));
        Self { store, format, files, read, schema }
    }
}

#[async_trait]
impl TableProvider for FilesProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let groups =
            FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        // A file without rows knows no bounds, and must not hide those of the others.
        let known = || self.files.iter().filter_map(|file| file.statistics.as_deref());
        let mut with_rows: Vec<&Statistics> =
            known().filter(|file| file.num_rows != Precision::Exact(0)).collect();
        if with_rows.is_empty() {
            with_rows.extend(known());
        }
        let statistics = Statistics::try_merge_iter(with_rows, self.read.table_schema())?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let source = self.format.file_source(self.read.clone());
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(wanted.clone()))?
            .with_limit(limit)
            .build();
        let scan = self.format.create_physical_plan(state, config).await?;
        self.rename(scan, wanted)
    }
}

impl FilesProvider {
    /// Gives columns their names in SQL.
    fn rename(
        &self,
        scan: Arc<dyn ExecutionPlan>,
        wanted: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let read = scan.schema();
        let names = wanted.iter().map(|index| self.schema.field(*index).name());
        if names.clone().zip(read.fields()).all(|(name, field)| name == field.name()) {
            return Ok(scan);
        }
        let rename = |(position, name): (usize, &String)| {
            let column = PhysicalColumn::new(read.field(position).name(), position);
            (Arc::new(column) as Arc<dyn PhysicalExpr>, name.clone())
        };
        let expressions: Vec<_> = names.enumerate().map(rename).collect();
        Ok(Arc::new(ProjectionExec::try_new(expressions, scan)?))
    }
}
