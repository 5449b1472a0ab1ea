//! Tasks whose output goes to the spool.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use waterbear_engine::ExchangeSourceExec;
use waterbear_protocol::membership::Role;
use waterbear_protocol::spool::QueryKey;
use waterbear_protocol::task::{Producer, TaskSpool, TaskState};

use crate::cluster::{Caller, Worker, attempt, input, plan, request};

const KEY: QueryKey = QueryKey::from_bytes([5; 32]);
const ROWS: u64 = 300_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_read_in_memory_by_its_own_worker_and_in_storage_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let own = Worker::start_spooling("w1", folder.path()).await;
    let other = Worker::start_spooling("w2", folder.path()).await;
    let coordinator = Caller::new(Role::Coordinator);
    let plan = plan(&format!("SELECT value FROM generate_series(1, {ROWS})")).await;
    let mut request_of_producer = request(&plan, 1);
    request_of_producer.spool = Some(TaskSpool::new(KEY, "here".into(), Vec::new()));
    let producer = Producer { attempt: attempt(), node: own.node.clone() };
    coordinator.create(&own.node, &producer.attempt, &request_of_producer).await;
    let done = coordinator.done(&own.node, &producer.attempt).await;
    assert_eq!(done.state, TaskState::Finished, "{:?}", done.failure);
    let record = done.output.unwrap();
    assert_eq!((record.rows, record.inline.len()), (ROWS, 0));

    let source: Arc<dyn ExecutionPlan> = Arc::new(
        ExchangeSourceExec::new(0, 1, plan.properties().equivalence_properties()).unwrap(),
    );
    for worker in [&own, &other] {
        let mut request = request(&source, 1);
        request.producers = vec![producer.clone()];
        request.inputs = vec![input(1, 0..1)];
        request.spool = Some(TaskSpool::new(KEY, "here".into(), vec![record.clone()]));
        let consumer = attempt();
        coordinator.create(&worker.node, &consumer, &request).await;
        let done = coordinator.done(&worker.node, &consumer).await;
        assert_eq!(done.state, TaskState::Finished, "{:?}", done.failure);
        assert_eq!(done.output.unwrap().rows, ROWS);
        let (storage, memory) = (done.stats.spool_reads, done.stats.spool_memory_reads);
        match worker.node.node_id == own.node.node_id {
            true => assert!(storage == 0 && memory > 0, "{storage} and {memory}"),
            false => assert!(storage > 0 && memory == 0, "{storage} and {memory}"),
        }
        // What is kept is nobody's, as long as somebody may want the memory.
        worker.idle().await;
    }
}
