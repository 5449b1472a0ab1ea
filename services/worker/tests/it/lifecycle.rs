use std::time::{Duration, Instant};

use futures::StreamExt;
use http::{HeaderMap, Method, StatusCode};
use waterbear_ids::Incarnation;
use waterbear_outbound::OutboundError;
use waterbear_protocol::ErrorCode;
use waterbear_protocol::membership::{NodeState, Role};
use waterbear_protocol::task::results::{COMPLETE_HEADER, NEXT_TOKEN_HEADER};
use waterbear_protocol::task::{Producer, TaskState};

use crate::cluster::{Caller, Worker, attempt, partitioned, plan, request};

const LONG: Duration = Duration::from_secs(10);
/// Holds memory, and does not end by itself: nobody reads its output.
const SORT: &str =
    "SELECT value, value % 7 AS key FROM generate_series(1, 3000000) ORDER BY key, value";

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_gives_its_rows_and_finishes() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let plan = partitioned(plan("SELECT value FROM generate_series(1, 100000)").await, "value", 3);
    let attempt = attempt();
    let created = coordinator.create(&worker.node, &attempt, &request(&plan, 1)).await;
    assert_eq!((created.state, created.version), (TaskState::Running, 1));
    assert_eq!(created.attempt, attempt);
    assert_eq!(worker.running.running_tasks(), 1);

    let producers = [Producer { attempt: attempt.clone(), node: worker.node.clone() }];
    let mut rows = 0;
    for partition in 0..3 {
        let mut batches = coordinator.read(&producers, partition, 0, plan.schema());
        while let Some(batch) = batches.next().await {
            rows += batch.unwrap().num_rows();
        }
    }
    assert_eq!(rows, 100_000);
    let done = coordinator.done(&worker.node, &attempt).await;
    assert_eq!((done.state, done.failure), (TaskState::Finished, None));
    assert_eq!(done.stats.output_rows, 100_000);
    assert!(done.stats.output_bytes > 800_000 && done.stats.output_bytes < 900_000);
    assert!(done.stats.ended_ms >= done.stats.created_ms && done.stats.created_ms > 0);
    worker.idle().await;

    // What is over is over, but its status is still known.
    let again = coordinator.create(&worker.node, &attempt, &request(&plan, 1)).await;
    assert_eq!(again.state, TaskState::Finished);
    let path = format!("/v1/task/{attempt}/results/0/0/0");
    let (status, ..) = coordinator.ask(&worker.node, Method::GET, &path, Vec::new()).await;
    assert_eq!(status, StatusCode::GONE);
    worker.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_an_attempt_again_changes_nothing() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let plan = plan("SELECT value FROM generate_series(1, 1000000000)").await;
    let (attempt, request) = (attempt(), request(&plan, 1));
    for _ in 0..3 {
        let status = coordinator.create(&worker.node, &attempt, &request).await;
        assert_eq!(status.state, TaskState::Running);
    }
    assert_eq!(worker.running.running_tasks(), 1);
    assert_eq!(coordinator.abort(&worker.node, &attempt).await.state, TaskState::Aborted);
    assert_eq!(coordinator.abort(&worker.node, &attempt).await.state, TaskState::Aborted);
    let status = coordinator.create(&worker.node, &attempt, &request).await;
    assert_eq!(status.state, TaskState::Aborted);
    worker.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_that_comes_before_its_task_holds() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let attempt = attempt();
    coordinator.abort(&worker.node, &attempt).await;
    let request = request(&plan("SELECT 1 AS one").await, 1);
    let status = coordinator.create(&worker.node, &attempt, &request).await;
    assert_eq!(status.state, TaskState::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_answered_with_their_reason() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let node = &worker.node;
    let good = request(&plan("SELECT 1 AS one").await, 1);
    let good_body = serde_json::to_vec(&good).unwrap();
    let attempt = attempt();
    let path = format!("/v1/task/{attempt}");

    let unknown = format!("{path}/status");
    let (status, ..) = coordinator.ask(node, Method::GET, &unknown, Vec::new()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let mut other = node.clone();
    other.incarnation = Incarnation::random();
    for (method, path) in [
        (Method::POST, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::GET, unknown),
        (Method::GET, format!("{path}/results/0/0/0")),
    ] {
        let (status, ..) = coordinator.ask(&other, method, &path, good_body.clone()).await;
        assert_eq!(status, StatusCode::CONFLICT, "{path}");
    }

    let mut no_output = good.clone();
    no_output.output.readers = 0;
    let mut too_much = good.clone();
    (too_much.output.partitions, too_much.output.readers) = (u32::MAX, u32::MAX);
    for body in [
        b"garbage".to_vec(),
        Vec::new(),
        serde_json::to_vec(&no_output).unwrap(),
        serde_json::to_vec(&too_much).unwrap(),
    ] {
        let (status, _, text) = coordinator.ask(node, Method::POST, &path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(String::from_utf8(text).unwrap().contains("task request"));
    }
    for path in ["/v1/task/nonsense", "/v1/task/q.1.2.3/results/x/0/0?max_wait_ms=0"] {
        let (status, ..) = coordinator.ask(node, Method::GET, path, Vec::new()).await;
        assert!(status.is_client_error(), "{path}: {status}");
    }
    // The answer comes before the body is sent, so the connection may break under it.
    match coordinator.send(node, Method::POST, &path, vec![b' '; 65 << 20]).await {
        Ok(response) => assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE),
        Err(error) => assert!(matches!(error, OutboundError::Reset { .. }), "{error}"),
    }

    // The worker has survived all that.
    assert_eq!(coordinator.create(node, &attempt, &good).await.state, TaskState::Running);
    coordinator.abort(node, &attempt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_none_fails_its_task_alone() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let good = request(&plan("SELECT 1 AS one").await, 1);
    let healthy = attempt();
    coordinator.create(&worker.node, &healthy, &good).await;

    let mut cases = Vec::new();
    for plan in
        [b"this is not a plan".to_vec(), Vec::new(), good.plan[..good.plan.len() / 2].to_vec()]
    {
        let mut bad = good.clone();
        bad.plan = plan;
        cases.push(bad);
    }
    let mut partitions = good.clone();
    partitions.output.partitions = 5;
    cases.push(partitions);
    let mut setting = good.clone();
    setting.session.settings = vec![("no.such.setting".into(), "1".into())];
    cases.push(setting);
    for bad in cases {
        let attempt = attempt();
        coordinator.create(&worker.node, &attempt, &bad).await;
        let done = coordinator.done(&worker.node, &attempt).await;
        assert_eq!(done.state, TaskState::Failed);
        let failure = done.failure.unwrap();
        assert!(failure.message.len() > 10, "{failure}");
        assert_eq!(failure.node.as_ref(), Some(&worker.node.node_id));
    }
    let status = coordinator.status(&worker.node, &healthy, 0, Duration::ZERO).await;
    assert_eq!(status.state, TaskState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_poll_is_held_until_the_state_changes() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let attempt = attempt();
    let request = request(&plan("SELECT value FROM generate_series(1, 1000000000)").await, 1);
    coordinator.create(&worker.node, &attempt, &request).await;
    let start = Instant::now();
    let same = coordinator.status(&worker.node, &attempt, 1, Duration::from_millis(300)).await;
    assert_eq!((same.state, same.version), (TaskState::Running, 1));
    assert!(start.elapsed() >= Duration::from_millis(300));
    let at_once = coordinator.status(&worker.node, &attempt, 0, Duration::from_secs(5)).await;
    assert_eq!(at_once.version, 1);

    let start = Instant::now();
    let abort = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        coordinator.abort(&worker.node, &attempt).await;
    };
    let poll = coordinator.status(&worker.node, &attempt, 1, Duration::from_secs(5));
    let (changed, ()) = tokio::join!(poll, abort);
    assert_eq!((changed.state, changed.version), (TaskState::Aborted, 2));
    assert!(start.elapsed() < Duration::from_secs(2));
    worker.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_gives_the_memory_back() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let attempt = attempt();
    let request = request(&plan(SORT).await, 1);
    coordinator.create(&worker.node, &attempt, &request).await;
    while worker.engine.memory_reserved() < 10_000_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    coordinator.abort(&worker.node, &attempt).await;
    assert_eq!(worker.running.running_tasks(), 0);
    worker.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_coordinator_is_silent_is_aborted() {
    let worker = Worker::start("w1", Duration::from_millis(600)).await;
    let coordinator = Caller::new(Role::Coordinator);
    let (silent, polled) = (attempt(), attempt());
    let request = request(&plan(SORT).await, 1);
    coordinator.create(&worker.node, &silent, &request).await;
    coordinator.create(&worker.node, &polled, &request).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        let status = coordinator.status(&worker.node, &polled, 1, Duration::from_millis(200)).await;
        assert_eq!(status.state, TaskState::Running);
    }
    let status = coordinator.status(&worker.node, &silent, 0, Duration::ZERO).await;
    assert_eq!(status.state, TaskState::Aborted);
    assert_eq!(status.failure.unwrap().code, ErrorCode::ABANDONED_TASK);
    // Nobody polls the other any more.
    worker.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_may_come_before_the_task() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let attempt = attempt();
    let path = format!("/v1/task/{attempt}/results/0/0/0");
    let early = format!("{path}?max_wait_ms=50");
    let (status, headers, body) =
        coordinator.ask(&worker.node, Method::GET, &early, Vec::new()).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert_eq!(header(&headers, NEXT_TOKEN_HEADER), "0");
    assert_eq!(header(&headers, COMPLETE_HEADER), "false");

    let request = request(&plan("SELECT 1 AS one").await, 1);
    let create = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        coordinator.create(&worker.node, &attempt, &request).await;
    };
    let held = format!("{path}?max_wait_ms=5000");
    let read = coordinator.ask(&worker.node, Method::GET, &held, Vec::new());
    let ((status, headers, body), ()) = tokio::join!(read, create);
    assert_eq!(status, StatusCode::OK);
    assert!(!body.is_empty());
    assert_eq!(header(&headers, NEXT_TOKEN_HEADER), "1");
    let rest = format!("/v1/task/{attempt}/results/0/0/1?max_wait_ms=5000");
    let (_, headers, _) = coordinator.ask(&worker.node, Method::GET, &rest, Vec::new()).await;
    assert_eq!(header(&headers, COMPLETE_HEADER), "true");
    let reader = format!("/v1/task/{attempt}/results/0/0");
    let (status, ..) = coordinator.ask(&worker.node, Method::DELETE, &reader, Vec::new()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(coordinator.done(&worker.node, &attempt).await.state, TaskState::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_coordinator_creates_and_aborts_tasks() {
    let worker = Worker::start("w1", LONG).await;
    let attempt = attempt();
    let path = format!("/v1/task/{attempt}");
    let body = serde_json::to_vec(&request(&plan("SELECT 1 AS one").await, 1)).unwrap();
    for role in [Role::Worker, Role::Operator, Role::Discovery] {
        let caller = Caller::new(role);
        let (status, ..) = caller.ask(&worker.node, Method::POST, &path, body.clone()).await;
        assert!(matches!(status.as_u16(), 401 | 403), "{role}: {status}");
        let results = format!("{path}/results/0/0/0");
        let (status, ..) = caller.ask(&worker.node, Method::GET, &results, Vec::new()).await;
        let reads = role == Role::Worker;
        assert_eq!(status == StatusCode::OK, reads, "{role}: {status}");
        let (status, ..) = caller.ask(&worker.node, Method::DELETE, &path, Vec::new()).await;
        assert!(matches!(status.as_u16(), 401 | 403), "{role}: {status}");
    }
    assert_eq!(worker.running.running_tasks(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_fails_its_tasks_by_name() {
    let worker = Worker::start("w7", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let attempt = attempt();
    let request = request(&plan("SELECT value FROM generate_series(1, 1000000000)").await, 1);
    coordinator.create(&worker.node, &attempt, &request).await;
    let node = worker.node.clone();
    let poll = coordinator.status(&node, &attempt, 1, Duration::from_secs(5));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        worker.running.shutdown().await;
    };
    let (status, ()) = tokio::join!(poll, stop);
    let failure = status.failure.unwrap();
    assert_eq!(failure.code, ErrorCode::SERVER_SHUTTING_DOWN);
    assert!(failure.message.contains("w7"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_worker_finishes_its_tasks_and_takes_no_more() {
    let worker = Worker::start("w1", LONG).await;
    let (coordinator, operator) = (Caller::new(Role::Coordinator), Caller::new(Role::Operator));
    let plan = plan("SELECT value FROM generate_series(1, 2000000)").await;
    let (first, refused) = (attempt(), attempt());
    coordinator.create(&worker.node, &first, &request(&plan, 1)).await;
    let change = async |state: &str| {
        let body = format!("\"{state}\"").into_bytes();
        let path = "/v1/info/state";
        let (status, _, body) = operator.ask(&worker.node, Method::PUT, path, body).await;
        assert_eq!(status, StatusCode::OK);
        String::from_utf8(body).unwrap()
    };
    assert_eq!(change("DRAINING").await, "\"DRAINING\"");

    let body = serde_json::to_vec(&request(&plan, 1)).unwrap();
    let path = format!("/v1/task/{refused}");
    let (status, _, text) = coordinator.ask(&worker.node, Method::POST, &path, body.clone()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("w1") && text.contains("DRAINING"), "{text}");
    // Creating one that is there already changes nothing, as ever.
    let again = coordinator.create(&worker.node, &first, &request(&plan, 1)).await;
    assert_eq!(again.state, TaskState::Running);

    assert_eq!(worker.lifecycle.state(), NodeState::Draining);
    let producers = [Producer { attempt: first.clone(), node: worker.node.clone() }];
    let mut batches = coordinator.read(&producers, 0, 0, plan.schema());
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows, 2_000_000);
    assert_eq!(coordinator.done(&worker.node, &first).await.state, TaskState::Finished);
    worker.becomes(NodeState::Drained).await;
    assert_eq!(change("ACTIVE").await, "\"ACTIVE\"");
    let created = coordinator.create(&worker.node, &refused, &request(&plan, 1)).await;
    assert_eq!(created.state, TaskState::Running);
    coordinator.abort(&worker.node, &refused).await;
    worker.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_task_and_one_that_never_was_hold_up_no_draining() {
    let worker = Worker::start("w1", LONG).await;
    let coordinator = Caller::new(Role::Coordinator);
    let (running, never) = (attempt(), attempt());
    coordinator.create(&worker.node, &running, &request(&plan(SORT).await, 1)).await;
    coordinator.abort(&worker.node, &never).await;
    assert_eq!(worker.lifecycle.change(NodeState::Draining), Ok(NodeState::Draining));
    coordinator.abort(&worker.node, &running).await;
    worker.becomes(NodeState::Drained).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_changes_the_state() {
    let worker = Worker::start("w1", LONG).await;
    for role in [Role::Coordinator, Role::Worker, Role::Discovery] {
        let caller = Caller::new(role);
        let body = b"\"DRAINING\"".to_vec();
        let (status, _, text) = caller.ask(&worker.node, Method::PUT, "/v1/info/state", body).await;
        assert!(matches!(status.as_u16(), 401 | 403), "{role}: {status}");
        assert!(!text.is_empty(), "{role}");
    }
    assert_eq!(worker.lifecycle.state(), NodeState::Active);
}
