//! What some of DataFusion's operators must be kept from, put below them when a task is prepared.
//!
//! - A nested loop join that does not fit into memory runs its left side once more and writes it to
//!   disk. Exchanges can be read only once; and over several partitions that way of joining gives
//!   rows twice. So its left side runs once: what does not fit fails with the limit.
//! - The arrays of UNNEST are made for a whole batch at a time: 8,192 rows of 10,000 items each are
//!   gigabytes that no pool knows of, and seconds in which nothing can be cancelled. So they are
//!   made for few rows at a time, and other tasks of the thread have their turn in between: a plan
//!   that makes many rows of one has no scan that would see to that.
//! - A recursive query goes on as long as it finds rows, which may be for ever. So its steps are
//!   counted, as in Trino.
//! - A window over whole partitions holds all its rows, twice once the last one is there, and asks no
//!   pool for them. So they are counted on their way in, until the window's own rows are read.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryReservation, human_readable_size,
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use waterbear_protocol::{ErrorCode, Failure};

/// Rows whose arrays are made at once. Trino's `sequence` gives 10,000 items at most.
const ROWS: usize = 128;

/// The plan with its guards; a recursive query has `max_recursion_depth` steps at most.
pub(crate) fn guarded(
    plan: Arc<dyn ExecutionPlan>,
    max_recursion_depth: u32,
) -> Result<Arc<dyn ExecutionPlan>> {
    let guarded = plan.transform_up(|node| {
        if node.is::<NestedLoopJoinExec>() {
            return around_child(node, 0, Guard::Once(AtomicBool::new(false)))
                .map(Transformed::yes);
        }
        if node.is::<RecursiveQueryExec>() {
            let guard = Guard::Steps { taken: Arc::default(), most: max_recursion_depth };
            return around_child(node, 1, guard).map(Transformed::yes);
        }
        if node.is::<WindowAggExec>() {
            let held = Arc::new(Held::default());
            let input = Arc::clone(node.children()[0]);
            let window = over(node, vec![around(input, Guard::Counts(Arc::clone(&held)))])?;
            return Ok(Transformed::yes(around(window, Guard::Frees(held))));
        }
        // What computes the arrays is directly below.
        let arrays = node.is::<UnnestExec>() && node.children()[0].is::<ProjectionExec>();
        if !arrays {
            return Ok(Transformed::no(node));
        }
        let arrays = around_child(Arc::clone(node.children()[0]), 0, Guard::FewRows)?;
        over(node, vec![arrays]).map(Transformed::yes)
    })?;
    Ok(guarded.data)
}

fn around_child(
    node: Arc<dyn ExecutionPlan>,
    child: usize,
    guard: Guard,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut children: Vec<_> = node.children().into_iter().cloned().collect();
    children[child] = around(Arc::clone(&children[child]), guard);
    over(node, children)
}

fn around(input: Arc<dyn ExecutionPlan>, guard: Guard) -> Arc<dyn ExecutionPlan> {
    Arc::new(GuardExec { input, guard })
}

fn over(
    node: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    node.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

#[derive(Debug)]
enum Guard {
    /// The only partition runs once; true from then on.
    Once(AtomicBool),
    /// Batches have [`ROWS`] rows at most.
    FewRows,
    /// Runs so many times; what runs once more must not have rows.
    Steps { taken: Arc<AtomicU32>, most: u32 },
    /// Rows are counted for the operator above.
    Counts(Arc<Held>),
    /// What was counted for the operator below is given back when its stream ends or is dropped.
    Frees(Arc<Held>),
}

/// Memory of an operator that does not ask for it, by partition.
#[derive(Debug, Default)]
struct Held(Mutex<HashMap<usize, MemoryReservation>>);

impl Held {
    /// Asks for the memory of a batch that is kept, and later put together with the others.
    fn add(&self, partition: usize, batch: &RecordBatch, context: &TaskContext) -> Result<()> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reservation = held.entry(partition).or_insert_with(|| {
            let name = format!("WindowAggExec[{partition}]");
            MemoryConsumer::new(name).register(context.memory_pool())
        });
        reservation.try_grow(2 * get_record_batch_memory_size(batch))
    }
}

/// Gives back what a partition held.
struct Release(Arc<Held>, usize);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// An operator that is not in the plan as it is shown: it changes nothing of the rows.
#[derive(Debug)]
pub(crate) struct GuardExec {
    input: Arc<dyn ExecutionPlan>,
    guard: Guard,
}

impl DisplayAs for GuardExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GuardExec: {:?}", self.guard)
    }
}

impl ExecutionPlan for GuardExec {
    fn name(&self) -> &str {
        "GuardExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return internal_err!("a guard has one child");
        };
        let guard = match &self.guard {
            Guard::Once(_) => Guard::Once(AtomicBool::new(false)),
            Guard::FewRows => Guard::FewRows,
            Guard::Steps { taken, most } => Guard::Steps { taken: Arc::clone(taken), most: *most },
            Guard::Counts(held) => Guard::Counts(Arc::clone(held)),
            Guard::Frees(held) => Guard::Frees(Arc::clone(held)),
        };
        Ok(Arc::new(Self { input, guard }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        over(self, children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        match &self.guard {
            Guard::Once(ran) => {
                if ran.swap(true, Ordering::Relaxed) {
                    return Err(does_not_fit(&context));
                }
                self.input.execute(partition, context)
            }
            Guard::FewRows => {
                let batches = self.input.execute(partition, context)?.flat_map(|batch| {
                    stream::iter(match batch {
                        Ok(batch) => pieces(&batch).map(Ok).collect(),
                        Err(error) => vec![Err(error)],
                    })
                });
                let batches = batches.then(|piece| async move {
                    tokio::task::yield_now().await;
                    piece
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
            }
            Guard::Steps { taken, most } => {
                let batches = self.input.execute(partition, context)?;
                if taken.fetch_add(1, Ordering::Relaxed) < *most {
                    return Ok(batches);
                }
                let most = *most;
                let batches = batches.map(move |batch| match batch {
                    Ok(batch) if batch.num_rows() > 0 => Err(too_deep(most)),
                    other => other,
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
            }
            Guard::Counts(held) => {
                let held = Arc::clone(held);
                let batches = self.input.execute(partition, Arc::clone(&context))?;
                let batches = batches.map(move |batch| {
                    let batch = batch?;
                    held.add(partition, &batch, &context)?;
                    Ok(batch)
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
            }
            Guard::Frees(held) => {
                let release = Release(Arc::clone(held), partition);
                let batches = self.input.execute(partition, context)?;
                let batches = batches.inspect(move |_| _ = &release);
                Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
            }
        }
    }
}

fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let from = (0..rows).step_by(ROWS);
    from.map(move |from| batch.slice(from, ROWS.min(rows - from)))
}

fn too_deep(most: u32) -> DataFusionError {
    let message = format!(
        "Recursion depth limit exceeded ({most}). Use 'max_recursion_depth' session property to \
         modify the limit."
    );
    DataFusionError::External(Box::new(Failure::new(ErrorCode::NOT_SUPPORTED, message)))
}

/// The error of a join whose left side was refused memory.
fn does_not_fit(context: &TaskContext) -> DataFusionError {
    let pool = context.memory_pool();
    let limit = match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => human_readable_size(bytes),
        _ => "the node's pool".to_owned(),
    };
    DataFusionError::ResourcesExhausted(format!(
        "Query exceeded per-node memory limit of {limit}: one side of a join without equal keys \
         does not fit [Allocated: {}]",
        human_readable_size(pool.reserved())
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use arrow::util::pretty::pretty_format_batches;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    #[tokio::test]
    async fn a_nested_loop_join_that_does_not_fit_fails_with_the_limit() {
        // A left join over several partitions: on disk it would give unmatched rows twice.
        let sql = "SELECT count(*) FROM generate_series(1, 200000) a(x) \
                   LEFT JOIN generate_series(1, 10) b(y) ON a.x < -b.y";
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(1 << 20, 1.0).build_arc().unwrap();
        let config = SessionConfig::new().with_target_partitions(4);
        let context = SessionContext::new_with_config_rt(config, runtime);
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = guarded(plan, 10).unwrap();
        let error = collect(plan, context.task_ctx()).await.unwrap_err().to_string();
        assert!(error.contains("memory limit of 1024.0 KB"), "{error}");
    }

    #[tokio::test]
    async fn the_rows_of_a_window_are_counted_and_given_back() {
        let sql = "SELECT sum(w) FROM \
                   (SELECT count(*) OVER () + x AS w FROM generate_series(1, 100000) t(x))";
        let plan_in = async |limit: usize| {
            let runtime = RuntimeEnvBuilder::new().with_memory_limit(limit, 1.0);
            let config = SessionConfig::new().with_target_partitions(1);
            let context = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
            let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            (guarded(plan, 10).unwrap(), context.task_ctx())
        };
        let (plan, context) = plan_in(1 << 20).await;
        let error = collect(plan, context).await.unwrap_err().to_string();
        assert!(error.contains("WindowAggExec[0]"), "{error}");

        let (plan, context) = plan_in(1 << 30).await;
        let rows = collect(plan, Arc::clone(&context)).await.unwrap();
        let rows = pretty_format_batches(&rows).unwrap().to_string();
        assert!(rows.contains("15000050000"), "{rows}");
        assert_eq!(context.memory_pool().reserved(), 0);
    }

    #[tokio::test]
    async fn a_recursive_query_has_so_many_steps() {
        let context = SessionContext::new();
        let counted = async |most: u32| {
            let sql = "WITH RECURSIVE t(n) AS \
                       (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT count(n) FROM t";
            let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            collect(guarded(plan, most).unwrap(), context.task_ctx()).await
        };
        let rows = pretty_format_batches(&counted(4).await.unwrap()).unwrap().to_string();
        assert!(rows.contains("| 5 "), "{rows}");
        let error = counted(3).await.unwrap_err().to_string();
        assert!(error.contains("Recursion depth limit exceeded (3)"), "{error}");
    }

    #[tokio::test]
    async fn arrays_are_made_for_few_rows_at_a_time() {
        let context = SessionContext::new();
        let sql = "SELECT count(*), sum(y) FROM \
                   (SELECT unnest(make_array(x, x + 1)) AS y FROM generate_series(1, 1000) t(x))";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = guarded(plan, 10).unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let others = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        let rows = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        others.abort();
        let turns = turns.load(Ordering::Relaxed);
        assert!(turns >= 1000 / ROWS, "others had {turns} turns");
        let rows = pretty_format_batches(&rows).unwrap().to_string();
        assert!(rows.contains("| 2000     | 1002000 |"), "{rows}");
        let mut guards = 0;
        plan.apply(|node| {
            guards += usize::from(node.is::<GuardExec>());
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        assert_eq!(guards, 1);
    }
}
