//! From the stage planner's plan to fragments.
//!
//! A boundary node of the stage planner has the producing stage below it. Lowering walks down to
//! each boundary, lowers what is below it to a fragment of its own, and puts an exchange source
//! in its place. Everything that the boundaries promise is checked here against the plans: a
//! promise that does not hold is an [`Uncut`], never a wrong wiring.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_distributed::{
    BroadcastExec, DistributedExec, DistributedLeafExec, NetworkBoundaryExt, NetworkBroadcastExec,
    NetworkCoalesceExec, NetworkShuffleExec,
};
use waterbear_engine::ExchangeSourceExec;

use super::determinacy::{self, Determinacy};
use super::fragment::{Fragment, FragmentInput, StagePlan, Wiring};

/// Why a plan cannot be cut.
#[derive(Debug)]
pub struct Uncut(String);

impl fmt::Display for Uncut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Uncut {}

impl From<DataFusionError> for Uncut {
    fn from(error: DataFusionError) -> Self {
        Self(error.strip_backtrace())
    }
}

/// Lowers a physical plan, cut by the stage planner or not, to fragments.
///
/// # Errors
/// When the plan's stages do not fit together as the stage planner says.
pub fn lower(plan: &Arc<dyn ExecutionPlan>) -> Result<StagePlan, Uncut> {
    let root = if plan.is::<DistributedExec>() { plan.children()[0] } else { plan };
    let mut fragments = Vec::new();
    lower_stage(root, Shape { stage: 0, tasks: 1, readers: 1 }, &mut fragments)?;
    determinacy::assess(&mut fragments);
    Ok(StagePlan { fragments })
}

/// What the consumer of a stage knows of it.
#[derive(Clone, Copy)]
struct Shape {
    stage: u32,
    tasks: u32,
    readers: u32,
}

/// Lowers one stage and everything below it; returns the fragment's index.
fn lower_stage(
    plan: &Arc<dyn ExecutionPlan>,
    shape: Shape,
    fragments: &mut Vec<Fragment>,
) -> Result<usize, Uncut> {
    let mut inputs = Vec::new();
    let mut failure = None;
    let body = Arc::clone(plan).transform_down(|node| {
        if node.as_network_boundary().is_none() {
            return Ok(Transformed::no(node));
        }
        match lower_boundary(&node, shape.tasks, fragments) {
            Ok(input) => {
                let known = known_of(&input, node.equivalence_properties());
                let partitions = input.partitions as usize;
                let source = ExchangeSourceExec::new(inputs.len(), partitions, &known)?;
                inputs.push(input);
                Ok(Transformed::new(Arc::new(source) as _, true, TreeNodeRecursion::Jump))
            }
            Err(reason) => {
                failure = Some(reason);
                Ok(Transformed::new(node, false, TreeNodeRecursion::Stop))
            }
        }
    })?;
    if let Some(reason) = failure {
        return Err(reason);
    }
    let tasks = (0..shape.tasks as usize)
        .map(|task| plan_of_task(&body.data, task, shape.tasks as usize))
        .collect::<Result<Vec<_>, _>>()?;
    let partitions = body.data.output_partitioning().partition_count() as u32;
    if tasks.iter().any(|task| task.output_partitioning().partition_count() as u32 != partitions) {
        return Err(Uncut(format!("tasks of stage {} differ in their partitions", shape.stage)));
    }
    fragments.push(Fragment {
        stage: shape.stage,
        determinacy: Determinacy::Exact,
        scans: tasks.iter().any(has_scan),
        tasks,
        partitions,
        readers: shape.readers,
        inputs,
    });
    Ok(fragments.len() - 1)
}

/// Lowers what is below a boundary; returns the exchange input that stands for it. The order that
/// the boundary claims then holds in each of the input's partitions.
fn lower_boundary(
    node: &Arc<dyn ExecutionPlan>,
    consumer_tasks: u32,
    fragments: &mut Vec<Fragment>,
) -> Result<FragmentInput, Uncut> {
    let Some(boundary) = node.as_network_boundary() else {
        return Err(Uncut(format!("{} is not a stage boundary", node.name())));
    };
    let stage = boundary.input_stage();
    let Some(head) = stage.local_plan() else {
        return Err(Uncut(format!("stage {} has no plan", stage.num())));
    };
    let partitions = node.output_partitioning().partition_count() as u32;
    let producer_tasks = stage.task_count() as u32;
    let shape = |readers| Shape { stage: stage.num() as u32, tasks: producer_tasks, readers };

    let (wiring, producer_plan, shape, expected) = if node.is::<NetworkShuffleExec>() {
        (Wiring::Shuffle, head, shape(1), partitions * consumer_tasks)
    } else if node.is::<NetworkBroadcastExec>() {
        let Some(broadcast) = head.downcast_ref::<BroadcastExec>() else {
            return Err(Uncut(format!("stage {} is broadcast without its head", stage.num())));
        };
        (Wiring::Broadcast, broadcast.input(), shape(consumer_tasks), partitions)
    } else if node.is::<NetworkCoalesceExec>() {
        let group = producer_tasks.div_ceil(consumer_tasks).max(1);
        (Wiring::Coalesce { consumer_tasks }, head, shape(1), partitions / group)
    } else {
        return Err(Uncut(format!("the boundary {} is not known", node.name())));
    };

    let producer = lower_stage(producer_plan, shape, fragments)?;
    let found = fragments[producer].partitions;
    if found != expected {
        return Err(Uncut(format!(
            "stage {} has {found} partitions where its consumer expects {expected}",
            shape.stage
        )));
    }
    let input = FragmentInput { producer, producer_tasks, partitions, wiring };
    check_order(&input, shape.stage, node.output_ordering().is_some())?;
    Ok(input)
}

/// What holds of an input's rows: what its boundary claims, but for what a mix of producers
/// breaks.
fn known_of(input: &FragmentInput, claimed: &EquivalenceProperties) -> EquivalenceProperties {
    let mut known = claimed.clone();
    if !input.keeps_producers_apart() {
        known.clear_per_partition_constants();
    }
    known
}

/// A mix of producers has no order.
fn check_order(input: &FragmentInput, stage: u32, ordered: bool) -> Result<(), Uncut> {
    if ordered && !input.keeps_producers_apart() {
        return Err(Uncut(format!("stage {stage} would have to keep an order")));
    }
    Ok(())
}

/// The stage's plan for one of its tasks: that task's splits, and none of the stage planner's
/// own nodes.
fn plan_of_task(
    body: &Arc<dyn ExecutionPlan>,
    task: usize,
    tasks: usize,
) -> Result<Arc<dyn ExecutionPlan>, Uncut> {
    let mut failure = None;
    let plan = Arc::clone(body).transform_down(|node| {
        let whole = without_broadcasts(&node);
        let stripped = !Arc::ptr_eq(&whole, &node);
        let node = whole;
        if let Some(leaf) = node.downcast_ref::<DistributedLeafExec>() {
            return match leaf.variants().get(task) {
                Some(own) if leaf.variants().len() == tasks => {
                    let own = Arc::clone(own);
                    Ok(Transformed::new(own, true, TreeNodeRecursion::Jump))
                }
                _ => {
                    failure = Some(Uncut(format!("a scan is not divided into {tasks} tasks")));
                    Ok(Transformed::new(node, false, TreeNodeRecursion::Stop))
                }
            };
        }
        if node.is::<BroadcastExec>() {
            failure = Some(Uncut("a broadcast is left inside a stage".to_owned()));
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Stop));
        }
        // Every task would read such a leaf whole.
        let undivided = node.children().is_empty() && !node.is::<ExchangeSourceExec>();
        if tasks > 1 && undivided && !node.is::<EmptyExec>() {
            failure = Some(Uncut(format!("{} is not divided into tasks", node.name())));
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Stop));
        }
        Ok(Transformed::new(node, stripped, TreeNodeRecursion::Continue))
    })?;
    match failure {
        Some(reason) => Err(reason),
        None => Ok(plan.data),
    }
}

/// What is below broadcasts to one task: they are left over where a boundary from one task to one
/// task was not needed.
fn without_broadcasts(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let mut node = node;
    while let Some(broadcast) = node.downcast_ref::<BroadcastExec>() {
        if broadcast.consumer_task_count() != 1 {
            break;
        }
        node = broadcast.input();
    }
    Arc::clone(node)
}

/// True when the plan has a leaf that is neither literal rows nor another stage's output.
fn has_scan(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if !plan.children().is_empty() {
        return plan.children().into_iter().any(has_scan);
    }
    let literal = plan.is::<PlaceholderRowExec>()
        || plan.is::<EmptyExec>()
        || plan.downcast_ref::<DataSourceExec>().is_some_and(|source| {
            source.data_source().downcast_ref::<MemorySourceConfig>().is_some()
        });
    !literal && !plan.is::<ExchangeSourceExec>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::expressions::col;
    use datafusion::physical_expr::{AcrossPartitions, ConstExpr};

    use super::*;

    /// A leaf of two partitions of literal rows.
    fn leaf() -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let rows = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(Int64Array::from(vec![1, 2])) as _],
        );
        let rows = vec![rows.unwrap()];
        MemorySourceConfig::try_new_exec(&[rows.clone(), rows], schema, None).unwrap()
    }

    fn input(wiring: Wiring) -> FragmentInput {
        FragmentInput { producer: 0, producer_tasks: 2, partitions: 2, wiring }
    }

    #[test]
    fn a_leaf_that_is_not_divided_is_not_run_by_several_tasks() {
        assert!(plan_of_task(&leaf(), 0, 1).is_ok());
        let refused = plan_of_task(&leaf(), 0, 2).unwrap_err();
        assert!(refused.to_string().contains("is not divided into tasks"), "{refused}");
    }

    #[test]
    fn a_broadcast_to_one_task_is_left_out_and_one_to_several_is_refused() {
        let broadcast = |tasks| Arc::new(BroadcastExec::new(leaf(), tasks)) as _;
        let whole = plan_of_task(&broadcast(1), 0, 1).unwrap();
        assert!(whole.is::<DataSourceExec>(), "{}", whole.name());
        let refused = plan_of_task(&broadcast(2), 0, 1).unwrap_err();
        assert!(refused.to_string().contains("a broadcast is left"), "{refused}");
    }

    #[test]
    fn what_is_constant_in_each_partition_is_not_where_producers_are_mixed() {
        let plan = leaf();
        let mut claimed = EquivalenceProperties::new(plan.schema());
        let column = col("a", &plan.schema()).unwrap();
        let constant = ConstExpr::new(Arc::clone(&column), AcrossPartitions::Heterogeneous);
        claimed.add_constants([constant]).unwrap();
        let is_constant = |wiring| {
            let known = known_of(&input(wiring), &claimed);
            known.is_expr_constant(&column).is_some()
        };
        assert!(is_constant(Wiring::Coalesce { consumer_tasks: 1 }));
        assert!(!is_constant(Wiring::Shuffle));
        assert!(!is_constant(Wiring::Broadcast));
    }

    #[test]
    fn an_order_is_not_kept_where_producers_are_mixed() {
        for (wiring, ordered, fits) in [
            (Wiring::Shuffle, true, false),
            (Wiring::Broadcast, true, false),
            (Wiring::Shuffle, false, true),
            (Wiring::Coalesce { consumer_tasks: 1 }, true, true),
        ] {
            assert_eq!(check_order(&input(wiring), 1, ordered).is_ok(), fits, "{wiring:?}");
        }
    }
}
