//! Statements that change catalogs: what each needs to be there, what it does to its connector,
//! and what the client is told.
//!
//! Layout: `names` finds connectors and tables, `define` is CREATE, DROP, ALTER and COMMENT,
//! `rows` writes the rows of queries through the connector's write contract, `coerce` makes them
//! fit their table.

mod coerce;
mod define;
mod names;
mod rows;

use std::sync::Arc;

use waterbear_connector::ConnectorError;
use waterbear_dialect::{PlannedQuery, WriteAction, WriteStatement, failure_at};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use crate::catalogs::{Catalogs, connector_failure};
use crate::query::runner::Runner;
use crate::query::{ClientContext, Output, QueryHandle};
use crate::transactions::Transactions;

/// One statement that changes a catalog.
struct Change<'a> {
    catalogs: &'a Catalogs,
    context: &'a ClientContext,
    transactions: &'a Transactions,
    /// Where the statement begins: Trino blames the whole of it.
    at: Option<ErrorLocation>,
}

/// Runs a statement that changes a catalog. Rows of INSERT and CREATE TABLE AS are written while
/// the output is read.
///
/// # Errors
/// Trino's codes for what does not exist, exists already, or cannot be done.
pub async fn run(
    runner: &Runner,
    query: &Arc<QueryHandle>,
    statement: &WriteStatement,
) -> Result<Output, Failure> {
    let change = Change::of(runner, query, statement);
    match &statement.action {
        WriteAction::CreateSchema { schema, if_not_exists } => {
            change.create_schema(schema, *if_not_exists).await
        }
        WriteAction::DropSchema { schema, if_exists, cascade } => {
            change.drop_schema(schema, *if_exists, *cascade).await
        }
        WriteAction::RenameSchema { schema, to } => change.rename_schema(schema, &to.text).await,
        WriteAction::CreateTable { table, columns, comment, if_not_exists } => {
            change.create_table(table, columns, comment.clone(), *if_not_exists).await
        }
        WriteAction::Drop { kind, name, if_exists } => change.drop(*kind, name, *if_exists).await,
        WriteAction::Rename { kind, name, to, if_exists } => {
            change.rename(*kind, name, to, *if_exists).await
        }
        WriteAction::AlterColumn { table, if_exists, change: column } => {
            change.alter_column(table, *if_exists, column).await
        }
        WriteAction::Comment { kind, name, comment } => {
            change.comment(*kind, name, comment.clone()).await
        }
        WriteAction::CommentColumn { table, column, comment } => {
            change.comment_column(table, &column.text, comment.clone()).await
        }
        WriteAction::Truncate { table } => change.truncate(table).await,
        WriteAction::Delete { table } => change.delete(table).await,
        WriteAction::CreateView { .. } => {
            change.create_view(runner, query, &statement.action).await
        }
        WriteAction::CreateTableAs { .. } => {
            rows::create_table_as(&change, runner, query, &statement.action).await
        }
        WriteAction::Insert { table, columns, query: source } => {
            rows::insert(&change, runner, query, (table, columns.as_deref()), source).await
        }
    }
}

/// Plans the query of a statement that writes its rows, or of a view; nothing for others. For what
/// EXPLAIN shows: nothing is changed.
///
/// # Errors
/// As [`run`], before anything is written.
pub async fn plan(
    runner: &Runner,
    query: &Arc<QueryHandle>,
    statement: &WriteStatement,
) -> Result<Option<PlannedQuery>, Failure> {
    let change = Change::of(runner, query, statement);
    Ok(Some(match &statement.action {
        WriteAction::Insert { table, columns, query: source } => {
            let target = (table, columns.as_deref());
            rows::plan_insert(&change, runner, query, target, source).await?.planned
        }
        WriteAction::CreateTableAs { query: source, aliases, .. } => {
            let planned = runner.plan(query, source).await?;
            define::columns_of(&planned, aliases.as_deref(), &change)?;
            planned
        }
        WriteAction::CreateView { query: source, .. } => runner.plan(query, source).await?,
        _ => return Ok(None),
    }))
}

impl<'a> Change<'a> {
    fn of(runner: &'a Runner, query: &'a QueryHandle, statement: &WriteStatement) -> Self {
        Self {
            catalogs: runner.catalogs(),
            context: query.context(),
            transactions: runner.transactions(),
            at: statement.location,
        }
    }
}

impl Change<'_> {
    fn failure(&self, code: ErrorCode, message: impl std::fmt::Display) -> Failure {
        failure_at(self.at, code, message)
    }

    /// A connector's failure, at the statement.
    fn located(&self, error: ConnectorError) -> Failure {
        let failure = connector_failure(error);
        self.failure(failure.code, failure.message)
    }

    /// A change that is no failure when it was made already (IF EXISTS, IF NOT EXISTS).
    fn done(
        &self,
        update_type: &str,
        result: Result<(), ConnectorError>,
        tolerated: Option<ErrorCode>,
    ) -> Result<Output, Failure> {
        match result {
            Ok(()) => Ok(Output::done(update_type)),
            Err(error) => {
                let failure = self.located(error);
                match tolerated == Some(failure.code) {
                    true => Ok(Output::done(update_type)),
                    false => Err(failure),
                }
            }
        }
    }
}
