//! What each kind of failure costs, and pauses.

use std::time::Duration;

use attempts::{Action, Class, Event, GaveUp, Limits, Outcome};

use crate::task::{Task, hedged, running, want, wanted};

#[test]
fn user_error_is_never_retried_not_even_by_a_later_call() {
    let mut task = running(Limits::default());
    let answer = Action::Answer(Outcome::GaveUp { attempt: 0, why: GaveUp::UserError });
    assert_eq!(task.fail(0, Class::User), std::slice::from_ref(&answer));
    assert_eq!(task.call(), std::slice::from_ref(&answer));
    assert_eq!(task.call_condemning(&[0]), [answer]);
    assert_eq!(task.attempts.numbered(), 1);
}

#[test]
fn user_error_of_one_attempt_ends_the_other() {
    let mut task = hedged(Limits::default());
    let answer = Action::Answer(Outcome::GaveUp { attempt: 1, why: GaveUp::UserError });
    assert_eq!(task.fail(1, Class::User), [Action::Abort { attempt: 0 }, answer]);
}

#[test]
fn lost_input_ends_the_call_and_counts_nothing() {
    let mut task = hedged(Limits { retries: 0, ..Limits::default() });
    let answer = Action::Answer(Outcome::InputLost { attempt: 0 });
    assert_eq!(task.fail(0, Class::InputLost), [Action::Abort { attempt: 1 }, answer]);
    assert_eq!(task.attempts.failures(), 0);
    let (_, avoid) = want(&task.call());
    assert_eq!(avoid, Vec::<&str>::new(), "the node is not to blame");
}

#[test]
fn abandoned_attempts_count_nothing_and_run_again_at_once() {
    let mut task = running(Limits { retries: 0, ..Limits::default() });
    for attempt in 0..20 {
        assert_eq!(wanted(&task.fail(attempt, Class::Abandoned)), [attempt + 1]);
    }
    assert_eq!((task.attempts.failures(), task.attempts.losses()), (0, 0));
}

#[test]
fn internal_and_external_failures_count_wait_and_avoid_the_node() {
    for class in [Class::Internal, Class::External] {
        let mut task = running(Limits::default());
        let pause = task.fail(0, class);
        assert_eq!(task.attempts.failures(), 1);
        let started = task.now;
        let again = task.wait(&pause);
        assert_eq!(want(&again).1, ["a"]);
        let waited = task.now - started;
        assert!(waited > Duration::ZERO && waited < Duration::from_millis(100), "{waited:?}");
        assert_eq!(task.attempts.backed_off(), waited);
    }
}

#[test]
fn node_that_failed_last_is_avoided_most() {
    let mut task = running(Limits::default());
    assert_eq!(task.retry(0, Class::Internal, "b"), 1);
    assert_eq!(task.retry(1, Class::Internal, "a"), 2);
    let pause = task.fail(2, Class::Internal);
    assert_eq!(want(&task.wait(&pause)).1, ["b", "a"]);
}

#[test]
fn exactly_the_first_run_and_its_retries_are_made() {
    for retries in [0, 1, 4] {
        let mut task = running(Limits { retries, ..Limits::default() });
        for attempt in 0..retries {
            assert_eq!(task.retry(attempt, Class::External, "a"), attempt + 1);
        }
        let why = GaveUp::AttemptsExhausted;
        let answer = Action::Answer(Outcome::GaveUp { attempt: retries, why });
        assert_eq!(task.fail(retries, Class::External), std::slice::from_ref(&answer));
        assert_eq!(task.call(), [answer]);
        assert_eq!(task.attempts.numbered(), retries + 1);
    }
}

#[test]
fn failures_of_an_earlier_call_still_count() {
    let mut task = running(Limits { retries: 1, ..Limits::default() });
    task.retry(0, Class::Internal, "a");
    task.commit(1);
    task.call_condemning(&[1]);
    let why = GaveUp::AttemptsExhausted;
    let answer = Action::Answer(Outcome::GaveUp { attempt: 2, why });
    assert_eq!(task.fail(2, Class::Internal), [answer]);
}

/// The pauses of a task that fails `retries` times.
fn pauses(seed: u64, retries: u32) -> Vec<Duration> {
    let mut task = Task::new(Limits { retries, ..Limits::default() }, seed);
    task.call();
    let pauses = (0..retries).map(|attempt| {
        let started = task.now;
        let pause = task.fail(attempt, Class::Internal);
        assert_eq!(wanted(&task.wait(&pause)), [attempt + 1]);
        task.now - started
    });
    pauses.collect()
}

#[test]
fn pauses_are_spread_over_a_range_that_doubles_with_each_failure() {
    let mut longest = [Duration::ZERO; 12];
    let mut shortest = [Duration::MAX; 12];
    for seed in 0..400 {
        for (failure, pause) in pauses(seed, 12).into_iter().enumerate() {
            longest[failure] = longest[failure].max(pause);
            shortest[failure] = shortest[failure].min(pause);
        }
    }
    for (failure, (longest, shortest)) in longest.into_iter().zip(shortest).enumerate() {
        let limit = Duration::from_millis(100 << failure).min(Duration::from_secs(60));
        assert!(longest < limit && longest > limit * 9 / 10, "{failure}: {longest:?}");
        assert!(shortest < limit / 10, "{failure}: {shortest:?}");
    }
}

#[test]
fn pauses_depend_on_the_seed_alone() {
    assert_eq!(pauses(7, 4), pauses(7, 4));
    assert_ne!(pauses(7, 4), pauses(8, 4));
}

#[test]
fn timer_that_goes_off_early_starts_nothing_and_is_asked_for_again() {
    let mut task = running(Limits::default());
    let pause = task.fail(0, Class::Internal);
    assert_eq!(task.on(Event::TimeCame), pause);
    assert_eq!(wanted(&task.wait(&pause)), [1]);
    assert_eq!(task.on(Event::TimeCame), []);
}

#[test]
fn failure_without_a_delay_runs_again_without_a_timer() {
    let mut task = running(Limits { initial_delay: Duration::ZERO, ..Limits::default() });
    assert_eq!(wanted(&task.fail(0, Class::Internal)), [1]);
}
