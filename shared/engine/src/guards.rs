//! What some of DataFusion's operators must be kept from, put below them when a task is prepared.
//!
//! - A nested loop join that does not fit into memory runs its left side once more and writes it to
//!   disk. Exchanges can be read only once; and over several partitions that way of joining gives
//!   rows twice. So its left side runs once: what does not fit fails with the limit.
//! - The arrays of UNNEST are made for a whole batch at a time: 8,192 rows of 10,000 items each are
//!   gigabytes that no pool knows of, and seconds in which nothing can be cancelled. So they are
//!   made for few rows at a time, and other tasks of the thread have their turn in between: a plan
//!   that makes many rows of one has no scan that would see to that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryLimit, human_readable_size};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};

/// Rows whose arrays are made at once. Trino's `sequence` gives 10,000 items at most.
const ROWS: usize = 128;

/// The plan with its guards.
pub(crate) fn guarded(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let guarded = plan.transform_up(|node| {
        if node.is::<NestedLoopJoinExec>() {
            return around_child(node, 0, Guard::Once(AtomicBool::new(false)))
                .map(Transformed::yes);
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
    let input = Arc::clone(&children[child]);
    children[child] = Arc::new(GuardExec { input, guard });
    over(node, children)
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
        let guard = match self.guard {
            Guard::Once(_) => Guard::Once(AtomicBool::new(false)),
            Guard::FewRows => Guard::FewRows,
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
        }
    }
}

fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let from = (0..rows).step_by(ROWS);
    from.map(move |from| batch.slice(from, ROWS.min(rows - from)))
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
        let plan = guarded(plan).unwrap();
        let error = collect(plan, context.task_ctx()).await.unwrap_err().to_string();
        assert!(error.contains("memory limit of 1024.0 KB"), "{error}");
    }

    #[tokio::test]
    async fn arrays_are_made_for_few_rows_at_a_time() {
        let context = SessionContext::new();
        let sql = "SELECT count(*), sum(y) FROM \
                   (SELECT unnest(make_array(x, x + 1)) AS y FROM generate_series(1, 1000) t(x))";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = guarded(plan).unwrap();
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
