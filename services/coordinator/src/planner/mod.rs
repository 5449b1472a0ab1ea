//! From a logical plan to fragments that run as tasks on workers.
//!
//! The stage planner is datafusion-distributed, used through its public API alone; what it gives
//! is lowered to plain fragments ([`lower`]), after which nothing of it is left in a plan. A plan
//! that cannot be cut runs whole, in one task: slower is allowed, wrong is not.

pub mod determinacy;
pub mod fragment;
mod leaves;
pub mod lower;

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{DistributedExt, SessionStateBuilderExt, WorkerResolver};
use waterbear_engine::failure_of;
use waterbear_protocol::{ErrorCode, Failure};

pub use determinacy::Determinacy;
pub use fragment::{Fragment, FragmentInput, StagePlan, Wiring};

/// What decides how a query is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOptions {
    /// Workers that may take tasks now; caps the tasks of a stage.
    pub workers: usize,
    /// Partitions inside a task (`task.concurrency`); at least 2, since a plan of one partition
    /// has no exchange to cut at.
    pub partitions: usize,
    /// Bytes of a table that one partition of one task should read.
    pub bytes_per_partition: usize,
}

/// Optimises a logical plan, cuts it into stages, and lowers them to fragments.
///
/// `base` resolves names and holds functions; its settings for planning are replaced.
///
/// # Errors
/// What DataFusion's planner refuses, as the client shall see it.
pub async fn plan(
    logical: &LogicalPlan,
    base: &SessionState,
    options: CutOptions,
) -> Result<StagePlan, Failure> {
    if !is_recursive(logical) {
        let distributed = distributed_state(base, options).map_err(|error| failure_of(&error))?;
        // The stage planner fails on plans that it was never tried with; whether the plan itself
        // is at fault shows when it is planned whole.
        if let Ok(physical) = distributed.create_physical_plan(logical).await {
            match lower::lower(&physical) {
                Ok(stages) => return Ok(stages),
                Err(reason) => tracing::info!(%reason, "the plan is not cut; it runs in one task"),
            }
        }
    }
    let whole = whole_state(base, options);
    let physical = whole.create_physical_plan(logical).await.map_err(|error| failure_of(&error))?;
    lower::lower(&physical)
        .map_err(|reason| Failure::new(ErrorCode::NOT_SUPPORTED, reason.to_string()))
}

/// Whether a part of the plan runs again and again: then its inputs must be read again and again,
/// which no exchange can give.
fn is_recursive(plan: &LogicalPlan) -> bool {
    let mut recursive = false;
    let visited = plan.apply_with_subqueries(|node| {
        recursive |= matches!(node, LogicalPlan::RecursiveQuery(_));
        Ok(if recursive { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    recursive || visited.is_err()
}

/// Settings of planning that hold whether or not the plan is cut.
fn planning_config(base: &SessionState, options: CutOptions) -> SessionConfig {
    base.config()
        .clone()
        .with_target_partitions(options.partitions.max(2))
        // Or else building the state puts an empty default catalog into the shared list.
        .with_create_default_catalog_and_schema(false)
}

fn whole_state(base: &SessionState, options: CutOptions) -> SessionState {
    SessionStateBuilder::new_from_existing(base.clone())
        .with_config(planning_config(base, options))
        .build()
}

fn distributed_state(
    base: &SessionState,
    options: CutOptions,
) -> datafusion::error::Result<SessionState> {
    let config = planning_config(base, options)
        .with_distributed_worker_resolver(WorkerCount(options.workers.max(1)))
        .with_distributed_file_scan_config_bytes_per_partition(options.bytes_per_partition)?
        // Its isolating union cannot be taken apart from outside; a plain union is as right.
        .with_distributed_children_isolator_unions(false)?
        // Expands grouping sets twice: wrong rows under ROLLUP.
        .with_distributed_partial_reduce(false)?
        .with_distributed_desired_task_count_handler(leaves::desired_task_count)
        .with_distributed_scale_up_leaf_node_handler(leaves::scale_up);
    Ok(SessionStateBuilder::new_from_existing(base.clone())
        .with_config(config)
        .with_distributed_planner()
        .build())
}

/// The stage planner asks for worker URLs, but only their number matters to a plan.
struct WorkerCount(usize);

impl WorkerResolver for WorkerCount {
    fn get_urls(&self) -> datafusion::error::Result<Vec<url::Url>> {
        (0..self.0)
            .map(|number| {
                url::Url::parse(&format!("https://worker-{number}.invalid"))
                    .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))
            })
            .collect()
    }
}

/// The text of a plan, indented, for EXPLAIN and logs.
pub fn display(plan: &Arc<dyn ExecutionPlan>) -> String {
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}
