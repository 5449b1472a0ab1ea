//! Calls that are dropped, tasks that are cancelled, calls that wait for each other.

use std::future::pending;

use exchange_retry::{Attempt, Call, Class, Error, ExchangeRetryLayer, Limits};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::script::{Broken, Job, Says, Stage, answer, dropped, settle, won};

#[tokio::test(start_paused = true)]
async fn dropped_call_drops_its_attempts_and_the_next_one_has_the_next_number() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let (_, mut first) = stage.started().await.on("a");
    stage.job.0.straggling(0);
    let mut hedge = stage.started().await;
    call.abort();
    dropped(&mut first).await;
    dropped(&mut hedge.answer).await;
    assert!(call.await.unwrap_err().is_cancelled());
    let call = stage.call();
    stage.started().await.end("a", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(2, "rows"));
    assert_eq!(stage.numbered(), 3);
}

#[tokio::test(start_paused = true)]
async fn call_dropped_in_a_pause_or_while_the_spool_is_asked_starts_nothing_more() {
    for class in [Class::Internal, Class::NodeLost] {
        let mut stage = Stage::new(Limits::default(), &[Says::Nothing]);
        let call = stage.call();
        stage.started().await.end("a", Err(Broken(class, 0)));
        settle().await;
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        settle().await;
        assert_eq!(stage.numbered(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn answered_call_does_not_cancel_the_task() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    stage.started().await.end("a", Ok("damaged"));
    assert_eq!(answer(call).await.unwrap(), won(0, "damaged"));
    let call = stage.call_condemning(&[0]);
    stage.started().await.end("a", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(1, "rows"));
}

#[tokio::test(start_paused = true)]
async fn cancelled_task_answers_its_running_call() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let (_, mut first) = stage.started().await.on("a");
    stage.job.0.cancel();
    dropped(&mut first).await;
    assert!(matches!(answer(call).await, Err(Error::Cancelled)));
    assert!(matches!(answer(stage.call()).await, Err(Error::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn task_cancelled_before_its_first_call_never_runs() {
    let stage = Stage::new(Limits::default(), &[]);
    stage.job.0.cancel();
    assert!(matches!(answer(stage.call()).await, Err(Error::Cancelled)));
    assert_eq!(stage.numbered(), 0);
}

#[tokio::test(start_paused = true)]
async fn task_cancelled_between_two_calls_does_not_run_again() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    stage.started().await.end("a", Ok("damaged"));
    answer(call).await.unwrap();
    stage.job.0.cancel();
    assert!(matches!(answer(stage.call_condemning(&[0])).await, Err(Error::Cancelled)));
    assert_eq!(stage.numbered(), 1);
}

/// Cancels its task when it is dropped: that is in the middle of the call's end.
struct CancelOnDrop(Job);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn task_cancelled_while_its_call_is_answered_stays_cancelled() {
    let stage = Stage::new(Limits::default(), &[]);
    let inner = service_fn(|attempt: Attempt<Job>| async move {
        let (hedge, task) = (attempt.hedge, attempt.task);
        attempt.placed.on("a");
        if hedge {
            return Ok::<_, Broken>("rows");
        }
        let _cancels = CancelOnDrop(task.clone());
        task.0.straggling(attempt.number);
        pending().await
    });
    let service = ExchangeRetryLayer::new(stage.storage.clone()).layer(inner);
    let call = tokio::spawn(service.clone().oneshot(Call::new(stage.job.clone())));
    assert_eq!(answer(call).await.unwrap(), won(1, "rows"));
    let call = Call { task: stage.job.clone(), condemned: vec![1] };
    assert!(matches!(service.oneshot(call).await, Err(Error::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn second_call_waits_for_the_first_and_gets_the_same_winner() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let calls = [stage.call(), stage.call()];
    let first = stage.started().await;
    assert!(stage.starts_nothing().await);
    first.end("a", Ok("rows"));
    for call in calls {
        assert_eq!(answer(call).await.unwrap(), won(0, "rows"));
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_that_waits_for_its_turn_cancels_nothing() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let first = stage.started().await;
    let waits = stage.call();
    settle().await;
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    first.end("a", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(0, "rows"));
}

#[tokio::test(start_paused = true)]
async fn future_that_was_never_polled_cancels_nothing() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let mut service = stage.service.clone();
    drop(service.ready().await.unwrap().call(Call::new(stage.job.clone())));
    let call = stage.call();
    stage.started().await.end("a", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(0, "rows"));
}
