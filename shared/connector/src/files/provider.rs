//! Plans scans of a table's files.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::{CastExpr, Column as PhysicalColumn};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::table::hidden_fields;
use crate::connector::Column;

/// How a column is made of the files' one.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Its name, if it is another one.
    pub renamed: Option<String>,
    /// Its type, if it is another one.
    pub cast: Option<DataType>,
}

/// A table over files, as they were when it was made.
pub(super) struct FilesProvider {
    store: ObjectStoreUrl,
    format: Arc<dyn FileFormat>,
    files: Vec<PartitionedFile>,
    /// The files' own columns, then the hidden ones.
    read: TableSchema,
    made: Vec<Made>,
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
        made: Vec<Made>,
        columns: &[Column],
    ) -> Self {
        let hidden: Vec<FieldRef> = hidden_fields().into_iter().map(Arc::new).collect();
        let read = TableSchema::builder(file_schema).with_table_partition_cols(hidden).build();
        let named = |(field, column): (&FieldRef, &Column)| {
            let field = field.as_ref().clone().with_name(&column.name);
            field.with_data_type(column.data_type.clone())
        };
        let fields: Vec<Field> =
            read.table_schema().fields().iter().zip(columns).map(named).collect();
        let schema = Arc::new(Schema::new(fields));
        Self { store, format, files, read, made, schema }
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
        let known = self.files.iter().filter_map(|file| file.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(known, self.read.table_schema())?;
        let all: Vec<usize> = (0..self.made.len()).collect();
        let wanted = projection.unwrap_or(&all);
        let source = self.format.file_source(self.read.clone());
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(wanted.clone()))?
            .with_limit(limit)
            .build();
        let scan = self.format.create_physical_plan(state, config).await?;
        self.make(scan, wanted)
    }
}

impl FilesProvider {
    /// Renames and casts what the files have otherwise.
    fn make(
        &self,
        scan: Arc<dyn ExecutionPlan>,
        wanted: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let changes = |index: &usize| {
            let made = &self.made[*index];
            made.renamed.is_some() || made.cast.is_some()
        };
        if !wanted.iter().any(changes) {
            return Ok(scan);
        }
        let read = scan.schema();
        let make = |(position, index): (usize, &usize)| {
            let (field, made) = (read.field(position), &self.made[*index]);
            let column = Arc::new(PhysicalColumn::new(field.name(), position));
            let value: Arc<dyn PhysicalExpr> = match &made.cast {
                Some(to) => Arc::new(CastExpr::new(column, to.clone(), None)),
                None => column,
            };
            (value, made.renamed.clone().unwrap_or_else(|| field.name().clone()))
        };
        let expressions: Vec<_> = wanted.iter().enumerate().map(make).collect();
        Ok(Arc::new(ProjectionExec::try_new(expressions, scan)?))
    }
}
