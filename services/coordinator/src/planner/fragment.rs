//! Fragments: what the scheduler makes tasks of. Plain values, no I/O.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use waterbear_protocol::task::SourcePartition;

use super::determinacy::Determinacy;

/// A query as fragments, producers before their consumers; the last one is the root.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// The fragments. `FragmentInput::producer` is an index into this list.
    pub fragments: Vec<Fragment>,
}

impl StagePlan {
    /// The fragment that makes the result.
    pub fn root(&self) -> &Fragment {
        match self.fragments.last() {
            Some(root) => root,
            None => unreachable!("lowering always makes at least the root"),
        }
    }
}

/// One stage: a plan that `tasks` tasks run, each over its own splits.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// The stage's number in the query; 0 is the root.
    pub stage: u32,
    /// One plan for each task. Exchange sources refer to `inputs` by index.
    pub tasks: Vec<Arc<dyn ExecutionPlan>>,
    /// Output partitions of each task.
    pub partitions: u32,
    /// Readers of each output partition: the consumer's tasks under broadcast, else one.
    pub readers: u32,
    /// What the plan's exchange sources read.
    pub inputs: Vec<FragmentInput>,
    /// Whether it gives the same rows when it runs again.
    pub determinacy: Determinacy,
    /// True when the plan reads tables. A fragment that does not can run on the coordinator.
    pub scans: bool,
}

/// One exchange source of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentInput {
    /// The producing fragment, as index into [`StagePlan::fragments`].
    pub producer: usize,
    /// Tasks of the producing fragment.
    pub producer_tasks: u32,
    /// Partitions of the exchange source in each consumer task.
    pub partitions: u32,
    /// Which producer partitions make which consumer partition.
    pub wiring: Wiring,
}

/// Which producer partitions make partition `p` of consumer task `c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// Partition `partitions * c + p` of every producer task.
    Shuffle,
    /// Partition `p` of every producer task, as its reader `c`.
    Broadcast,
    /// One partition of one task: each consumer has a contiguous group of producer tasks, and
    /// their partitions one after the other; groups may differ by one task, and what a smaller
    /// group lacks is empty.
    Coalesce {
        /// Tasks of the consuming fragment.
        consumer_tasks: u32,
    },
}

impl FragmentInput {
    /// Whether each partition has rows of one producer task alone: then what holds for each of the
    /// producer's partitions, an order or a constant, holds for it too. Only a gather keeps
    /// producers apart; everything else mixes their rows, whatever the boundary claims.
    pub fn keeps_producers_apart(&self) -> bool {
        matches!(self.wiring, Wiring::Coalesce { .. }) || self.producer_tasks == 1
    }

    /// The sources of partition `partition` of consumer task `consumer`: producer task, and what
    /// of it. `SourcePartition::producer` counts the producer fragment's tasks from `first`.
    pub fn sources(&self, consumer: u32, partition: u32, first: u32) -> Vec<SourcePartition> {
        let every_task = |partition, reader| {
            (0..self.producer_tasks)
                .map(|task| SourcePartition { producer: first + task, partition, reader })
                .collect()
        };
        match self.wiring {
            Wiring::Shuffle => every_task(self.partitions * consumer + partition, 0),
            Wiring::Broadcast => every_task(partition, consumer),
            Wiring::Coalesce { consumer_tasks } => {
                self.coalesced(consumer, consumer_tasks, partition, first)
            }
        }
    }

    fn coalesced(
        &self,
        consumer: u32,
        consumer_tasks: u32,
        partition: u32,
        first: u32,
    ) -> Vec<SourcePartition> {
        let largest_group = self.producer_tasks.div_ceil(consumer_tasks).max(1);
        let partitions_of_task = (self.partitions / largest_group).max(1);
        let smallest_group = self.producer_tasks / consumer_tasks;
        let larger_groups = self.producer_tasks % consumer_tasks;
        let group = smallest_group + u32::from(consumer < larger_groups);
        let start = consumer * smallest_group + consumer.min(larger_groups);
        let offset = partition / partitions_of_task;
        if offset >= group {
            return Vec::new();
        }
        let source = SourcePartition {
            producer: first + start + offset,
            partition: partition % partitions_of_task,
            reader: 0,
        };
        vec![source]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn input(producer_tasks: u32, partitions: u32, wiring: Wiring) -> FragmentInput {
        FragmentInput { producer: 0, producer_tasks, partitions, wiring }
    }

    /// How often each (producer task, partition, reader) is read by all consumers together.
    fn reads(input: FragmentInput, consumers: u32) -> BTreeMap<(u32, u32, u32), u32> {
        let mut reads = BTreeMap::new();
        for consumer in 0..consumers {
            for partition in 0..input.partitions {
                for source in input.sources(consumer, partition, 0) {
                    *reads
                        .entry((source.producer, source.partition, source.reader))
                        .or_default() += 1;
                }
            }
        }
        reads
    }

    #[test]
    fn every_producer_partition_is_read_once_by_a_shuffle() {
        for (producers, consumers, partitions) in [(1, 1, 2), (3, 2, 2), (2, 3, 4), (4, 4, 3)] {
            let reads = reads(input(producers, partitions, Wiring::Shuffle), consumers);
            assert_eq!(reads.len() as u32, producers * consumers * partitions);
            assert!(reads.values().all(|count| *count == 1));
        }
    }

    #[test]
    fn every_consumer_reads_all_of_a_broadcast_once() {
        let reads = reads(input(3, 2, Wiring::Broadcast), 4);
        assert_eq!(reads.len(), 3 * 2 * 4);
        assert!(reads.values().all(|count| *count == 1));
    }

    #[test]
    fn every_producer_partition_is_read_once_by_a_coalesce_of_uneven_groups() {
        for producers in 1..7 {
            for consumers in 1..5 {
                for partitions_of_task in 1..4 {
                    let partitions = u32::div_ceil(producers, consumers) * partitions_of_task;
                    let wiring = Wiring::Coalesce { consumer_tasks: consumers };
                    let reads = reads(input(producers, partitions, wiring), consumers);
                    assert_eq!(
                        reads.len() as u32,
                        producers * partitions_of_task,
                        "{producers} producers, {consumers} consumers"
                    );
                    assert!(reads.values().all(|count| *count == 1));
                }
            }
        }
    }
}
