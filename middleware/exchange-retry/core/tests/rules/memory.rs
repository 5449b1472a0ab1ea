//! How the demand for memory grows.

use std::time::Duration;

use attempts::{Action, Class, GaveUp, Limits, MemoryGrowth, Outcome};

use crate::task::{Task, hedged, running, want, wanted};

fn limits(retries: u32, whole_node: u64) -> Limits {
    let memory = MemoryGrowth { initial: 10, factor: 3.0, whole_node };
    Limits { retries, memory, ..Limits::default() }
}

#[test]
fn demand_grows_from_what_was_given_or_seen_and_there_is_no_pause() {
    let mut task = running(limits(4, 1_000));
    let class = Class::InsufficientResources;
    assert_eq!(want(&task.fail_with(0, class, 4)), (30, vec![]));
    assert_eq!(want(&task.fail_with(1, class, 50)), (150, vec![]));
    assert_eq!(task.attempts.failures(), 2);
    assert_eq!(task.attempts.backed_off(), Duration::ZERO);
}

#[test]
fn last_attempt_of_a_task_that_ran_out_of_memory_asks_for_a_whole_node() {
    let mut task = running(limits(2, 1_000));
    assert_eq!(want(&task.fail(0, Class::InsufficientResources)).0, 30);
    assert_eq!(want(&task.fail(1, Class::InsufficientResources)).0, 1_000);

    let mut task = running(limits(2, 1_000));
    task.retry(0, Class::InsufficientResources, "a");
    let pause = task.fail(1, Class::Internal);
    assert_eq!(want(&task.wait(&pause)).0, 1_000);
}

#[test]
fn task_that_never_lacked_memory_does_not_wait_for_a_whole_node() {
    let mut task = running(limits(1, 1_000));
    let pause = task.fail(0, Class::Internal);
    assert_eq!(want(&task.wait(&pause)).0, 10);
    let mut task = Task::new(limits(0, 1_000), 1);
    assert_eq!(want(&task.call()).0, 10);
}

#[test]
fn task_that_had_a_whole_node_gives_up_before_its_attempts_are_exhausted() {
    let mut task = running(limits(4, 60));
    assert_eq!(want(&task.fail(0, Class::InsufficientResources)).0, 30);
    assert_eq!(want(&task.fail(1, Class::InsufficientResources)).0, 60);
    let answer = Action::Answer(Outcome::GaveUp { attempt: 2, why: GaveUp::OutOfMemory });
    assert_eq!(task.fail(2, Class::InsufficientResources), std::slice::from_ref(&answer));
    assert_eq!(task.call(), [answer]);
}

#[test]
fn whole_node_that_fails_otherwise_is_tried_again() {
    let mut task = running(limits(4, 10));
    let pause = task.fail(0, Class::External);
    assert_eq!(want(&task.wait(&pause)).0, 10);
}

#[test]
fn no_attempt_asks_for_more_than_a_node_has() {
    let mut task = Task::new(limits(4, 5), 1);
    assert_eq!(want(&task.call()).0, 5);
    let mut task = running(limits(4, 70));
    let pause = task.fail_with(0, Class::Internal, 500);
    assert_eq!(want(&task.wait(&pause)).0, 70);
}

#[test]
fn what_an_attempt_was_seen_to_hold_is_asked_for_next_time() {
    let mut task = running(limits(4, 1_000));
    assert_eq!(want(&task.fail_with(0, Class::Abandoned, 25)).0, 25);
    assert_eq!(want(&task.fail_with(1, Class::Abandoned, 7)).0, 25);
}

#[test]
fn two_attempts_that_ran_out_of_the_same_memory_are_one_step() {
    let mut task = hedged(limits(4, 1_000));
    assert_eq!(task.fail(1, Class::InsufficientResources), []);
    assert_eq!(want(&task.fail(0, Class::InsufficientResources)).0, 30);
}

#[test]
fn first_attempt_out_of_memory_leaves_the_task_to_its_hedge() {
    let mut task = hedged(limits(4, 10));
    assert_eq!(task.fail(0, Class::InsufficientResources), []);
    let answer = Action::Answer(Outcome::GaveUp { attempt: 1, why: GaveUp::OutOfMemory });
    assert_eq!(task.fail(1, Class::Abandoned), [answer]);
}

#[test]
fn hedge_out_of_memory_does_not_give_up_for_the_task() {
    let mut task = hedged(limits(4, 10));
    assert_eq!(task.fail(1, Class::InsufficientResources), []);
    assert_eq!(wanted(&task.fail(0, Class::Abandoned)), [2]);
}
