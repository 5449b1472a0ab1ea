//! Attempts that ended without an answer, and the spool that may have it.

use std::time::Duration;

use attempts::{Action, Class, Event, GaveUp, Limits, Outcome};

use crate::task::{committed, hedged, running, want, wanted};

#[test]
fn spool_is_asked_before_anything_runs_again() {
    let mut task = running(Limits::default());
    assert_eq!(task.fail(0, Class::NodeLost), [Action::AskSpool { attempt: 0 }]);
    assert_eq!(task.attempts.numbered(), 1);
}

#[test]
fn output_that_the_spool_has_wins_and_nothing_was_lost() {
    let mut task = running(Limits::default());
    task.fail(0, Class::NodeLost);
    assert_eq!(task.spool(0, Some(true)), [committed(0)]);
    assert_eq!((task.attempts.losses(), task.attempts.numbered()), (0, 1));
}

#[test]
fn answer_that_comes_after_all_wins_while_the_spool_is_asked() {
    let mut task = running(Limits::default());
    task.fail(0, Class::NodeLost);
    assert_eq!(task.commit(0), [committed(0)]);
    assert_eq!(task.spool(0, Some(false)), []);
    assert_eq!(task.attempts.winner(), Some(0));
}

#[test]
fn second_end_of_an_attempt_is_ignored() {
    let mut task = running(Limits::default());
    task.fail(0, Class::NodeLost);
    for class in [Class::NodeLost, Class::Internal, Class::User, Class::InputLost] {
        assert_eq!(task.fail(0, class), []);
    }
    assert_eq!(task.spool(0, Some(true)), [committed(0)]);
}

#[test]
fn lost_nodes_are_avoided_at_once_and_the_first_two_count_nothing() {
    let mut task = running(Limits { retries: 0, ..Limits::default() });
    assert_eq!(want(&task.lose(0)).1, ["a"]);
    task.place(1, "b");
    assert_eq!(want(&task.lose(1)).1, ["a", "b"]);
    assert_eq!((task.attempts.failures(), task.attempts.losses()), (0, 2));
    assert_eq!(task.attempts.backed_off(), Duration::ZERO);

    task.place(2, "c");
    let why = GaveUp::AttemptsExhausted;
    let given_up = Action::Answer(Outcome::GaveUp { attempt: 2, why });
    assert_eq!(task.lose(2), [given_up]);
    assert_eq!((task.attempts.failures(), task.attempts.losses()), (1, 3));
}

#[test]
fn task_that_kills_nodes_counts_from_the_third_on_and_asks_for_more_memory() {
    let mut task = running(Limits::default());
    let initial = Limits::default().memory.initial;
    assert_eq!(want(&task.lose(0)).0, initial);
    assert_eq!(want(&task.lose(1)).0, initial);
    assert_eq!(want(&task.lose(2)).0, 3 * initial);
    assert_eq!(want(&task.lose(3)).0, 9 * initial);
    assert_eq!((task.attempts.failures(), task.attempts.losses()), (2, 4));
}

#[test]
fn node_that_is_heard_of_only_after_its_loss_is_avoided_too() {
    let mut task = running(Limits::default());
    task.lose(0);
    task.fail(1, Class::NodeLost);
    task.place(1, "b");
    assert_eq!(want(&task.spool(1, Some(false))).1, ["a", "b"]);
}

#[test]
fn silent_spool_is_asked_again_after_a_pause_and_then_believed_empty() {
    let limits = Limits { spool_questions: 3, ..Limits::default() };
    let mut task = running(limits);
    assert_eq!(task.fail(0, Class::NodeLost), [Action::AskSpool { attempt: 0 }]);
    let start = task.now;
    for longest in [100, 200] {
        let pause = task.spool(0, None);
        let asked_at = task.now;
        assert_eq!(task.spool(0, None), [], "an answer told twice asks only once");
        assert_eq!(task.wait(&pause), [Action::AskSpool { attempt: 0 }]);
        assert!(task.now - asked_at < Duration::from_millis(longest));
    }
    assert!(task.now > start);
    assert_eq!(task.attempts.numbered(), 1);
    assert_eq!(wanted(&task.spool(0, None)), [1]);
    assert_eq!(task.attempts.losses(), 1);
}

#[test]
fn spool_that_answers_at_the_second_question_is_believed() {
    let mut task = running(Limits::default());
    task.fail(0, Class::NodeLost);
    let pause = task.spool(0, None);
    task.wait(&pause);
    assert_eq!(task.spool(0, Some(true)), [committed(0)]);
}

#[test]
fn two_lost_attempts_wait_for_the_spool_each_at_its_own_moment() {
    let mut task = hedged(Limits::default());
    task.fail(0, Class::NodeLost);
    task.fail(1, Class::NodeLost);
    let [Action::WakeAt(first)] = task.spool(0, None)[..] else { panic!() };
    let moved = task.spool(1, None);
    let second = match moved[..] {
        [] => None,
        [Action::WakeAt(earlier)] => Some(earlier),
        _ => panic!("{moved:?}"),
    };
    assert!(second.is_none_or(|second| second < first), "the earliest moment is the one asked for");
    task.now = second.unwrap_or(first);
    let asked = task.on(Event::TimeCame);
    let [Action::AskSpool { .. }, Action::WakeAt(other)] = asked[..] else { panic!("{asked:?}") };
    task.now = other;
    assert!(matches!(task.on(Event::TimeCame)[..], [Action::AskSpool { .. }]));
    assert_eq!(task.spool(0, Some(false)), []);
    assert_eq!(wanted(&task.spool(1, Some(false))), [2]);
}
