//! How many tasks a scan should have, and how it is divided over them.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedConfig, DistributedLeafExec,
    ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
};
use waterbear_connector::scan;

/// Answers for leaves only; `None` leaves a file scan to the stage planner's own handler.
pub(super) fn desired_task_count(
    event: DesiredTaskCountEvent<'_>,
) -> Option<Result<DesiredTaskCountEventResponse>> {
    if !event.plan.children().is_empty() {
        return None;
    }
    // Above a leaf of one partition DataFusion plans no exchange (a single aggregate, a plain
    // limit): run as several tasks, each would answer for its part as if it were the whole.
    if event.plan.output_partitioning().partition_count() == 1 {
        return Some(Ok(DesiredTaskCountEventResponse::maximum(1)));
    }
    let bytes = scan::estimated_bytes(event.plan)?;
    let config = match DistributedConfig::from_session_config(event.session_config) {
        Ok(config) => config,
        Err(error) => return Some(Err(error)),
    };
    let partitions = bytes.div_ceil(config.file_scan_config_bytes_per_partition.max(1) as u64);
    let tasks = partitions.div_ceil(event.session_config.target_partitions() as u64);
    Some(Ok(DesiredTaskCountEventResponse::desired(tasks.max(1) as usize)))
}

/// Divides a connector's scan over the tasks of its stage.
pub(super) fn scale_up(
    event: ScaleUpLeafNodeEvent<'_>,
) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
    let variants = scan::split(event.plan, event.task_count)?;
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), variants);
    Some(
        leaf.map(
            |leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf) as Arc<dyn ExecutionPlan>),
        ),
    )
}
