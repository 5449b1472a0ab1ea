//! Runs one statement and cuts its rows into pages, one page ahead of the client and no more: a
//! client that stops reading stops the engine.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tracing::{debug, info};
use waterbear_protocol::client::Column;
use waterbear_protocol::{ErrorCode, Failure};

use super::encode::{Rows, append_rows};
use super::statement::{Header, Statement};

use crate::query::handle::{QueryState, Waste};
use crate::query::limits::{Admission, QueryLimits};
use crate::query::{OutputColumn, QueryHandle, StatementRunner};

/// JSON text of a page, but for its last row.
const PAGE_BYTES: usize = 1 << 20;
/// How long a page that has rows waits for more.
const LINGER: Duration = Duration::from_millis(20);

/// Rows for one answer.
pub(super) struct Page {
    /// Rows with commas between them, without brackets around them.
    pub rows: String,
}

/// Ends a query that nobody else ended: its producer panicked.
struct EndGuard<'a>(&'a QueryHandle);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let message = "the query ended unexpectedly";
        self.0.fail(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, message));
    }
}

/// Runs the statement to its end, or until the query ends otherwise; then the pages end.
pub(super) async fn produce(
    statement: Arc<Statement>,
    runner: Arc<dyn StatementRunner>,
    pages: mpsc::Sender<Page>,
    admission: Arc<Admission>,
    limits: QueryLimits,
) {
    let query = Arc::clone(statement.query());
    let guard = EndGuard(&query);
    let result = tokio::select! {
        biased;
        () = query.cancellation().cancelled() => Ok(()),
        failure = limits.exceeded(&query) => Err(failure),
        result = admitted(&statement, runner.as_ref(), &pages, &admission) => result,
    };
    match result {
        Err(failure) => _ = query.fail(failure),
        Ok(()) => query.set_state(QueryState::Finished),
    }
    drop(guard);
    metrics::counter!("waterbear_queries_total", "state" => query.state().name()).increment(1);
    let waste = Waste::of_query(&query.tasks());
    metrics::counter!("waterbear_task_retries_total").increment(waste.retries);
    metrics::counter!("waterbear_wasted_cpu_milliseconds_total")
        .increment(waste.cpu_nanos / 1_000_000);
    match query.failure() {
        Some(failure) => info!(query = %query.id(), code = failure.code.name(),
            message = %failure.message, "query failed"),
        None => debug!(query = %query.id(), "query finished"),
    }
}

/// Waits for its turn: until then the query is queued.
async fn admitted(
    statement: &Statement,
    runner: &dyn StatementRunner,
    pages: &mpsc::Sender<Page>,
    admission: &Admission,
) -> Result<(), Failure> {
    let _place = admission.enter().await?;
    run(statement, runner, pages).await
}

async fn run(
    statement: &Statement,
    runner: &dyn StatementRunner,
    pages: &mpsc::Sender<Page>,
) -> Result<(), Failure> {
    let query = statement.query();
    query.set_state(QueryState::Planning);
    let output = runner.run(Arc::clone(query)).await?;
    let parametric = statement.parametric_datetime();
    let column = |column: &OutputColumn| {
        waterbear_types::column(&column.name, &column.trino_type, parametric)
    };
    let columns: Vec<Column> = output.columns.iter().map(column).collect();
    query.set_update_type(output.update_type.clone());
    statement.set_header(Header {
        columns,
        update_type: output.update_type,
        changes: output.changes,
        warnings: output.warnings,
    });
    query.set_state(QueryState::Running);
    let counted = Arc::clone(query);
    let batches = match output.counts {
        true => {
            output.batches.inspect_ok(move |batch| counted.set_update_count(count(batch))).boxed()
        }
        false => output.batches,
    };
    send_pages(query, batches, parametric, pages).await
}

/// The number in the only row of a statement that writes.
fn count(batch: &RecordBatch) -> Option<u64> {
    let counts = batch.columns().first()?.as_primitive_opt::<Int64Type>()?;
    u64::try_from(counts.iter().next()??).ok()
}

async fn send_pages(
    query: &QueryHandle,
    mut batches: BoxStream<'static, Result<RecordBatch, Failure>>,
    parametric: bool,
    pages: &mpsc::Sender<Page>,
) -> Result<(), Failure> {
    let mut current: Option<(RecordBatch, usize)> = None;
    let mut ended = false;
    while !ended {
        // The page before this one has been taken: only now may the next one be made.
        let Ok(permit) = pages.reserve().await else { return Ok(()) };
        let mut rows = Rows::default();
        loop {
            if let Some((batch, from)) = current.take() {
                let next = append_rows(&batch, from, PAGE_BYTES, parametric, &mut rows)?;
                if next < batch.num_rows() {
                    current = Some((batch, next));
                }
                if rows.text.len() >= PAGE_BYTES {
                    break;
                }
            }
            let next = match rows.count {
                0 => batches.next().await,
                _ => match tokio::time::timeout(LINGER, batches.next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            match next {
                Some(batch) => current = Some((batch?, 0)),
                None => {
                    ended = true;
                    break;
                }
            }
        }
        if ended {
            query.set_state(QueryState::Finishing);
        }
        if rows.count > 0 {
            permit.send(Page { rows: rows.text });
        }
    }
    // What runs for the query ends here, not when the client has read its last page.
    drop(batches);
    let _ = pages.reserve().await;
    Ok(())
}
