use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use http::{Method, StatusCode};
use waterbear_engine::ExchangeSourceExec;
use waterbear_exchange::ExchangeReader;
use waterbear_protocol::membership::Role;
use waterbear_protocol::task::{Producer, TaskState};
use waterbear_protocol::{ErrorCode, Failure};

use crate::cluster::{Caller, Worker, attempt, input, partitioned, plan, request};

const LONG: Duration = Duration::from_secs(10);

/// Creates a task of `plan` on `worker`.
async fn producer(
    coordinator: &Caller,
    worker: &Worker,
    plan: &Arc<dyn ExecutionPlan>,
    readers: u32,
) -> Producer {
    let attempt = attempt();
    coordinator.create(&worker.node, &attempt, &request(plan, readers)).await;
    Producer { attempt, node: worker.node.clone() }
}

/// Creates a task on `worker` that passes on partition `partition` of all `producers`.
async fn consumer(
    coordinator: &Caller,
    worker: &Worker,
    producers: &[Producer],
    plan: &Arc<dyn ExecutionPlan>,
    partition: u32,
) -> Producer {
    let source: Arc<dyn ExecutionPlan> = Arc::new(
        ExchangeSourceExec::new(0, 1, plan.properties().equivalence_properties()).unwrap(),
    );
    let mut request = request(&source, 1);
    request.producers = producers.to_vec();
    request.inputs = vec![input(producers.len(), partition..partition + 1)];
    let attempt = attempt();
    coordinator.create(&worker.node, &attempt, &request).await;
    Producer { attempt, node: worker.node.clone() }
}

async fn values(mut batches: ExchangeReader) -> Result<Vec<i64>, Failure> {
    let mut values = Vec::new();
    while let Some(batch) = batches.next().await {
        values.extend(batch?.column(0).as_primitive::<Int64Type>().values());
    }
    values.sort_unstable();
    Ok(values)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stages_on_two_workers_exchange_every_row_once() {
    let workers = [Worker::start("w1", LONG).await, Worker::start("w2", LONG).await];
    let coordinator = Caller::new(Role::Coordinator);
    let ranges = ["1, 300000", "300001, 600000"];
    let mut producers = Vec::new();
    let mut schema = None;
    for (worker, range) in workers.iter().zip(ranges) {
        let sql = format!("SELECT value FROM generate_series({range})");
        let plan = partitioned(plan(&sql).await, "value", 4);
        producers.push(producer(&coordinator, worker, &plan, 1).await);
        schema = Some(plan);
    }
    let plan = schema.unwrap();
    let mut consumers = Vec::new();
    for partition in 0..4 {
        let worker = &workers[partition as usize % 2];
        consumers.push(consumer(&coordinator, worker, &producers, &plan, partition).await);
    }
    let rows = values(coordinator.read(&consumers, 0, 0, plan.schema())).await.unwrap();
    assert_eq!(rows, (1..=600_000).collect::<Vec<_>>());
    let mut exchanged = 0;
    for task in producers.iter().chain(&consumers) {
        let done = coordinator.done(&task.node, &task.attempt).await;
        assert_eq!(done.state, TaskState::Finished);
        exchanged += done.stats.exchange_input_bytes;
    }
    // Half of the 4.8 MB has its reader on its own worker, and never comes near the network.
    assert!((2_400_000..2_650_000).contains(&exchanged), "{exchanged} bytes for 4.8 MB of rows");
    for worker in &workers {
        worker.idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_of_a_broadcast_gets_everything() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let plan = plan("SELECT value FROM generate_series(1, 100000)").await;
    let task = [producer(&coordinator, &worker, &plan, 3).await];
    let readers = (0..3).map(|reader| values(coordinator.read(&task, 0, reader, plan.schema())));
    for rows in futures::future::join_all(readers).await {
        assert_eq!(rows.unwrap(), (1..=100_000).collect::<Vec<_>>());
    }
    assert_eq!(coordinator.done(&worker.node, &task[0].attempt).await.state, TaskState::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producers_failure_reaches_the_root_in_its_own_words() {
    let workers = [Worker::start("w1", LONG).await, Worker::start("w2", LONG).await];
    let coordinator = Caller::new(Role::Coordinator);
    let sql = "SELECT 10 / (value - 500000) AS q FROM generate_series(1, 1000000)";
    let plan = plan(sql).await;
    let failing = [producer(&coordinator, &workers[0], &plan, 1).await];
    let root = [consumer(&coordinator, &workers[1], &failing, &plan, 0).await];
    let failure = values(coordinator.read(&root, 0, 0, plan.schema())).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DIVISION_BY_ZERO, "{failure}");
    assert_eq!(failure.node.unwrap().as_str(), "w1");
    let done = coordinator.done(&workers[1].node, &root[0].attempt).await;
    assert_eq!(done.failure.unwrap().code, ErrorCode::DIVISION_BY_ZERO);
    for worker in &workers {
        worker.idle().await;
    }
}

#[test]
fn a_killed_worker_is_named_within_a_second() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (doomed, rest) = (runtime(), runtime());
    let victim = doomed.block_on(Worker::start("victim", LONG));
    let node = victim.node.clone();
    rest.block_on(async {
        let survivor = Worker::start("survivor", LONG).await;
        let coordinator = Caller::new(Role::Coordinator);
        let plan = plan("SELECT value FROM generate_series(1, 100000000000)").await;
        let producers = [producer(&coordinator, &victim, &plan, 1).await];
        let root = [consumer(&coordinator, &survivor, &producers, &plan, 0).await];
        let mut batches = coordinator.read(&root, 0, 0, plan.schema());
        batches.next().await.unwrap().unwrap();

        doomed.shutdown_background();
        let killed = Instant::now();
        let failure = loop {
            match batches.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => break Failure::from(error),
            }
        };
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
        assert_eq!(failure.code, ErrorCode::REMOTE_HOST_GONE, "{failure}");
        assert_eq!(failure.node.as_ref(), Some(&node.node_id));
        assert!(failure.message.contains("victim"), "{failure}");
        survivor.idle().await;
    });
    drop(victim);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_holds_up_neither_others_nor_statuses() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let endless = plan("SELECT value FROM generate_series(1, 100000000000)").await;
    let stuck = [producer(&coordinator, &worker, &endless, 1).await];
    let mut stopped = coordinator.read(&stuck, 0, 0, endless.schema());
    stopped.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held = coordinator.status(&worker.node, &stuck[0].attempt, 0, Duration::ZERO).await;
    assert!(held.stats.memory_bytes < 20 << 20, "{} bytes held", held.stats.memory_bytes);

    let plan = plan("SELECT value FROM generate_series(1, 500000)").await;
    let lively = [producer(&coordinator, &worker, &plan, 1).await];
    let rows = values(coordinator.read(&lively, 0, 0, plan.schema())).await.unwrap();
    assert_eq!(rows.len(), 500_000);
    let start = Instant::now();
    let status = coordinator.status(&worker.node, &stuck[0].attempt, 0, Duration::ZERO).await;
    assert!(start.elapsed() < Duration::from_millis(500));
    assert_eq!(status.state, TaskState::Running);

    // Nobody wants the rest: its stream is dropped and the task ends.
    drop(stopped);
    assert_eq!(coordinator.done(&worker.node, &stuck[0].attempt).await.state, TaskState::Finished);
    worker.idle().await;
}

/// Goal of the first release: a queue of data requests must not delay heartbeats.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_queued_data_requests_leave_statuses_fast() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Arc::new(Caller::new(Role::Coordinator));
    let endless = plan("SELECT value FROM generate_series(1, 100000000000)").await;
    let task = producer(&coordinator, &worker, &endless, 1).await;
    let wait_for_a_task_that_never_comes = |max_wait_ms: u32| {
        let path = format!("/v1/task/{}/results/0/0/0?max_wait_ms={max_wait_ms}", attempt());
        let asked = (0..1_000).map(|_| {
            let (coordinator, node, path) =
                (coordinator.clone(), worker.node.clone(), path.clone());
            tokio::spawn(
                async move { coordinator.ask(&node, Method::GET, &path, Vec::new()).await.0 },
            )
        });
        futures::future::join_all(asked.collect::<Vec<_>>())
    };
    // Handshakes are not what is measured: these requests leave their connections in the pool.
    for status in wait_for_a_task_that_never_comes(0).await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    let queued = tokio::spawn(wait_for_a_task_that_never_comes(10_000));
    // Other tests share the processors: the best of three rounds counts.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let mut times = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            coordinator.status(&worker.node, &task.attempt, 0, Duration::ZERO).await;
            times.push(start.elapsed());
        }
        times.sort();
        best = best.min(times[197]);
    }
    assert!(!queued.is_finished(), "the requests were not queued while statuses were asked");
    queued.abort();
    assert!(best < Duration::from_millis(50), "p99 {best:?}");
}

/// Prints the throughput of one exchange stream over mutual TLS on loopback.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and needs a quiet machine"]
async fn throughput_of_one_stream() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let sql = "SELECT value AS a, value + 1 AS b, value + 2 AS c, value + 3 AS d \
               FROM generate_series(1, 100000000)";
    let plan = plan(sql).await;
    let task = [producer(&coordinator, &worker, &plan, 1).await];
    let start = Instant::now();
    let mut batches = coordinator.read(&task, 0, 0, plan.schema());
    let mut bytes = 0;
    while let Some(batch) = batches.next().await {
        bytes += batch.unwrap().num_rows() * 32;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.0} MB/s", bytes as f64 / seconds / 1e6);
}
