//! The leaf of a fragment's plan that stands for another stage's output.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use waterbear_protocol::Failure;

use crate::memory::{ByteCounter, byte_counter};

/// Where a task's inputs come from: implemented by whoever runs the task.
pub trait InputStreams: Send + Sync + fmt::Debug {
    /// Opens one partition of one exchange source (both count from zero). Called once for each.
    /// `held` counts what is buffered for it against the task's memory.
    fn open(
        &self,
        input: usize,
        partition: usize,
        schema: SchemaRef,
        held: ByteCounter,
    ) -> BoxStream<'static, Result<RecordBatch, Failure>>;
}

/// The inputs of a task, as its plan finds them in the session's extensions.
#[derive(Debug)]
pub(crate) struct TaskInputs(pub(crate) Arc<dyn InputStreams>);

/// Reads another stage's output: `partitions` partitions of the task's input number `input`.
#[derive(Debug)]
pub struct ExchangeSourceExec {
    input: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ExchangeSourceExec {
    /// A source of `partitions` partitions, each sorted by `ordering` if there is one.
    pub fn new(
        input: usize,
        schema: SchemaRef,
        partitions: usize,
        ordering: Option<LexOrdering>,
    ) -> Self {
        let equivalence = match ordering {
            Some(ordering) => EquivalenceProperties::new_with_orderings(schema, [ordering]),
            None => EquivalenceProperties::new(schema),
        };
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self { input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Which of the task's inputs this reads.
    pub fn input(&self) -> usize {
        self.input
    }
}

impl DisplayAs for ExchangeSourceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let partitions = self.properties.partitioning.partition_count();
        write!(f, "ExchangeSourceExec: input={}, partitions={partitions}", self.input)
    }
}

impl ExecutionPlan for ExchangeSourceExec {
    fn name(&self) -> &str {
        "ExchangeSourceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
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
        if !children.is_empty() {
            return internal_err!("an exchange source has no children");
        }
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("an exchange source has no children");
        }
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(inputs) = context.session_config().get_extension::<TaskInputs>() else {
            return internal_err!("an exchange source runs only inside a task");
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let held = byte_counter("ExchangeInput", context.memory_pool());
        let batches = inputs
            .0
            .open(self.input, partition, self.schema(), held)
            .inspect(move |batch| {
                if let Ok(batch) = batch {
                    metrics.record_output(batch.num_rows());
                }
            })
            .map(|batch| batch.map_err(|failure| DataFusionError::External(Box::new(failure))));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
