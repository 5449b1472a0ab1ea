//! Our own scan nodes on the wire, and their division among tasks.
//!
//! Scans of files and of rows in memory are DataFusion's own nodes, which its codec knows; what is
//! ours is the division of files that can only be read from their start.

use std::sync::Arc;

use datafusion::{
    datasource::{
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    error::DataFusionError,
    physical_plan::{ExecutionPlan, statistics::StatisticsArgs, statistics::StatisticsContext},
};
use serde::{Deserialize, Serialize};

use crate::tpch::{Scan, TpchScanExec};

/// The least that a row counts in an estimate of a scan's size, in bytes.
const ROW_BYTES: u64 = 64;

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
    if let Some(config) = whole_files(plan) {
        return Some(split_files(config, tasks));
    }
    let node = |scan| Some(Arc::new(TpchScanExec::try_new(scan).ok()?) as Arc<dyn ExecutionPlan>);
    tpch(plan)?.scan().split(tasks).into_iter().map(node).collect()
}

/// Returns about how many bytes a scan yields; `None` if the node is not ours.
pub fn estimated_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    tpch(plan)?;
    let statistics =
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    let bytes = statistics.total_byte_size.get_value().map(|bytes| *bytes as u64)?;
    // Rows without columns have no bytes, but are work all the same.
    let rows = statistics.num_rows.get_value().map_or(0, |rows| *rows as u64);
    Some(bytes.max(rows.saturating_mul(ROW_BYTES)))
}

/// The scan of files that cannot be divided inside, if this is one.
fn whole_files(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let config =
        plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    let divides = config.file_source.supports_repartitioning()
        && !config.file_compression_type.is_compressed();
    (!divides).then_some(config)
}

/// Deals whole files out to `tasks` scans with as many partitions each.
fn split_files(config: &FileScanConfig, tasks: usize) -> Vec<Arc<dyn ExecutionPlan>> {
    let partitions = config.file_groups.len().max(1);
    let mut groups = vec![vec![FileGroup::default(); partitions]; tasks];
    let files = config.file_groups.iter().flat_map(|group| group.iter());
    for (index, file) in files.enumerate() {
        groups[index % tasks][index / tasks % partitions].push(file.clone());
    }
    let scan = |groups| {
        let config = FileScanConfigBuilder::from(config.clone()).with_file_groups(groups);
        DataSourceExec::from_data_source(config.build()) as Arc<dyn ExecutionPlan>
    };
    groups.into_iter().map(scan).collect()
}

fn tpch(plan: &Arc<dyn ExecutionPlan>) -> Option<&TpchScanExec> {
    plan.downcast_ref::<TpchScanExec>()
}
