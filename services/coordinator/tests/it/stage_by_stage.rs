//! Runs a cut plan without a cluster: each task's plan goes through bytes into an engine, stage by
//! stage, with every output kept in memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::stream::{BoxStream, StreamExt};
use waterbear_coordinator::planner::StagePlan;
use waterbear_engine::{ByteCounter, Engine, InputStreams, encode_plan, failure_of};
use waterbear_ids::QueryId;
use waterbear_protocol::Failure;
use waterbear_protocol::task::TaskSession;

/// Batches of one task by output partition.
type TaskOutput = Vec<Vec<RecordBatch>>;

#[derive(Debug)]
struct Kept(HashMap<(usize, usize), Vec<RecordBatch>>);

impl InputStreams for Kept {
    fn open(
        &self,
        input: usize,
        partition: usize,
        _schema: SchemaRef,
        _held: ByteCounter,
    ) -> BoxStream<'static, Result<RecordBatch, Failure>> {
        let batches = self.0.get(&(input, partition)).cloned().unwrap_or_default();
        futures::stream::iter(batches.into_iter().map(Ok)).boxed()
    }
}

/// What a run gave and how it was cut.
pub struct Ran {
    pub batches: Vec<RecordBatch>,
    pub tasks: usize,
}

pub async fn run(plan: &StagePlan, engine: &Engine) -> Result<Ran, Failure> {
    let query: QueryId = "20261122_000000_00000_tests".parse().unwrap();
    let session = TaskSession {
        user: "test".into(),
        start_time_ns: 0,
        settings: vec![],
        max_recursion_depth: 10,
        operator_metrics: false,
    };
    let mut outputs: Vec<Vec<TaskOutput>> = Vec::new();
    let mut tasks = 0;
    for fragment in &plan.fragments {
        let mut outputs_of_fragment = Vec::new();
        for (number, task) in fragment.tasks.iter().enumerate() {
            tasks += 1;
            let mut kept = HashMap::new();
            for (index, input) in fragment.inputs.iter().enumerate() {
                for partition in 0..input.partitions {
                    let batches = input
                        .sources(number as u32, partition, 0)
                        .into_iter()
                        .flat_map(|source| {
                            let task = &outputs[input.producer][source.producer as usize];
                            task[source.partition as usize].clone()
                        })
                        .collect();
                    kept.insert((index, partition as usize), batches);
                }
            }
            let bytes = encode_plan(task).map_err(|error| failure_of(&error))?;
            let attempt = query.stage(fragment.stage).task(number as u32).attempt(0);
            let prepared =
                Arc::new(engine.prepare(&attempt, &bytes, &session, Arc::new(Kept(kept)))?);
            assert_eq!(prepared.partitions() as u32, fragment.partitions);
            let running = (0..prepared.partitions()).map(|partition| {
                let prepared = Arc::clone(&prepared);
                engine.runtime().spawn(async move {
                    let stream = prepared.execute(partition)?;
                    let batches: Vec<_> = stream.collect().await;
                    batches
                        .into_iter()
                        .map(|batch| batch.map_err(|error| failure_of(&error)))
                        .collect::<Result<Vec<_>, _>>()
                })
            });
            let mut output = Vec::new();
            for partition in futures::future::join_all(running).await {
                output.push(partition.unwrap()?);
            }
            outputs_of_fragment.push(output);
        }
        outputs.push(outputs_of_fragment);
    }
    let batches = outputs.pop().unwrap().into_iter().flatten().flatten().collect();
    Ok(Ran { batches, tasks })
}
