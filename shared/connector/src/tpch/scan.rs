//! The scan of a generated table: what it reads, as text and as a DataFusion plan node.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Statistics, tree_node::TreeNodeRecursion},
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions, SendableRecordBatchStream,
        coop::cooperative,
        execution_plan::{Boundedness, ChildrenPropertiesMode, EmissionType, SchedulingType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, stream};
use serde::{Deserialize, Serialize};

use super::{
    generate,
    schema::{ColumnNaming, DoubleTypeMapping, Scale, Table},
    statistics,
};

/// More partitions than any plan has; a message with more is not ours.
const MAX_PARTITIONS: usize = 4096;

/// What a scan reads. The same text means the same rows in the same order on every node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// Its scale factor.
    pub scale: Scale,
    /// How its columns are named.
    pub naming: ColumnNaming,
    /// The type of its doubles.
    pub doubles: DoubleTypeMapping,
    /// The columns to make, by their place in the table.
    pub projection: Vec<usize>,
    /// The most rows to make in each partition.
    pub limit: Option<usize>,
    /// What each partition reads.
    pub partitions: Vec<PartRange>,
}

/// Consecutive parts of a table (see [`Table::parts`]), `to` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct PartRange {
    /// The first part, counted from zero.
    pub from: u32,
    /// The part after the last.
    pub to: u32,
}

impl From<(u32, u32)> for PartRange {
    fn from((from, to): (u32, u32)) -> Self {
        Self { from, to }
    }
}

impl From<PartRange> for (u32, u32) {
    fn from(range: PartRange) -> Self {
        (range.from, range.to)
    }
}

impl PartRange {
    /// Divides the range into `count` neighbours that differ by at most one part; some are empty
    /// if there are fewer parts.
    pub fn divide(self, count: usize) -> impl Iterator<Item = Self> {
        let length = u64::from(self.to - self.from);
        let count = count.max(1) as u64;
        let bound = move |i: u64| {
            // At most `length`, so it fits.
            self.from + u32::try_from(length * i / count).unwrap_or(u32::MAX)
        };
        (0..count).map(move |i| Self { from: bound(i), to: bound(i + 1) })
    }
}

impl Scan {
    fn check(&self) -> Result<(), String> {
        let columns = self.table.definitions().len();
        if self.projection.len() > columns || self.projection.iter().any(|c| *c >= columns) {
            return Err(format!("projection {:?} of {columns} columns", self.projection));
        }
        if self.partitions.is_empty() || self.partitions.len() > MAX_PARTITIONS {
            return Err(format!("{} partitions", self.partitions.len()));
        }
        let parts = self.table.parts(self.scale);
        match self.partitions.iter().find(|range| range.from > range.to || range.to > parts) {
            Some(PartRange { from, to }) => Err(format!("parts {from} to {to} of {parts}")),
            None => Ok(()),
        }
    }

    /// Divides the scan into `tasks` scans with as many partitions each; together they read what
    /// this one reads.
    pub fn split(&self, tasks: usize) -> Vec<Self> {
        let mut splits = vec![Self { partitions: Vec::new(), ..self.clone() }; tasks];
        for range in &self.partitions {
            for (split, range) in splits.iter_mut().zip(range.divide(tasks)) {
                split.partitions.push(range);
            }
        }
        splits
    }
}

/// The plan node of a [`Scan`].
#[derive(Debug)]
pub struct TpchScanExec {
    scan: Scan,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TpchScanExec {
    /// Makes the node.
    ///
    /// # Errors
    /// If the scan names columns or parts that its table does not have, or no partition.
    pub fn try_new(scan: Scan) -> Result<Self> {
        scan.check().map_err(|reason| DataFusionError::Plan(format!("tpch scan: {reason}")))?;
        let schema = scan.table.schema(scan.naming, scan.doubles).project(&scan.projection)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(scan.partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { scan, properties: Arc::new(properties), metrics })
    }

    /// Returns what the node reads.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    fn range(&self, partition: usize) -> Result<PartRange> {
        self.scan.partitions.get(partition).copied().ok_or_else(|| {
            DataFusionError::Internal(format!("tpch scan has no partition {partition}"))
        })
    }
}

impl DisplayAs for TpchScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scan { table, scale, partitions, limit, .. } = &self.scan;
        let parts: u32 = partitions.iter().map(|range| range.to - range.from).sum();
        let (name, total) = (table.name(), table.parts(*scale));
        write!(f, "TpchScanExec: table={name}, scale={scale}, parts={parts}/{total}, columns=[")?;
        for (i, field) in self.schema().fields().iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, field.name())?;
        }
        write!(f, "]")?;
        limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl ExecutionPlan for TpchScanExec {
    fn name(&self) -> &'static str {
        "TpchScanExec"
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
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::try_new(self.scan.clone())?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reader = Reader {
            scan: self.scan.clone(),
            schema: self.schema(),
            range: self.range(partition)?,
            batch_rows: context.session_config().batch_size(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let stream = RecordBatchStreamAdapter::new(self.schema(), Box::pin(reader.stream()));
        Ok(Box::pin(cooperative(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let statistics = match args.partition() {
            Some(partition) => statistics::of(&self.scan, &[self.range(partition)?]),
            None => statistics::of(&self.scan, &self.scan.partitions),
        };
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let scan = Scan { limit, ..self.scan.clone() };
        Some(Arc::new(Self::try_new(scan).ok()?))
    }

    fn fetch(&self) -> Option<usize> {
        self.scan.limit
    }
}

/// One partition while it is read.
struct Reader {
    scan: Scan,
    schema: SchemaRef,
    range: PartRange,
    batch_rows: usize,
    metrics: BaselineMetrics,
}

impl Reader {
    fn stream(self) -> impl Stream<Item = Result<arrow::array::RecordBatch>> + Send {
        stream::unfold((self, None), |(reader, batches)| async move {
            let mut batches = match batches {
                Some(batches) => {
                    // A batch takes milliseconds of CPU: let other tasks of this thread run.
                    tokio::task::yield_now().await;
                    batches
                }
                None => reader.open().await,
            };
            let timer = reader.metrics.elapsed_compute().timer();
            let batch = batches.next();
            timer.done();
            let batch = batch?.map_err(DataFusionError::from).record_output(&reader.metrics);
            Some((batch, (reader, Some(batches))))
        })
    }

    async fn open(&self) -> generate::BatchIterator {
        // The comment is the last column of each table.
        let comment = self.scan.table.definitions().len() - 1;
        let text = generate::text_pool(self.scan.projection.contains(&comment)).await;
        let schema = Arc::clone(&self.schema);
        generate::batches(&self.scan, schema, self.range, self.batch_rows, text)
    }
}
