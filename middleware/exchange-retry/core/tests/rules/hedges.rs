//! Hedges.

use attempts::{Action, Class, Event, GaveUp, Limits, MemoryGrowth, Outcome};

use crate::task::{Task, committed, hedged, running, wanted};

#[test]
fn hedge_starts_only_when_the_first_attempt_has_its_place() {
    let mut task = Task::new(Limits::default(), 1);
    task.call();
    assert_eq!(task.straggle(0), []);
    task.place(0, "a");
    let [Action::Want { attempt: 1, avoid, hedge: true, .. }] = &task.straggle(0)[..] else {
        panic!();
    };
    assert_eq!(avoid, &["a"], "beside the slow one it would be slow too");
}

#[test]
fn hedge_starts_only_where_it_is_allowed() {
    let mut task = running(Limits { hedge: false, ..Limits::default() });
    assert_eq!(task.straggle(0), []);
}

#[test]
fn second_hedge_does_not_start_while_one_lives_or_after_it() {
    let mut task = hedged(Limits::default());
    assert_eq!(task.straggle(0), []);
    assert_eq!(task.straggle(1), []);
    task.fail(1, Class::Internal);
    assert_eq!(task.straggle(0), []);
    assert_eq!(task.attempts.numbered(), 2);
}

#[test]
fn hedge_left_alone_is_not_hedged() {
    let mut task = hedged(Limits::default());
    task.fail(0, Class::Internal);
    assert_eq!(task.straggle(1), []);
}

#[test]
fn attempt_after_a_hedged_one_may_be_hedged_again() {
    let mut task = hedged(Limits::default());
    task.fail(1, Class::Abandoned);
    assert_eq!(task.retry(0, Class::Abandoned, "c"), 2);
    assert_eq!(wanted(&task.straggle(2)), [3]);
}

#[test]
fn attempt_that_the_spool_is_asked_for_is_not_hedged() {
    let mut task = running(Limits::default());
    task.fail(0, Class::NodeLost);
    assert_eq!(task.straggle(0), []);
}

#[test]
fn failure_of_one_of_two_attempts_does_not_start_a_third() {
    for (one, other) in [(0, 1), (1, 0)] {
        for class in [Class::Internal, Class::InsufficientResources, Class::Abandoned] {
            let mut task = hedged(Limits::default());
            assert_eq!(task.fail(one, class), []);
            assert_eq!(task.commit(other), [committed(other)]);
        }
        let mut task = hedged(Limits::default());
        assert_eq!(task.lose(one), []);
        assert_eq!(task.commit(other), [committed(other)]);
    }
}

#[test]
fn task_runs_again_when_both_attempts_have_ended() {
    let mut task = hedged(Limits::default());
    assert_eq!(task.lose(0), []);
    let Action::Want { attempt: 2, avoid, hedge: false, .. } = &task.lose(1)[0] else { panic!() };
    assert_eq!(avoid, &["a", "b"]);

    let mut task = hedged(Limits::default());
    assert_eq!(task.fail(0, Class::Abandoned), []);
    let pause = task.fail(1, Class::Internal);
    assert_eq!(wanted(&task.wait(&pause)), [2], "the last one to end decides about the pause");
}

#[test]
fn lost_attempt_is_waited_for_when_the_other_fails() {
    let mut task = hedged(Limits::default());
    assert_eq!(task.fail(0, Class::NodeLost), [Action::AskSpool { attempt: 0 }]);
    assert_eq!(task.fail(1, Class::Internal), []);
    assert_eq!(task.spool(0, Some(true)), [committed(0)]);
}

#[test]
fn failures_of_hedges_do_not_count() {
    let classes =
        [Class::Internal, Class::External, Class::InsufficientResources, Class::Abandoned];
    for class in classes {
        let mut task = hedged(Limits { retries: 0, ..Limits::default() });
        assert_eq!(task.fail(1, class), []);
        assert_eq!(task.attempts.failures(), 0);
        assert_eq!(wanted(&task.fail(0, Class::Abandoned)), [2]);
    }
    let mut task = hedged(Limits { retries: 0, losses_free: 0, ..Limits::default() });
    assert_eq!(task.lose(1), []);
    assert_eq!((task.attempts.failures(), task.attempts.losses()), (0, 1));
}

#[test]
fn exhausted_task_waits_for_its_hedge() {
    let mut task = hedged(Limits { retries: 0, ..Limits::default() });
    assert_eq!(task.fail(0, Class::Internal), []);
    assert_eq!(task.commit(1), [committed(1)]);

    let mut task = hedged(Limits { retries: 0, ..Limits::default() });
    task.fail(0, Class::Internal);
    let why = GaveUp::AttemptsExhausted;
    let answer = Action::Answer(Outcome::GaveUp { attempt: 1, why });
    assert_eq!(task.fail(1, Class::Abandoned), [answer]);
}

#[test]
fn task_that_its_hedge_saved_can_run_again_when_that_output_is_lost() {
    for class in [Class::Internal, Class::InsufficientResources] {
        let memory = MemoryGrowth { initial: 10, factor: 3.0, whole_node: 10 };
        let mut task = hedged(Limits { retries: 0, memory, ..Limits::default() });
        task.fail(0, class);
        task.commit(1);
        assert_eq!(wanted(&task.call_condemning(&[1])), [2]);
        assert_eq!(wanted(&task.fail(2, Class::Abandoned)), [3]);
    }
}

#[test]
fn exhausted_task_whose_call_ended_with_its_hedge_alive_gives_up_at_the_next_call() {
    let why = GaveUp::AttemptsExhausted;
    let answer = Action::Answer(Outcome::GaveUp { attempt: 1, why });
    for dropped in [true, false] {
        let mut task = hedged(Limits { retries: 0, ..Limits::default() });
        task.fail(0, Class::Internal);
        if dropped {
            assert_eq!(task.on(Event::Dropped), [Action::Abort { attempt: 1 }]);
        } else {
            task.fail(1, Class::InputLost);
        }
        assert_eq!(task.call(), std::slice::from_ref(&answer));
        assert_eq!(task.call(), std::slice::from_ref(&answer));
    }
}

#[test]
fn hedge_without_a_place_gives_way_to_a_first_attempt_when_the_first_ends() {
    let mut task = running(Limits::default());
    task.straggle(0);
    let actions = task.fail(0, Class::Abandoned);
    let [Action::Withdraw { attempt: 1 }, Action::Want { attempt: 2, hedge: false, .. }] =
        actions[..]
    else {
        panic!("{actions:?}");
    };
}

#[test]
fn hedge_keeps_waiting_while_the_spool_is_asked_for_the_first() {
    let mut task = running(Limits::default());
    task.straggle(0);
    assert_eq!(task.fail(0, Class::NodeLost), [Action::AskSpool { attempt: 0 }]);
    task.place(1, "b");
    assert_eq!(task.spool(0, Some(false)), []);
    assert_eq!(task.commit(1), [committed(1)]);
}
