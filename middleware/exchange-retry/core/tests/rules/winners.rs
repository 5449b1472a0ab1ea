//! Numbers, winners, condemned outputs, calls and their end.

use attempts::{Action, Class, Event, GaveUp, Limits, Outcome};

use crate::task::{Task, committed, hedged, running, wanted};

#[test]
fn numbers_go_on_after_failures_lost_inputs_lost_outputs_and_hedges() {
    let mut task = running(Limits::default());
    assert_eq!(task.retry(0, Class::InsufficientResources, "a"), 1);
    task.fail(1, Class::InputLost);
    assert_eq!(wanted(&task.call()), [2]);
    task.place(2, "a");
    assert_eq!(wanted(&task.straggle(2)), [3]);
    task.commit(2);
    assert_eq!(wanted(&task.call_condemning(&[2])), [4]);
    assert_eq!(task.attempts.numbered(), 5);
}

#[test]
fn first_winner_stays_and_a_later_one_is_discarded() {
    let mut task = hedged(Limits::default());
    assert_eq!(task.commit(1), [Action::Abort { attempt: 0 }, committed(1)]);
    assert_eq!(task.commit(0), []);
    assert_eq!(task.attempts.winner(), Some(1));
}

#[test]
fn win_withdraws_the_attempt_that_waits_for_a_place() {
    let mut task = running(Limits::default());
    task.straggle(0);
    assert_eq!(task.commit(0), [Action::Withdraw { attempt: 1 }, committed(0)]);
    // The grant was on its way: the place must not be lost.
    let crossed = task.on(Event::Placed { attempt: 1, node: "b" });
    assert_eq!(crossed, [Action::Abort { attempt: 1 }]);
}

#[test]
fn commit_counts_even_if_the_grant_was_never_heard_of() {
    let mut task = Task::new(Limits::default(), 1);
    task.call();
    assert_eq!(task.commit(0), [committed(0)]);
}

#[test]
fn call_with_a_winner_is_answered_without_a_run() {
    let mut task = running(Limits::default());
    task.retry(0, Class::InsufficientResources, "a");
    task.commit(1);
    assert_eq!(task.call(), [committed(1)]);
    assert_eq!(task.call_condemning(&[0]), [committed(1)]);
    assert_eq!(task.attempts.numbered(), 2);
}

#[test]
fn condemned_winner_is_dropped_and_the_task_runs_again() {
    let mut task = running(Limits::default());
    task.commit(0);
    assert_eq!(wanted(&task.call_condemning(&[0])), [1]);
    assert_eq!(task.attempts.winner(), None);
    assert_eq!(Vec::from_iter(task.attempts.condemned()), [&0]);
    assert_eq!(task.commit(1), [committed(1)]);
}

#[test]
fn condemned_attempt_never_wins_again() {
    let mut task = running(Limits::default());
    task.commit(0);
    task.call_condemning(&[0]);
    assert_eq!(task.commit(0), []);
    assert_eq!(task.spool(0, Some(true)), []);
    assert_eq!(task.attempts.winner(), None);
    task.commit(1);
    assert_eq!(task.call(), [committed(1)]);
}

#[test]
fn attempt_condemned_while_it_lives_is_replaced_at_once() {
    let mut task = running(Limits::default());
    let actions = task.call_condemning(&[0]);
    assert_eq!(actions[0], Action::Abort { attempt: 0 });
    assert_eq!(wanted(&actions), [1]);
    assert_eq!(task.commit(0), []);
    task.place(1, "a");

    task.fail(1, Class::NodeLost);
    let actions = task.call_condemning(&[1]);
    assert_eq!(actions[0], Action::Abort { attempt: 1 });
    assert_eq!(task.spool(1, Some(true)), []);
    assert_eq!((wanted(&actions), task.attempts.failures()), (vec![2], 0));
}

#[test]
fn condemning_a_number_before_it_is_given_out_does_not_spoil_it() {
    let mut task = running(Limits::default());
    task.commit(0);
    assert_eq!(wanted(&task.call_condemning(&[0, 1])), [1]);
    assert_eq!(task.commit(1), [committed(1)]);
    assert_eq!(task.call(), [committed(1)]);
}

#[test]
fn second_call_while_one_is_open_starts_nothing_and_is_not_answered_apart() {
    let mut task = running(Limits::default());
    assert_eq!(task.call(), []);
    assert_eq!(task.commit(0), [committed(0)]);
}

#[test]
fn condemning_the_last_hope_of_an_open_call_answers_it_once() {
    let mut task = hedged(Limits { retries: 0, ..Limits::default() });
    assert_eq!(task.fail(0, Class::Internal), []);
    let why = GaveUp::AttemptsExhausted;
    let answer = Action::Answer(Outcome::GaveUp { attempt: 1, why });
    assert_eq!(task.call_condemning(&[1]), [Action::Abort { attempt: 1 }, answer]);
}

#[test]
fn events_of_attempts_that_are_not_live_change_nothing() {
    let mut task = running(Limits::default());
    task.retry(0, Class::InsufficientResources, "b");
    let before = format!("{:?}", task.attempts);
    for attempt in [0, 7] {
        let mut events = vec![
            Event::Committed { attempt },
            Event::Straggling { attempt },
            Event::Placed { attempt, node: "c" },
        ];
        for class in [Class::User, Class::Internal, Class::InputLost, Class::NodeLost] {
            events.push(Event::Failed { attempt, class, peak_memory: 1 << 40 });
        }
        for committed in [Some(true), Some(false), None] {
            events.push(Event::SpoolAnswered { attempt, committed });
        }
        for event in events {
            let actions = task.on(event.clone());
            let harmless = actions.iter().all(|action| *action == Action::Abort { attempt });
            assert!(harmless && actions.len() <= 1, "{event:?} {actions:?}");
        }
    }
    // Told twice, or answered without a question.
    assert_eq!(task.on(Event::Placed { attempt: 1, node: "c" }), []);
    assert_eq!(task.spool(1, Some(true)), []);
    assert_eq!(task.spool(1, Some(false)), []);
    assert_eq!(format!("{:?}", task.attempts), before);
}

#[test]
fn dropped_call_is_not_answered_and_the_next_one_goes_on_with_the_next_number() {
    let mut task = running(Limits::default());
    task.straggle(0);
    let gone = [Action::Abort { attempt: 0 }, Action::Withdraw { attempt: 1 }];
    assert_eq!(task.on(Event::Dropped), gone);
    assert_eq!(task.on(Event::Dropped), []);
    assert_eq!(task.commit(0), [], "nobody waits for it");
    assert_eq!(task.attempts.failures(), 0);
    assert_eq!(wanted(&task.call()), [2]);

    let pause = task.fail(2, Class::Internal);
    assert_eq!(task.on(Event::Dropped), []);
    assert_eq!(task.wait(&pause), [], "its pause is over too");
    assert_eq!(wanted(&task.call()), [3]);
    assert_eq!(task.commit(3), [committed(3)]);
    assert_eq!(task.on(Event::Dropped), []);
    assert_eq!(task.call(), [committed(3)]);
}

#[test]
fn dropped_call_does_not_bring_back_a_task_that_has_ended() {
    let mut task = running(Limits::default());
    let answer = task.fail(0, Class::User);
    assert_eq!(task.on(Event::Dropped), []);
    assert_eq!(task.call(), answer);
    task.on(Event::Cancelled);
    assert_eq!(task.on(Event::Dropped), []);
    assert_eq!(task.call(), [Action::Answer(Outcome::Cancelled)]);
}

#[test]
fn nothing_starts_after_the_task_was_cancelled() {
    let mut task = running(Limits::default());
    task.straggle(0);
    let gone = [
        Action::Abort { attempt: 0 },
        Action::Withdraw { attempt: 1 },
        Action::Answer(Outcome::Cancelled),
    ];
    assert_eq!(task.on(Event::Cancelled), gone);
    assert_eq!(task.on(Event::Cancelled), []);
    assert_eq!(task.fail(0, Class::Abandoned), []);
    assert_eq!(task.commit(0), []);
    assert_eq!(task.call(), [Action::Answer(Outcome::Cancelled)]);
    assert_eq!(task.attempts.numbered(), 2);
}

#[test]
fn pause_ends_when_the_task_is_cancelled() {
    let mut task = running(Limits::default());
    let pause = task.fail(0, Class::Internal);
    assert_eq!(task.on(Event::Cancelled), [Action::Answer(Outcome::Cancelled)]);
    assert_eq!(task.wait(&pause), []);
}

#[test]
fn output_is_still_told_after_the_task_was_cancelled() {
    let mut task = running(Limits::default());
    task.commit(0);
    assert_eq!(task.on(Event::Cancelled), []);
    assert_eq!(task.call(), [committed(0)]);
    assert_eq!(task.call_condemning(&[0]), [Action::Answer(Outcome::Cancelled)]);
}
