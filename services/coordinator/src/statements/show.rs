//! Answers statements about the catalogs.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream;
use waterbear_connector::{Connector, ConnectorError, ConnectorTable};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use waterbear_dialect::{LikePattern, MetadataStatement, QualifiedName, failure_at, full_name};
use waterbear_functions::Function;
use waterbear_types::TrinoType;

use super::create::show_create;
use crate::catalogs::{Catalogs, connector_failure};
use crate::query::{ClientContext, Output, OutputColumn, SessionChanges};

/// Where statements without a name of their own are to blame.
pub(super) const START: ErrorLocation = ErrorLocation { line_number: 1, column_number: 1 };

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
        MetadataStatement::ShowCreate { kind, name } => {
            show_create(*kind, name, catalogs, context).await
        }
        MetadataStatement::ShowFunctions { schema, like } => {
            if let Some(name) = schema {
                let (catalog, schema, at) = schema_name(Some(name), context)?;
                existing_schema(&catalog, &schema, at, catalogs).await?;
                return functions(std::iter::empty(), like);
            }
            functions(waterbear_functions::supported_functions(), like)
        }
        MetadataStatement::ShowRoles { heading, catalog } => {
            show_roles(heading, catalog.as_ref(), catalogs)
        }
        MetadataStatement::ShowGrants { table } => {
            show_grants(table.as_ref(), catalogs, context).await
        }
        MetadataStatement::Use { schema } => use_schema(schema, catalogs, context).await,
    }
}

/// Makes sure that a schema is there.
pub(super) async fn existing_schema(
    catalog: &str,
    schema: &str,
    at: Option<ErrorLocation>,
    catalogs: &Catalogs,
) -> Result<(), Failure> {
    let schemas = connector(catalogs, catalog, at)?.schemas().await;
    if schemas.map_err(|error| located(error, at))?.iter().any(|found| found == schema) {
        return Ok(());
    }
    let message = format!("Schema '{catalog}.{schema}' does not exist");
    Err(failure_at(at, ErrorCode::SCHEMA_NOT_FOUND, message))
}

/// One row for each signature, by name.
fn functions(
    functions: impl Iterator<Item = &'static Function>,
    like: &Option<LikePattern>,
) -> Result<Output, Failure> {
    let is_shown =
        |function: &&Function| like.as_ref().is_none_or(|like| like.matches(function.name));
    let mut shown: Vec<&Function> = functions.filter(is_shown).collect();
    shown.sort_by_key(|function| (function.name, function.arguments));
    let of =
        |value: fn(&Function) -> String| shown.iter().map(|function| value(function)).collect();
    let columns: [(&str, Vec<String>); 5] = [
        ("Function", of(|function| function.name.to_owned())),
        ("Return Type", of(|function| function.result.to_owned())),
        ("Argument Types", of(Function::listed_arguments)),
        ("Function Type", of(|function| function.kind.name().to_owned())),
        ("Description", of(|function| function.description.to_owned())),
    ];
    let deterministic: BooleanArray =
        shown.iter().map(|function| Some(function.deterministic)).collect();
    let mut headings: Vec<(&str, TrinoType)> = Vec::with_capacity(6);
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(6);
    for (heading, values) in columns {
        if heading == "Description" {
            headings.push(("Deterministic", TrinoType::Plain("boolean")));
            arrays.push(Arc::new(deterministic.clone()));
        }
        headings.push((heading, TrinoType::Varchar(None)));
        arrays.push(Arc::new(StringArray::from(values)));
    }
    rows_of(&headings, arrays)
}

/// There is no access control: no roles, and nothing that a catalog could manage.
fn show_roles(
    heading: &str,
    catalog: Option<&QualifiedName>,
    catalogs: &Catalogs,
) -> Result<Output, Failure> {
    if let Some(name) = catalog {
        let catalog = name.parts.first().map_or("", String::as_str);
        connector(catalogs, catalog, name.location)?;
        let message = format!("Catalog '{catalog}' does not support role management");
        return Err(failure_at(name.location, ErrorCode::NOT_SUPPORTED, message));
    }
    text_rows(&[heading], vec![Vec::new()])
}

const GRANTS: [&str; 10] = [
    "Grantor",
    "Grantor Type",
    "Grantee",
    "Grantee Type",
    "Catalog",
    "Schema",
    "Table",
    "Privilege",
    "Grantable",
    "With Hierarchy",
];

async fn show_grants(
    table: Option<&QualifiedName>,
    catalogs: &Catalogs,
    context: &ClientContext,
) -> Result<Output, Failure> {
    match table {
        Some(name) => {
            find_table(name, "Table", catalogs, context).await?;
        }
        None => {
            let name = context.catalog.as_ref().ok_or_else(|| missing_catalog(Some(START)))?;
            connector(catalogs, name, Some(START))?;
        }
    }
    text_rows(&GRANTS, vec![Vec::new(); GRANTS.len()])
}

/// The table of a name, with its full name.
pub(super) async fn find_table(
    name: &QualifiedName,
    what: &str,
    catalogs: &Catalogs,
    context: &ClientContext,
) -> Result<([String; 3], Arc<dyn ConnectorTable>), Failure> {
    let at = name.location;
    let (catalog, schema, table) =
        full_name(&name.parts, context).map_err(|(code, text)| failure_at(at, code, text))?;
    let found = connector(catalogs, &catalog, at)?
        .table(&schema, &table)
        .await
        .map_err(|error| located(error, at))?;
    let Some(found) = found else {
        let message = format!("{what} '{catalog}.{schema}.{table}' does not exist");
        return Err(failure_at(at, ErrorCode::TABLE_NOT_FOUND, message));
    };
    Ok(([catalog, schema, table], found))
}

pub(super) fn missing_catalog(at: Option<ErrorLocation>) -> Failure {
    let message = "Catalog must be specified when session catalog is not set";
    failure_at(at, ErrorCode::MISSING_CATALOG_NAME, message)
}

/// The failure of a connector, at the name to blame.
pub(super) fn located(error: ConnectorError, at: Option<ErrorLocation>) -> Failure {
    let failure = connector_failure(error);
    failure_at(at, failure.code, failure.message)
}

pub(super) fn connector<'a>(
    catalogs: &'a Catalogs,
    name: &str,
    at: Option<ErrorLocation>,
) -> Result<&'a Arc<dyn Connector>, Failure> {
    let message = || format!("Catalog '{name}' not found");
    catalogs.connector(name).ok_or_else(|| failure_at(at, ErrorCode::CATALOG_NOT_FOUND, message()))
}

/// Catalog and schema, with what the session adds.
pub(super) fn schema_name(
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
    let (_, found) = find_table(name, "Table", catalogs, context).await?;
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
    existing_schema(&catalog, &schema, at, catalogs).await?;
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

pub(super) fn text_rows(headings: &[&str], columns: Vec<Vec<String>>) -> Result<Output, Failure> {
    let headings: Vec<(&str, TrinoType)> =
        headings.iter().map(|heading| (*heading, TrinoType::Varchar(None))).collect();
    let arrays =
        columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef).collect();
    rows_of(&headings, arrays)
}

/// The rows of these columns, whose types are those of the arrays.
pub(crate) fn rows_of(
    headings: &[(&str, TrinoType)],
    arrays: Vec<ArrayRef>,
) -> Result<Output, Failure> {
    let fields: Vec<Field> = headings
        .iter()
        .zip(&arrays)
        .map(|((heading, _), array)| Field::new(*heading, array.data_type().clone(), true))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string()))?;
    let column = |(heading, trino_type): &(&str, TrinoType)| OutputColumn {
        name: (*heading).to_owned(),
        trino_type: trino_type.clone(),
    };
    let columns = headings.iter().map(column).collect();
    Ok(Output::rows(columns, stream::iter([Ok(batch)]).boxed()))
}
