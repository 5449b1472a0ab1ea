//! What runs again, and when.

use std::time::Duration;

use exchange_retry::{
    Call, Class, Error, ExchangeRetryLayer, GaveUp, Limits, MemoryGrowth, Placed,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::script::{Answer, Broken, Says, Stage, answer, dropped, settle, won};

#[tokio::test(start_paused = true)]
async fn failed_attempt_runs_again_elsewhere_after_its_pause() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let started = Instant::now();
    stage.started().await.end("a", Err(Broken(Class::Internal, 0)));
    assert!(stage.starts_nothing().await, "there is a pause");
    let second = stage.started().await;
    let paused = stage.job.0.read(|attempts| attempts.backed_off());
    let waited = started.elapsed();
    assert!(paused > Duration::ZERO && paused < Duration::from_millis(100), "{paused:?}");
    assert!(waited >= paused && waited - paused < Duration::from_millis(2), "{waited:?}");
    assert_eq!((second.attempt.number, &second.attempt.avoid[..]), (1, &["a"][..]));
    second.end("b", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(1, "rows"));
    assert!(stage.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn lost_answer_is_found_in_the_spool_and_nothing_runs_again() {
    let mut stage = Stage::new(Limits::default(), &[Says::Has("rows")]);
    let call = stage.call();
    stage.started().await.end("a", Err(Broken(Class::NodeLost, 0)));
    assert_eq!(answer(call).await.unwrap(), won(0, "rows"));
    assert_eq!((stage.numbered(), stage.asked()), (1, vec![0]));
    // The later call knows the output although no attempt ever told it.
    assert_eq!(answer(stage.call()).await.unwrap(), won(0, "rows"));
}

#[tokio::test(start_paused = true)]
async fn lost_output_runs_again_at_once_on_another_node() {
    let mut stage = Stage::new(Limits::default(), &[Says::Empty]);
    let call = stage.call();
    let started = Instant::now();
    stage.started().await.end("a", Err(Broken(Class::NodeLost, 0)));
    let second = stage.started().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(second.attempt.avoid, ["a"]);
    second.end("b", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(1, "rows"));
}

#[tokio::test(start_paused = true)]
async fn spool_that_cannot_be_asked_or_does_not_answer_is_asked_again() {
    let says = [Says::Unreachable, Says::Nothing, Says::Has("rows")];
    let mut stage = Stage::new(Limits::default(), &says);
    let call = stage.call();
    let started = Instant::now();
    stage.started().await.end("a", Err(Broken(Class::NodeLost, 0)));
    assert_eq!(answer(call).await.unwrap(), won(0, "rows"));
    assert_eq!((stage.numbered(), stage.asked()), (1, vec![0, 0, 0]));
    let waited = started.elapsed();
    let (shortest, longest) = (Duration::from_secs(5), Duration::from_millis(5_310));
    assert!(waited > shortest && waited < longest, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn question_takes_no_longer_than_the_layer_was_told() {
    let mut stage =
        Stage::new(Limits { spool_questions: 1, ..Limits::default() }, &[Says::Nothing]);
    let layer = ExchangeRetryLayer::new(stage.storage.clone());
    let inner = service_fn(|attempt: exchange_retry::Attempt<_>| async move {
        if attempt.number == 0 { Err(Broken(Class::NodeLost, 0)) } else { Ok("rows") }
    });
    let service = layer.question_timeout(Duration::from_millis(10)).layer(inner);
    let started = Instant::now();
    let winner = service.oneshot(Call::new(stage.job.clone())).await.unwrap();
    assert_eq!(winner, won(1, "rows"));
    assert!(started.elapsed() < Duration::from_millis(12));
    assert!(stage.starts_nothing().await);
}

#[tokio::test(start_paused = true)]
async fn place_that_is_told_in_the_moment_of_the_end_is_known() {
    let stage = Stage::new(Limits::default(), &[]);
    let inner = service_fn(|attempt: exchange_retry::Attempt<_>| async move {
        let node = if attempt.avoid == ["a"] { "b" } else { "a" };
        attempt.placed.on(node);
        if node == "a" { Err(Broken(Class::External, 0)) } else { Ok(node) }
    });
    let service = ExchangeRetryLayer::new(stage.storage.clone()).layer(inner);
    let winner = service.oneshot(Call::new(stage.job.clone())).await.unwrap();
    assert_eq!(winner, won(1, "b"));
}

#[tokio::test(start_paused = true)]
async fn lost_input_is_told_and_the_next_call_goes_on_with_the_next_number() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    stage.started().await.end("a", Err(Broken(Class::InputLost, 7)));
    let error = answer(call).await.unwrap_err();
    let Error::InputLost { attempt: 0, source: Broken(Class::InputLost, 7) } = error else {
        panic!("{error}");
    };
    let call = stage.call();
    let second = stage.started().await;
    assert_eq!(second.attempt.number, 1);
    second.end("a", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(1, "rows"));
}

#[tokio::test(start_paused = true)]
async fn condemned_output_is_made_again_and_the_new_one_is_kept() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    stage.started().await.end("a", Ok("damaged"));
    assert_eq!(answer(call).await.unwrap(), won(0, "damaged"));
    let call = stage.call_condemning(&[0]);
    stage.started().await.end("a", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(1, "rows"));
    assert_eq!(answer(stage.call()).await.unwrap(), won(1, "rows"));
    assert!(stage.starts_nothing().await);
}

#[tokio::test(start_paused = true)]
async fn hedge_wins_and_the_first_attempt_is_dropped() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let (_, mut slow) = stage.started().await.on("a");
    stage.job.0.straggling(0);
    let hedge = stage.started().await;
    assert!(hedge.attempt.hedge && hedge.attempt.avoid == ["a"]);
    settle().await;
    assert!(!slow.is_closed(), "both run");
    hedge.end("b", Ok("rows"));
    dropped(&mut slow).await;
    assert_eq!(answer(call).await.unwrap(), won(1, "rows"));
}

#[tokio::test(start_paused = true)]
async fn first_attempt_wins_and_the_hedge_that_waits_is_dropped() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let (_, slow) = stage.started().await.on("a");
    stage.job.0.straggling(0);
    let mut hedge = stage.started().await;
    slow.send(Ok("rows")).unwrap();
    dropped(&mut hedge.answer).await;
    assert_eq!(answer(call).await.unwrap(), won(0, "rows"));
    // Too late, and of no consequence.
    hedge.attempt.placed.on("b");
}

#[tokio::test(start_paused = true)]
async fn hedge_without_a_place_is_dropped_when_the_call_goes_on_without_it() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let (_, slow) = stage.started().await.on("a");
    stage.job.0.straggling(0);
    let mut hedge = stage.started().await;
    slow.send(Err(Broken(Class::Abandoned, 0))).unwrap();
    let third = stage.started().await;
    assert!(hedge.answer.is_closed() && third.attempt.number == 2);
    dropped(&mut hedge.answer).await;
    third.end("b", Ok("rows"));
    assert_eq!(answer(call).await.unwrap(), won(2, "rows"));
}

#[tokio::test(start_paused = true)]
async fn memory_that_an_attempt_held_decides_what_the_next_one_gets() {
    let memory = MemoryGrowth { initial: 10, factor: 3.0, whole_node: 1_000 };
    let mut stage = Stage::new(Limits { memory, ..Limits::default() }, &[]);
    let _call = stage.call();
    let first = stage.started().await;
    assert_eq!(first.attempt.memory, 10);
    first.end("a", Err(Broken(Class::InsufficientResources, 20)));
    assert_eq!(stage.started().await.attempt.memory, 60);
}

#[tokio::test(start_paused = true)]
async fn both_attempts_commit_at_once_and_one_wins() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    let (_, first) = stage.started().await.on("a");
    stage.job.0.straggling(0);
    let hedge = stage.started().await;
    hedge.end("b", Ok("hedge's"));
    first.send(Ok("first's")).unwrap();
    assert_eq!(answer(call).await.unwrap(), won(0, "first's"));
    assert_eq!(answer(stage.call()).await.unwrap(), won(0, "first's"));
}

#[tokio::test(start_paused = true)]
async fn given_up_task_tells_its_last_failures() {
    let mut stage = Stage::new(Limits { retries: 7, ..Limits::default() }, &[]);
    let call = stage.call();
    for number in 0..8 {
        let class = if number == 3 { Class::External } else { Class::Internal };
        stage.started().await.end("a", Err(Broken(class, number)));
    }
    let error = answer(call).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the task is given up after attempt 7: its attempts are exhausted: Internal 7"
    );
    let Error::GaveUp { attempt: 7, why: GaveUp::AttemptsExhausted, last, earlier } = error else {
        panic!("{error}");
    };
    assert_eq!(last, Some(Broken(Class::Internal, 7)));
    let earlier: Vec<_> = earlier.iter().map(|failure| failure.attempt).collect();
    assert_eq!(earlier, [2, 3, 4, 5, 6]);

    let again = answer(stage.call()).await.unwrap_err();
    let Error::GaveUp { attempt: 7, why: GaveUp::AttemptsExhausted, last: None, .. } = again else {
        panic!("{again}");
    };
}

#[tokio::test(start_paused = true)]
async fn user_error_is_told_after_one_run() {
    let mut stage = Stage::new(Limits::default(), &[]);
    let call = stage.call();
    stage.started().await.end("a", Err(Broken(Class::User, 0)));
    let error = answer(call).await.unwrap_err();
    let Error::GaveUp { why: GaveUp::UserError, last: Some(_), .. } = error else {
        panic!("{error}");
    };
    assert_eq!(stage.numbered(), 1);
}

/// Never ready.
#[derive(Clone)]
struct Ended;

impl Service<exchange_retry::Attempt<crate::script::Job>> for Ended {
    type Response = &'static str;
    type Error = Broken;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Broken>> {
        std::task::Poll::Ready(Err(Broken(Class::Internal, 1)))
    }

    fn call(&mut self, _: exchange_retry::Attempt<crate::script::Job>) -> Self::Future {
        unreachable!("it was never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn service_that_has_ended_is_not_called() {
    let stage = Stage::new(Limits::default(), &[]);
    let service = ExchangeRetryLayer::new(stage.storage.clone()).layer(Ended);
    let error = service.oneshot(Call::new(stage.job.clone())).await.unwrap_err();
    assert!(matches!(error, Error::NotReady(Broken(Class::Internal, 1))), "{error}");
    assert_eq!(stage.numbered(), 0);
}

#[test]
fn inner_services_can_be_tested_without_the_layer() {
    let (told, heard) = std::sync::mpsc::channel();
    Placed::new(move |node| told.send(node).unwrap()).on("a");
    assert_eq!(heard.recv(), Ok("a"));
}
