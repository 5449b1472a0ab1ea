//! One task's plan, ready to run.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use waterbear_protocol::Failure;
use waterbear_protocol::task::{OperatorMetrics, TaskStats};

use crate::exchange_source::ExchangeSourceExec;
use crate::guards::{GuardExec, guarded};
use crate::memory::{ByteCounter, TaskMemoryPool, byte_counter};
use waterbear_functions::failure_of;

/// A task's plan with all that it needs to run. All its partitions must run, together and in this
/// process: operators share state between partitions (file queues, join filters).
#[derive(Debug)]
pub struct PreparedTask {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    memory: Arc<TaskMemoryPool>,
}

impl PreparedTask {
    pub(crate) fn new(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        memory: Arc<TaskMemoryPool>,
        max_recursion_depth: u32,
    ) -> Result<Self, Failure> {
        let plan = guarded(plan, max_recursion_depth).map_err(|error| failure_of(&error))?;
        Ok(Self { plan, context, memory })
    }

    /// How many partitions the output has.
    pub fn partitions(&self) -> usize {
        self.plan.output_partitioning().partition_count()
    }

    /// The schema of the output.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Starts one partition. Call it, and poll the stream, on the engine's runtime.
    ///
    /// # Errors
    /// When an operator cannot start.
    pub fn execute(&self, partition: usize) -> Result<SendableRecordBatchStream, Failure> {
        self.plan.execute(partition, Arc::clone(&self.context)).map_err(|error| failure_of(&error))
    }

    /// Counts what is buffered of the task's output against its memory.
    pub fn output_memory(&self) -> ByteCounter {
        byte_counter("ExchangeOutput", self.context.memory_pool())
    }

    /// What each operator has cost so far.
    pub fn operators(&self) -> Vec<OperatorMetrics> {
        operator_metrics(&self.plan)
    }

    /// Fills in what the plan's operators and the memory pool have counted so far.
    pub fn add_stats(&self, stats: &mut TaskStats) {
        add_operator_stats(self.plan.as_ref(), stats);
        stats.memory_bytes = self.memory.held() as u64;
        stats.peak_memory_bytes = self.memory.peak() as u64;
    }
}

/// What each operator of a plan has cost so far, parents before their children, depth first.
pub fn operator_metrics(plan: &Arc<dyn ExecutionPlan>) -> Vec<OperatorMetrics> {
    let mut operators = Vec::new();
    add_operator_metrics(plan.as_ref(), &mut operators);
    operators
}

fn add_operator_metrics(plan: &dyn ExecutionPlan, operators: &mut Vec<OperatorMetrics>) {
    // The coordinator's plan, beside which these are shown, has no guards.
    if !plan.is::<GuardExec>() {
        let metrics =
            plan.metrics().map(|metrics| metrics.aggregate_by_name().sorted_for_display());
        operators.push(OperatorMetrics {
            name: plan.name().to_owned(),
            output_rows: metrics.as_ref().and_then(|m| m.output_rows()).unwrap_or(0) as u64,
            cpu_nanos: metrics.as_ref().and_then(|m| m.elapsed_compute()).unwrap_or(0) as u64,
            text: metrics.map_or(String::new(), |metrics| metrics.to_string()),
        });
    }
    for child in plan.children() {
        add_operator_metrics(child.as_ref(), operators);
    }
}

fn add_operator_stats(plan: &dyn ExecutionPlan, stats: &mut TaskStats) {
    if let Some(metrics) = plan.metrics() {
        stats.cpu_nanos += metrics.elapsed_compute().unwrap_or(0) as u64;
        stats.spilled_bytes += metrics.spilled_bytes().unwrap_or(0) as u64;
        let is_scan = plan.children().is_empty() && !plan.is::<ExchangeSourceExec>();
        if is_scan {
            stats.scanned_rows += metrics.output_rows().unwrap_or(0) as u64;
            let bytes = ["bytes_scanned", "output_bytes"]
                .iter()
                .find_map(|name| metrics.sum_by_name(name))
                .map_or(0, |value| value.as_usize());
            stats.scanned_bytes += bytes as u64;
        }
    }
    for child in plan.children() {
        add_operator_stats(child.as_ref(), stats);
    }
}
