//! Answers statements about the catalogs.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream;
use waterbear_connector::{Connector, ConnectorError};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use waterbear_dialect::{LikePattern, MetadataStatement, QualifiedName, failure_at, full_name};
use waterbear_types::TrinoType;

use crate::catalogs::{Catalogs, connector_failure};
use crate::query::{ClientContext, Output, OutputColumn, SessionChanges};

/// Where statements without a name of their own are to blame.
const START: ErrorLocation = ErrorLocation { line_number: 1, column_number: 1 };

/// Answers a statement about the catalogs.
///
/// # Errors
/// Trino's codes for catalogs, schemas and tables that do not exist or are not named.
pub async fn run_metadata(
    statement: &MetadataStatement,
    catalogs: &Catalogs,
    context: &ClientContext,
) -> Result<Output, Failure> {
    match statement {
        MetadataStatement::ShowCatalogs { like } => one_column("Catalog", catalogs.names(), like),
        MetadataStatement::ShowSchemas { catalog, like } => {
            let (name, at) = match catalog {
                Some(name) => (name.parts.first().cloned(), name.location),
                None => (context.catalog.clone(), Some(START)),
            };
            let name = name.ok_or_else(|| missing_catalog(at))?;
            let schemas = connector(catalogs, &name, at)?.schemas().await;
            one_column("Schema", schemas.map_err(|error| located(error, at))?, like)
        }
        MetadataStatement::ShowTables { schema, like } => {
            let (catalog, schema, at) = schema_name(schema.as_ref(), context)?;
            let tables = connector(catalogs, &catalog, at)?.tables(&schema).await;
            one_column("Table", tables.map_err(|error| located(error, at))?, like)
        }
        MetadataStatement::ShowColumns { table, like } => {
            show_columns(table, like, catalogs, context).await
        }
        MetadataStatement::Use { schema } => use_schema(schema, catalogs, context).await,
    }
}

fn missing_catalog(at: Option<ErrorLocation>) -> Failure {
    let message = "Catalog must be specified when session catalog is not set";
    failure_at(at, ErrorCode::MISSING_CATALOG_NAME, message)
}

/// The failure of a connector, at the name to blame.
fn located(error: ConnectorError, at: Option<ErrorLocation>) -> Failure {
    let failure = connector_failure(error);
    failure_at(at, failure.code, failure.message)
}

fn connector<'a>(
    catalogs: &'a Catalogs,
    name: &str,
    at: Option<ErrorLocation>,
) -> Result<&'a Arc<dyn Connector>, Failure> {
    let message = || format!("Catalog '{name}' not found");
    catalogs.connector(name).ok_or_else(|| failure_at(at, ErrorCode::CATALOG_NOT_FOUND, message()))
}

/// Catalog and schema, with what the session adds.
fn schema_name(
    name: Option<&QualifiedName>,
    context: &ClientContext,
) -> Result<(String, String, Option<ErrorLocation>), Failure> {
    let at = name.map_or(Some(START), |name| name.location);
    let session_catalog = || context.catalog.clone().ok_or_else(|| missing_catalog(at));
    let parts = name.map_or(&[][..], |name| &name.parts);
    match parts {
        [catalog, schema] => Ok((catalog.clone(), schema.clone(), at)),
        [schema] => Ok((session_catalog()?, schema.clone(), at)),
        _ => {
            let message = "Schema must be specified when session schema is not set";
            let missing = || failure_at(at, ErrorCode::MISSING_SCHEMA_NAME, message);
            Ok((session_catalog()?, context.schema.clone().ok_or_else(missing)?, at))
        }
    }
}

async fn show_columns(
    name: &QualifiedName,
    like: &Option<LikePattern>,
    catalogs: &Catalogs,
    context: &ClientContext,
) -> Result<Output, Failure> {
    let at = name.location;
    let (catalog, schema, table) =
        full_name(&name.parts, context).map_err(|(code, text)| failure_at(at, code, text))?;
    let found = connector(catalogs, &catalog, at)?
        .table(&schema, &table)
        .await
        .map_err(|error| located(error, at))?;
    let Some(found) = found else {
        let message = format!("Table '{catalog}.{schema}.{table}' does not exist");
        return Err(failure_at(at, ErrorCode::TABLE_NOT_FOUND, message));
    };
    let shown = found
        .columns()
        .iter()
        .filter(|column| !column.hidden)
        .filter(|column| like.as_ref().is_none_or(|like| like.matches(&column.name)));
    let mut columns: [Vec<String>; 4] = Default::default();
    for column in shown {
        columns[0].push(column.name.clone());
        columns[1].push(column.trino_type.clone());
        columns[2].push(String::new());
        columns[3].push(column.comment.clone().unwrap_or_default());
    }
    text_rows(&["Column", "Type", "Extra", "Comment"], columns.into())
}

async fn use_schema(
    name: &QualifiedName,
    catalogs: &Catalogs,
    context: &ClientContext,
) -> Result<Output, Failure> {
    let (catalog, schema, at) = schema_name(Some(name), context)?;
    let schemas = connector(catalogs, &catalog, at)?.schemas().await;
    if !schemas.map_err(|error| located(error, at))?.contains(&schema) {
        let message = format!("Schema '{catalog}.{schema}' does not exist");
        return Err(failure_at(at, ErrorCode::SCHEMA_NOT_FOUND, message));
    }
    Ok(Output::done("USE").with_changes(SessionChanges {
        set_catalog: (name.parts.len() == 2).then_some(catalog),
        set_schema: Some(schema),
        ..SessionChanges::default()
    }))
}

/// Sorted names under one heading.
fn one_column(
    heading: &str,
    mut names: Vec<String>,
    like: &Option<LikePattern>,
) -> Result<Output, Failure> {
    names.retain(|name| like.as_ref().is_none_or(|like| like.matches(name)));
    names.sort();
    text_rows(&[heading], vec![names])
}

fn text_rows(headings: &[&str], columns: Vec<Vec<String>>) -> Result<Output, Failure> {
    let fields: Vec<Field> =
        headings.iter().map(|heading| Field::new(*heading, DataType::Utf8, false)).collect();
    let arrays =
        columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string()))?;
    let output_column = |heading: &&str| OutputColumn {
        name: (*heading).to_owned(),
        trino_type: TrinoType::Varchar(None),
    };
    let columns = headings.iter().map(output_column).collect();
    Ok(Output::rows(columns, stream::iter([Ok(batch)]).boxed()))
}
