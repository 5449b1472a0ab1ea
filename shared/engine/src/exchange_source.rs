//! The leaf of a fragment's plan that stands for another stage's output.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::{EquivalenceClass, EquivalenceGroup};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    AcrossPartitions, ConstExpr, EquivalenceProperties, LexOrdering, PhysicalExpr,
};
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

/// Columns of an exchange source that have the same value in each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EqualColumns {
    /// Indices into the source's schema.
    pub(crate) columns: Vec<usize>,
    /// Set if that value is one for all rows of a partition, or of all partitions.
    pub(crate) constant: Option<AcrossPartitions>,
}

/// What is known of the rows of an exchange source, beside their types. Operators rely on it when
/// they are built, so the coordinator and the worker must know the same: what does not travel in a
/// plan is not claimed at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    /// Each partition is sorted by each of these.
    pub(crate) orderings: Vec<LexOrdering>,
    /// Columns that are equal or constant.
    pub(crate) equal: Vec<EqualColumns>,
}

impl Claims {
    pub(crate) fn of(known: &EquivalenceProperties) -> Self {
        let equal = known.eq_group().iter().filter_map(|class| {
            let columns = class.iter().filter_map(|expr| expr.downcast_ref::<Column>());
            let columns: Vec<_> = columns.map(Column::index).collect();
            let constant = class.iter().find_map(|expr| known.is_expr_constant(expr));
            let constant = constant.map(|across| match across {
                // The value itself does not travel.
                AcrossPartitions::Uniform(_) => AcrossPartitions::Uniform(None),
                AcrossPartitions::Heterogeneous => AcrossPartitions::Heterogeneous,
            });
            let says_something = columns.len() > 1 || (columns.len() == 1 && constant.is_some());
            says_something.then_some(EqualColumns { columns, constant })
        });
        Self { orderings: known.oeq_class().iter().cloned().collect(), equal: equal.collect() }
    }

    fn over(self, schema: SchemaRef) -> Result<EquivalenceProperties> {
        let mut known = EquivalenceProperties::new(Arc::clone(&schema));
        for EqualColumns { columns, constant } in self.equal {
            let columns = columns.into_iter().map(|index| match schema.fields().get(index) {
                Some(field) => Ok(Arc::new(Column::new(field.name(), index)) as _),
                None => internal_err!("an exchange source has no column {index}"),
            });
            let columns = columns.collect::<Result<Vec<Arc<dyn PhysicalExpr>>>>()?;
            let first = columns.first().cloned();
            let group = EquivalenceGroup::new([EquivalenceClass::new(columns)]);
            known.add_equivalence_group(group)?;
            if let (Some(column), Some(constant)) = (first, constant) {
                known.add_constants([ConstExpr::new(column, constant)])?;
            }
        }
        known.add_orderings(self.orderings);
        Ok(known)
    }
}

impl ExchangeSourceExec {
    /// A source of `partitions` partitions, with the schema and the order, equalities and
    /// constants of `known`, as far as they can travel.
    ///
    /// # Errors
    /// When `known` is not of its own schema.
    pub fn new(input: usize, partitions: usize, known: &EquivalenceProperties) -> Result<Self> {
        Self::claiming(input, Arc::clone(known.schema()), partitions, Claims::of(known))
    }

    pub(crate) fn claiming(
        input: usize,
        schema: SchemaRef,
        partitions: usize,
        claims: Claims,
    ) -> Result<Self> {
        let properties = PlanProperties::new(
            claims.over(schema)?,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let properties = Arc::new(properties);
        Ok(Self { input, properties, metrics: ExecutionPlanMetricsSet::new() })
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
