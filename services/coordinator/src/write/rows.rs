//! INSERT and CREATE TABLE AS: the rows of a query, written by one attempt on the coordinator and
//! committed at once. Whatever ends the statement before its commit leaves nothing behind.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use waterbear_connector::{
    Column, ConnectorError, ConnectorTable, ConnectorWrites, TableDefinition, TableName,
    TableWrite, WriteTarget,
};
use waterbear_dialect::{
    Name, ParsedQuery, PlannedQuery, QualifiedName, WriteAction, session_zone_name,
};
use waterbear_protocol::{ErrorCode, Failure, RetryPolicy};
use waterbear_types::TrinoType;

use super::Change;
use super::coerce::{Coercion, is_compatible, mixed_zones};
use super::define::columns_of;
use super::names::TablePlace;
use crate::catalogs::connector_failure;
use crate::query::runner::Runner;
use crate::query::{Output, QueryHandle};

type Batches = BoxStream<'static, Result<RecordBatch, Failure>>;

/// CREATE TABLE AS.
pub(super) async fn create_table_as(
    change: &Change<'_>,
    runner: &Runner,
    query: &Arc<QueryHandle>,
    action: &WriteAction,
) -> Result<Output, Failure> {
    let WriteAction::CreateTableAs {
        table,
        aliases,
        comment,
        if_not_exists,
        query: source,
        with_data,
    } = action
    else {
        return Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, "no table"));
    };
    let place = change.table_place(table)?;
    if change.find(&place).await?.is_some() {
        if *if_not_exists {
            return Ok(Output::update("CREATE TABLE", async { Ok(0) }));
        }
        let message = format!("Table '{}' already exists", place.full());
        return Err(change.failure(ErrorCode::TABLE_ALREADY_EXISTS, message));
    }
    let planned = runner.plan(query, source).await?;
    let columns = columns_of(&planned, aliases.as_deref(), change)?;
    let coercion = Coercion::straight(&columns);
    let definition = TableDefinition { columns, comment: comment.clone() };
    let (writes, policy) = (place.connector.writes(), runner.retry_policy(query)?);
    let write = begin(writes, &place.name, WriteTarget::Create(definition), policy)
        .await
        .map_err(|error| change.located(error))?;
    let batches = match with_data {
        true => runner.start(query, &planned).await?.batches,
        false => futures::stream::empty().boxed(),
    };
    Ok(Output::update("CREATE TABLE", write_all(write, batches, coercion)))
}

/// Begins a write, before anything is done for it.
async fn begin(
    writes: &dyn ConnectorWrites,
    name: &TableName,
    target: WriteTarget,
    policy: RetryPolicy,
) -> Result<Arc<dyn TableWrite>, ConnectorError> {
    // What cannot be written at all is refused for that.
    let write = writes.begin(name, target).await?;
    if policy != RetryPolicy::None {
        writes.check_retries()?;
    }
    Ok(write)
}

/// INSERT INTO, checked and planned.
pub(super) struct PlannedInsert<'a> {
    place: TablePlace<'a>,
    table: Arc<dyn ConnectorTable>,
    sources: Vec<Option<usize>>,
    pub planned: PlannedQuery,
}

/// Checks and plans INSERT INTO.
pub(super) async fn plan_insert<'a>(
    change: &Change<'a>,
    runner: &Runner,
    query: &Arc<QueryHandle>,
    (table, names): (&QualifiedName, Option<&[Name]>),
    source: &ParsedQuery,
) -> Result<PlannedInsert<'a>, Failure> {
    let place = change.table_place(table)?;
    let found = change.require_rows(&place, "Inserting into views is not supported").await?;
    let sources = insert_columns(change, found.as_ref(), names)?;
    let planned = runner.plan(query, source).await?;
    check_types(change, found.columns(), &sources, &planned)?;
    Ok(PlannedInsert { place, table: found, sources, planned })
}

/// INSERT INTO.
pub(super) async fn insert(
    change: &Change<'_>,
    runner: &Runner,
    query: &Arc<QueryHandle>,
    target: (&QualifiedName, Option<&[Name]>),
    source: &ParsedQuery,
) -> Result<Output, Failure> {
    let PlannedInsert { place, table: found, sources, planned } =
        plan_insert(change, runner, query, target, source).await?;
    let (writes, policy) = (place.connector.writes(), runner.retry_policy(query)?);
    let write = begin(writes, &place.name, WriteTarget::Insert, policy)
        .await
        .map_err(|error| change.located(error))?;
    if write.columns() != found.columns() {
        let message = format!("Table '{}' changed while the statement was planned", place.full());
        return Err(change.failure(ErrorCode::TRANSACTION_CONFLICT, message));
    }
    let coercion = Coercion::new(write.columns(), sources);
    let batches = runner.start(query, &planned).await?.batches;
    Ok(Output::update("INSERT", write_all(write, batches, coercion)))
}

/// For each column of the table the query's column that fills it.
fn insert_columns(
    change: &Change<'_>,
    table: &dyn ConnectorTable,
    names: Option<&[Name]>,
) -> Result<Vec<Option<usize>>, Failure> {
    let visible: Vec<&Column> = table.columns().iter().filter(|column| !column.hidden).collect();
    let Some(names) = names else {
        return Ok((0..visible.len()).map(Some).collect());
    };
    let mut seen = HashSet::new();
    for name in names {
        if !visible.iter().any(|column| column.name == name.text) {
            let message =
                format!("Insert column name does not exist in target table: {}", name.text);
            return Err(change.failure(ErrorCode::COLUMN_NOT_FOUND, message));
        }
        if !seen.insert(&name.text) {
            let message = format!("Insert column name is specified more than once: {}", name.text);
            return Err(change.failure(ErrorCode::DUPLICATE_COLUMN_NAME, message));
        }
    }
    let source = |column: &&Column| names.iter().position(|name| name.text == column.name);
    Ok(visible.iter().map(source).collect())
}

/// Makes sure that the query gives what the columns take, in their time zones.
fn check_types(
    change: &Change<'_>,
    columns: &[Column],
    sources: &[Option<usize>],
    planned: &PlannedQuery,
) -> Result<(), Failure> {
    let fields = planned.plan.schema().fields();
    let query: Vec<TrinoType> = fields
        .iter()
        .enumerate()
        .map(|(position, field)| planned.column_type(position, field))
        .collect::<Result<_, _>>()?;
    let mut targets: Vec<(usize, &Column)> = columns
        .iter()
        .zip(sources)
        .filter_map(|(column, source)| source.map(|source| (source, column)))
        .collect();
    // In the order in which the statement names them.
    targets.sort_by_key(|(source, _)| *source);
    let table = targets.iter().map(|(_, column)| TrinoType::of_field(&column.field()));
    let table = table.collect::<Result<Vec<_>, Failure>>()?;
    let fits = table.len() == query.len()
        && table.iter().zip(&query).all(|(to, from)| is_compatible(from, to));
    if fits {
        let session = session_zone_name(change.context)?;
        let mixed = targets.iter().zip(fields).find_map(|((_, column), field)| {
            Some((column, mixed_zones(field.data_type(), &column.data_type, &session)?))
        });
        let Some((column, (from, to))) = mixed else { return Ok(()) };
        let message = format!(
            "Values of the time zones {to} and {from} in one column ({}) are not supported: \
             insert them AT TIME ZONE '{to}'",
            column.name
        );
        return Err(change.failure(ErrorCode::NOT_SUPPORTED, message));
    }
    let list = |types: Vec<String>| types.join(", ");
    let message = format!(
        "Insert query has mismatched column types: Table: [{}], Query: [{}]",
        list(table.iter().map(TrinoType::listing).collect()),
        list(query.iter().map(TrinoType::listing).collect()),
    );
    Err(change.failure(ErrorCode::TYPE_MISMATCH, message))
}

/// Writes all rows in one attempt and commits it.
async fn write_all(
    write: Arc<dyn TableWrite>,
    mut batches: Batches,
    coercion: Coercion,
) -> Result<u64, Failure> {
    let mut attempt = write.attempt(0).await.map_err(connector_failure)?;
    while let Some(batch) = batches.next().await {
        let batch = coercion.apply(&batch?)?;
        attempt.append(batch).await.map_err(connector_failure)?;
    }
    let written = attempt.finish().await.map_err(connector_failure)?;
    write.commit(&[written]).await.map_err(connector_failure)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use waterbear_connector::{Connector, create};

    use super::*;

    /// Writes like the connector `memory`, but cannot promise what retries ask for.
    #[derive(Debug)]
    struct Once(Arc<dyn Connector>);

    #[async_trait]
    impl ConnectorWrites for Once {
        async fn begin(
            &self,
            name: &TableName,
            target: WriteTarget,
        ) -> Result<Arc<dyn TableWrite>, ConnectorError> {
            self.0.writes().begin(name, target).await
        }
    }

    #[tokio::test]
    async fn under_retries_only_connectors_that_allow_it_are_written_to() {
        let memory = create("m", "memory", &BTreeMap::new()).unwrap();
        let once = Once(Arc::clone(&memory));
        let name = TableName { schema: "default".into(), table: "t".into() };
        let target = || WriteTarget::Create(TableDefinition { columns: vec![], comment: None });
        for policy in [RetryPolicy::None, RetryPolicy::Query, RetryPolicy::Task] {
            assert!(begin(memory.writes(), &name, target(), policy).await.is_ok());
            let begun = begin(&once, &name, target(), policy).await;
            if policy == RetryPolicy::None {
                assert!(begun.is_ok());
                continue;
            }
            let failure = connector_failure(begun.unwrap_err());
            assert_eq!(failure.code, ErrorCode::NOT_SUPPORTED);
            assert_eq!(failure.message, "This connector does not support query retries");
        }
        assert_eq!(memory.tables("default").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_cannot_be_written_at_all_is_refused_for_that() {
        let tpch = create("t", "tpch", &BTreeMap::new()).unwrap();
        let name = TableName { schema: "tiny".into(), table: "nation".into() };
        let begun = begin(tpch.writes(), &name, WriteTarget::Insert, RetryPolicy::Task).await;
        let refused = begun.unwrap_err().to_string();
        assert_eq!(refused, "This connector does not support inserts");
    }
}
