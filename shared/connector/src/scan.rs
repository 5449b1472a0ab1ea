//! Our own scan nodes on the wire, and their division among tasks.
//!
//! Parquet files need none of this: DataFusion's own node is known to its codec.

use std::sync::Arc;

use datafusion::{
    error::DataFusionError,
    physical_plan::{ExecutionPlan, statistics::StatisticsArgs, statistics::StatisticsContext},
};
use serde::{Deserialize, Serialize};

use crate::tpch::{Scan, TpchScanExec};

/// The longest message that [`decode`] looks at, in bytes: 4096 partitions take less.
const MAX_ENCODED: usize = 256 << 10;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    Tpch(Scan),
}

/// Returns a scan node as bytes; `None` if the node is not ours.
pub fn encode(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<u8>> {
    let message = Message::Tpch(tpch(plan)?.scan().clone());
    serde_json::to_vec(&message).ok()
}

/// Returns the scan node that [`encode`] wrote.
///
/// # Errors
/// If the bytes are no message of this build, or name what does not exist.
pub fn decode(bytes: &[u8]) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    if bytes.len() > MAX_ENCODED {
        return Err(DataFusionError::Plan(format!("scan of {} bytes", bytes.len())));
    }
    match serde_json::from_slice(bytes) {
        Ok(Message::Tpch(scan)) => Ok(Arc::new(TpchScanExec::try_new(scan)?)),
        Err(error) => Err(DataFusionError::Plan(format!("not a scan: {error}"))),
    }
}

/// Divides a scan into `tasks` scans, each with as many partitions as `plan`, which together yield
/// exactly its rows (but each obeys its limit by itself); `None` if the node is not ours.
///
/// The division depends on the arguments alone.
pub fn split(plan: &Arc<dyn ExecutionPlan>, tasks: usize) -> Option<Vec<Arc<dyn ExecutionPlan>>> {
    let node = |scan| Some(Arc::new(TpchScanExec::try_new(scan).ok()?) as Arc<dyn ExecutionPlan>);
    tpch(plan)?.scan().split(tasks).into_iter().map(node).collect()
}

/// Returns about how many bytes a scan yields; `None` if the node is not ours.
pub fn estimated_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    tpch(plan)?;
    let statistics =
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    statistics.total_byte_size.get_value().map(|bytes| *bytes as u64)
}

fn tpch(plan: &Arc<dyn ExecutionPlan>) -> Option<&TpchScanExec> {
    plan.downcast_ref::<TpchScanExec>()
}
