//! The dialect from a statement's text to rows.
#![allow(clippy::unwrap_used)]

mod functions;
mod names;
mod operators;
mod subqueries;
mod values;

use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::collect;
use waterbear_dialect::{ClientContext, configure, parse, plan_query};
use waterbear_functions::failure_of;
use waterbear_protocol::Failure;

/// The rows of a query: columns with blanks, rows with semicolons between; and its columns' types.
async fn run(sql: &str) -> Result<(String, String), Failure> {
    let state = configure(SessionStateBuilder::new_with_default_features()).build();
    let planned = plan_query(&parse(sql)?, &state, &ClientContext::default()).await?;
    let fields = planned.plan.schema().fields().clone();
    let listing =
        |(at, field): (usize, &Arc<Field>)| planned.column_type(at, field).unwrap().listing();
    let types: Vec<String> = fields.iter().enumerate().map(listing).collect();
    let failure = |error| failure_of(&error);
    let plan = state.create_physical_plan(&planned.plan).await.map_err(failure)?;
    let batches = collect(plan, state.task_ctx()).await.map_err(failure)?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> =
                columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(values.join(" "));
        }
    }
    Ok((types.join(" "), rows.join("; ")))
}

/// What the client calls the columns of a query, with blanks between.
async fn columns(sql: &str) -> Result<String, Failure> {
    let state = configure(SessionStateBuilder::new_with_default_features()).build();
    let planned = plan_query(&parse(sql)?, &state, &ClientContext::default()).await?;
    Ok(planned.columns.join(" "))
}

/// Checks all cases: `SELECT` with its types and rows.
async fn check_rows(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, types, rows) in cases {
        let expected = Ok(((*types).to_owned(), (*rows).to_owned()));
        let found = run(sql).await.map_err(|failure| failure.message);
        if found != expected {
            wrong.push(format!("{sql}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Checks all cases: statements with the name of their error's code, and their message.
async fn check_failures(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, code, message) in cases {
        let found = match run(sql).await {
            Ok(found) => format!("{found:?}"),
            Err(failure) => format!("{} {}", failure.code.name(), failure.message),
        };
        let expected = format!("{code} {message}");
        if found != expected {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
