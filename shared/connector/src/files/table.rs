//! One table: the Parquet files of a folder, all with the same columns.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::{
    catalog::TableProvider,
    common::Column as ColumnRef,
    datasource::{
        ViewTable,
        file_format::{FileFormat, parquet::ParquetFormat},
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
        provider_as_source,
    },
    error::DataFusionError,
    execution::context::SessionState,
    logical_expr::{Expr, LogicalPlanBuilder},
    object_store::ObjectStoreExt,
};
use futures::{StreamExt, TryStreamExt, stream};
use waterbear_types::TrinoType;

use super::{folders, location};
use crate::connector::{Column, ConnectorError, ConnectorTable};

/// Footers that are read at the same time.
const CONCURRENT_FOOTERS: usize = 16;

#[derive(Debug)]
pub(super) struct FilesTable {
    columns: Vec<Column>,
    provider: Arc<dyn TableProvider>,
}

impl ConnectorTable for FilesTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider)
    }
}

impl FilesTable {
    /// Reads the footers of all files in `folder`. The table is these files: one that is added
    /// later is seen by the next query.
    pub(super) async fn open(
        folder: PathBuf,
        state: Arc<SessionState>,
    ) -> Result<Self, ConnectorError> {
        let listed = folder.clone();
        let files = folders::blocking(move || folders::parquet_files(&listed)).await?;
        let schemas: Vec<SchemaRef> = stream::iter(files.clone())
            .map(|file| {
                let state = Arc::clone(&state);
                async move { footer(&file, &state).await.map_err(|e| malformed(&file, e)) }
            })
            .buffered(CONCURRENT_FOOTERS)
            .try_collect()
            .await?;
        let mut read = files.iter().zip(&schemas);
        let Some((first, schema)) = read.next() else {
            return Err(malformed(&folder, "the table's folder holds no .parquet file"));
        };
        for (file, other) in read {
            if let Some(difference) = difference(schema, other) {
                let reason = format!("unlike {}, {difference}", first.display());
                return Err(malformed(file, reason));
            }
        }
        let columns = columns(schema).map_err(|reason| malformed(first, reason))?;
        let urls = files.iter().map(|file| location::url_of(file)).collect::<Result<_, _>>()?;
        let provider = provider(urls, schema, &columns)?;
        Ok(Self { columns, provider })
    }
}

fn malformed(path: &Path, reason: impl ToString) -> ConnectorError {
    ConnectorError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

async fn footer(file: &Path, state: &SessionState) -> Result<SchemaRef, DataFusionError> {
    let url = location::url_of(file)?;
    let store = state.runtime_env().object_store(&url)?;
    let object = store.head(url.prefix()).await?;
    ParquetFormat::default().infer_schema(state, &store, &[object]).await
}

/// Says how the columns of two files differ in name or type, if they do; their order is free.
fn difference(first: &Schema, other: &Schema) -> Option<String> {
    let types = |schema: &Schema| -> BTreeMap<String, arrow::datatypes::DataType> {
        let pair =
            |field: &arrow::datatypes::FieldRef| (field.name().clone(), field.data_type().clone());
        schema.fields().iter().map(pair).collect()
    };
    let (first, other) = (types(first), types(other));
    for (name, expected) in &first {
        match other.get(name) {
            None => return Some(format!("it has no column {name}")),
            Some(actual) if actual != expected => {
                return Some(format!("column {name} is {actual}, not {expected}"));
            }
            Some(_) => {}
        }
    }
    other.keys().find(|name| !first.contains_key(*name)).map(|name| format!("it has {name}"))
}

/// Describes the columns, with names in lower case; any may be NULL in some file.
fn columns(schema: &Schema) -> Result<Vec<Column>, String> {
    let mut columns: Vec<Column> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = field.name().to_lowercase();
        if columns.iter().any(|column| column.name == name) {
            return Err(format!("two columns are named {name} but for case"));
        }
        let data_type = field.data_type().clone();
        let trino_type = TrinoType::of_field(field)
            .ok()
            .filter(|_| !matches!(data_type, DataType::Duration(_)))
            .ok_or_else(|| format!("column {name} has type {data_type}, which SQL lacks"))?
            .listing();
        columns.push(Column {
            name,
            data_type,
            trino_type,
            nullable: true,
            comment: None,
            hidden: false,
        });
    }
    Ok(columns)
}

fn provider(
    urls: Vec<ListingTableUrl>,
    schema: &SchemaRef,
    columns: &[Column],
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(Arc::new(schema.clone()));
    let files = Arc::new(ListingTable::try_new(config)?);
    let renamed: Vec<Expr> = schema
        .fields()
        .iter()
        .zip(columns)
        .map(|(field, column)| Expr::Column(ColumnRef::from_name(field.name())).alias(&column.name))
        .collect();
    if schema.fields().iter().zip(columns).all(|(field, column)| *field.name() == column.name) {
        return Ok(files);
    }
    // A view is planned as if its text stood in the query, so pruning works through it.
    let plan = LogicalPlanBuilder::scan("files", provider_as_source(files), None)?
        .project(renamed)?
        .build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
