//! Lost outputs, and what they take with them.

use waterbear_scheduler::{Action, Event, Failure, QueryKey};

use crate::bench::*;

fn rows_gone(lost: waterbear_scheduler::AttemptKey) -> Vec<Action> {
    vec![Action::Fail { query: QueryKey(1), why: Failure::RowsGone { lost } }]
}

#[test]
fn an_exact_output_that_is_lost_is_made_again_alone() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(2, &[]), exact(3, &[all(0)]), exact(1, &[all(1)])]);
    bench.commit_stage(1, 0, 2);
    bench.commit(attempt(1, 1, 0, 0));
    // Task 1 reports the loss, task 2 still runs, task 0 has committed.
    let lost = bench.input_lost(task(1, 1, 1), &[attempt(1, 0, 1, 0)]);
    assert_eq!(lost, [Action::Call { task: task(1, 0, 1), call: 1, condemned: vec![0] }]);
    assert_eq!(bench.scheduler.winner(task(1, 1, 0)), Some(0));
    let again = bench.commit_call(attempt(1, 0, 1, 1), 1);
    assert_eq!(calls(&again), [(1, 1, vec![])]);
}

#[test]
fn a_producer_that_was_replaced_already_is_not_condemned_again() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(2, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 0));
    let lost = attempt(1, 0, 0, 0);
    assert_eq!(calls(&bench.input_lost(task(1, 1, 0), &[lost])), [(0, 0, vec![0])]);
    // Before the new attempt has won, and after it.
    assert_eq!(bench.input_lost(task(1, 1, 1), &[lost]), []);
    let again = bench.commit_call(attempt(1, 0, 0, 1), 1);
    assert_eq!(calls(&again), [(1, 0, vec![]), (1, 1, vec![])]);
    let late = bench.on(Event::TaskInputLost { task: task(1, 1, 1), call: 1, lost: vec![lost] });
    assert_eq!(calls(&late), [(1, 1, vec![])]);
    assert_eq!(bench.scheduler.winner(task(1, 0, 0)), Some(1));
}

#[test]
fn a_producer_is_called_again_with_all_that_is_condemned_of_it() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(1, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 4));
    bench.on(Event::OutputLost { lost: attempt(1, 0, 0, 4) });
    bench.commit_call(attempt(1, 0, 0, 7), 1);
    let lost = bench.on(Event::OutputLost { lost: attempt(1, 0, 0, 7) });
    assert_eq!(calls(&lost), [(0, 0, vec![4, 7])]);
}

#[test]
fn inputs_that_are_gone_too_are_found_by_whoever_reads_them() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(1, &[all(0)]), exact(1, &[all(1)])]);
    bench.commit(attempt(1, 0, 0, 0));
    bench.commit(attempt(1, 1, 0, 0));
    let lost = bench.input_lost(task(1, 2, 0), &[attempt(1, 1, 0, 0)]);
    assert_eq!(calls(&lost), [(1, 0, vec![0])]);
    let lost = vec![attempt(1, 0, 0, 0)];
    let lost = bench.on(Event::TaskInputLost { task: task(1, 1, 0), call: 1, lost });
    assert_eq!(calls(&lost), [(0, 0, vec![0])]);
    assert_eq!(calls(&bench.commit_call(attempt(1, 0, 0, 1), 1)), [(1, 0, vec![0])]);
    assert_eq!(calls(&bench.commit_call(attempt(1, 1, 0, 1), 2)), [(2, 0, vec![])]);
}

#[test]
fn a_loss_is_believed_even_if_the_call_that_found_it_is_over() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(1, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 0));
    bench.input_lost(task(1, 1, 0), &[]);
    let lost = bench.input_lost(task(1, 1, 0), &[attempt(1, 0, 0, 0)]);
    assert_eq!(calls(&lost), [(0, 0, vec![0])]);
}

#[test]
fn an_indeterminate_output_takes_all_that_was_made_from_it() {
    let mut bench = Bench::new();
    let stages = [
        indeterminate(2, &[]),
        exact(2, &[all(0)]),
        exact(1, &[]),
        exact(2, &[all(1), all(2)]),
        exact(1, &[all(3)]),
    ];
    bench.add(1, &stages);
    for (stage, tasks) in [(0, 2), (2, 1), (1, 2)] {
        bench.commit_stage(1, stage, tasks);
    }
    bench.commit(attempt(1, 3, 0, 0));
    let lost = bench.on(Event::OutputLost { lost: attempt(1, 0, 1, 0) });
    // Its sibling and the other branch stay, everything downstream goes.
    assert_eq!(cancelled(&lost), [(3, 1)]);
    assert_eq!(calls(&lost), [(0, 1, vec![0])]);
    let winners = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1)]
        .map(|(stage, number)| bench.scheduler.winner(task(1, stage, number)));
    assert_eq!(winners, [Some(0), None, None, None, Some(0), None, None]);
    let again = bench.commit_call(attempt(1, 0, 1, 1), 1);
    assert_eq!(calls(&again), [(1, 0, vec![0]), (1, 1, vec![0])]);
    bench.commit_call(attempt(1, 1, 0, 1), 1);
    let again = bench.commit_call(attempt(1, 1, 1, 1), 1);
    assert_eq!(calls(&again), [(3, 0, vec![0]), (3, 1, vec![])]);
}

#[test]
fn readers_that_run_are_cancelled_when_an_indeterminate_input_is_lost() {
    let mut bench = Bench::with_nodes(&[(1, 4)]);
    bench.add(1, &[indeterminate(1, &[]), exact(2, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 0));
    bench.want(attempt(1, 1, 0, 0), 1);
    bench.want(attempt(1, 1, 1, 0), 1);
    let lost = bench.input_lost(task(1, 1, 0), &[attempt(1, 0, 0, 0)]);
    assert_eq!(cancelled(&lost), [(1, 1)]);
    assert_eq!(calls(&lost), [(0, 0, vec![0])]);
    assert_eq!(bench.scheduler.waiting_attempts(QueryKey(1)), 0, "it waits in vain");
    // What the cancelled call still says is nothing to the next one.
    assert_eq!(bench.commit(attempt(1, 1, 1, 0)), []);
    assert_eq!(bench.scheduler.winner(task(1, 1, 1)), None);
}

#[test]
fn all_attempts_that_read_a_lost_indeterminate_input_are_condemned() {
    let mut bench = Bench::with_nodes(&[(8, 8)]);
    bench.add(1, &[indeterminate(1, &[]), exact(1, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 0));
    bench.want(attempt(1, 1, 0, 0), 1);
    bench.want_hedge(attempt(1, 1, 0, 1), &[]);
    bench.input_lost(task(1, 1, 0), &[attempt(1, 0, 0, 0)]);
    let again = bench.commit_call(attempt(1, 0, 0, 1), 1);
    assert_eq!(calls(&again), [(1, 0, vec![0, 1])]);
}

#[test]
fn what_an_earlier_winner_of_a_lost_reader_went_into_is_taken_too() {
    let mut bench = Bench::new();
    let stages = [indeterminate(1, &[]), exact(1, &[all(0)]), exact(1, &[all(1)])];
    bench.add(1, &stages);
    for stage in 0..3 {
        bench.commit(attempt(1, stage, 0, 0));
    }
    // The exact reader is made again alone, the root stays; then the input of both is lost.
    assert_eq!(
        calls(&bench.on(Event::OutputLost { lost: attempt(1, 1, 0, 0) })),
        [(1, 0, vec![0])]
    );
    assert_eq!(bench.scheduler.winner(task(1, 2, 0)), Some(0));
    let lost = bench.on(Event::OutputLost { lost: attempt(1, 0, 0, 0) });
    assert_eq!(cancelled(&lost), [(1, 0)]);
    assert_eq!(bench.scheduler.winner(task(1, 2, 0)), None);
}

#[test]
fn an_indeterminate_output_takes_only_the_readers_of_its_group() {
    let mut bench = Bench::new();
    bench.add(1, &[indeterminate(4, &[]), exact(2, &[group(0, 2)]), exact(2, &[group(1, 2)])]);
    for (stage, tasks) in [(0, 4), (1, 2), (2, 2)] {
        bench.commit_stage(1, stage, tasks);
    }
    bench.on(Event::OutputLost { lost: attempt(1, 0, 3, 0) });
    let winners = [(1, 0), (1, 1), (2, 0), (2, 1)]
        .map(|(stage, number)| bench.scheduler.winner(task(1, stage, number)));
    assert_eq!(winners, [Some(0), None, Some(0), None]);
}

#[test]
fn several_outputs_are_lost_at_once() {
    let mut bench = Bench::new();
    bench.add(1, &[indeterminate(2, &[]), indeterminate(2, &[all(0)]), exact(1, &[all(1)])]);
    bench.commit_stage(1, 0, 2);
    bench.commit_stage(1, 1, 2);
    let twice = attempt(1, 0, 0, 0);
    let lost = bench.input_lost(task(1, 2, 0), &[attempt(1, 1, 1, 0), twice, twice]);
    assert_eq!(calls(&lost), [(0, 0, vec![0])], "the other lost one is not ready");
    let again = bench.commit_call(attempt(1, 0, 0, 1), 1);
    assert_eq!(calls(&again), [(1, 0, vec![0]), (1, 1, vec![0])]);
}

#[test]
fn rows_that_depend_on_a_lost_indeterminate_output_fail_the_query() {
    let mut bench = Bench::new();
    bench.add(1, &[indeterminate(1, &[]), exact(1, &[all(0)]), exact(2, &[all(1)])]);
    for (stage, tasks) in [(0, 1), (1, 1)] {
        bench.commit_stage(1, stage, tasks);
    }
    bench.commit(attempt(1, 2, 0, 0));
    bench.on(Event::RowsGiven { task: task(1, 2, 0) });
    let lost = attempt(1, 0, 0, 0);
    assert_eq!(bench.on(Event::OutputLost { lost }), rows_gone(lost));
    assert_eq!(bench.scheduler.queries().count(), 0);
}

#[test]
fn rows_that_were_not_given_are_made_again() {
    let mut bench = Bench::new();
    bench.add(1, &[indeterminate(2, &[]), exact(2, &[group(0, 2)])]);
    bench.commit_stage(1, 0, 2);
    bench.commit_stage(1, 1, 2);
    bench.on(Event::RowsGiven { task: task(1, 1, 0) });
    // The given rows do not depend on it.
    let lost = bench.on(Event::OutputLost { lost: attempt(1, 0, 1, 0) });
    assert_eq!(calls(&lost), [(0, 1, vec![0])]);
    let lost = attempt(1, 0, 0, 0);
    assert_eq!(bench.on(Event::OutputLost { lost }), rows_gone(lost));
}

#[test]
fn rows_that_depend_on_a_lost_exact_output_stay_given() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(1, &[all(0)])]);
    bench.commit_stage(1, 0, 1);
    bench.commit_stage(1, 1, 1);
    bench.on(Event::RowsGiven { task: task(1, 1, 0) });
    let lost = bench.on(Event::OutputLost { lost: attempt(1, 0, 0, 0) });
    assert_eq!(calls(&lost), [(0, 0, vec![0])]);
    assert_eq!(bench.commit_call(attempt(1, 0, 0, 1), 1), []);
}

#[test]
fn a_root_output_is_made_again_unless_its_own_rows_were_given() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(2, &[])]);
    bench.commit_stage(1, 0, 2);
    bench.on(Event::RowsGiven { task: task(1, 0, 0) });
    let lost = bench.on(Event::OutputLost { lost: attempt(1, 0, 1, 0) });
    assert_eq!(calls(&lost), [(0, 1, vec![0])]);
    let winners = vec![attempt(1, 0, 0, 0), attempt(1, 0, 1, 1)];
    let done = bench.commit_call(attempt(1, 0, 1, 1), 1);
    assert_eq!(done, [Action::Done { query: QueryKey(1), winners }], "done again");
    // An exact output has the same rows, but perhaps in another order.
    let lost = attempt(1, 0, 0, 0);
    assert_eq!(bench.on(Event::OutputLost { lost }), rows_gone(lost));
}
