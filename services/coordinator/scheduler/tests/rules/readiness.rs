//! When tasks are called, and when a query is done.

use waterbear_scheduler::{Action, Event, Failure, QueryKey, StageCounts};

use crate::bench::*;

#[test]
fn leaves_are_called_at_once_and_readers_when_all_their_producers_have_winners() {
    let mut bench = Bench::new();
    let added = bench.add(1, &[exact(3, &[]), exact(2, &[all(0)])]);
    assert_eq!(calls(&added), [(0, 0, vec![]), (0, 1, vec![]), (0, 2, vec![])]);
    assert_eq!(bench.commit(attempt(1, 0, 2, 0)), []);
    assert_eq!(bench.commit(attempt(1, 0, 0, 4)), []);
    let last = bench.commit(attempt(1, 0, 1, 0));
    assert_eq!(calls(&last), [(1, 0, vec![]), (1, 1, vec![])]);
}

#[test]
fn a_reader_of_a_group_is_called_when_its_own_producers_have_winners() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(5, &[]), exact(2, &[group(0, 2)])]);
    // The groups are 0, 1, 2 and 3, 4.
    assert_eq!(bench.commit(attempt(1, 0, 0, 0)), []);
    assert_eq!(bench.commit(attempt(1, 0, 3, 0)), []);
    assert_eq!(calls(&bench.commit(attempt(1, 0, 4, 0))), [(1, 1, vec![])]);
    assert_eq!(bench.commit(attempt(1, 0, 1, 0)), []);
    assert_eq!(calls(&bench.commit(attempt(1, 0, 2, 0))), [(1, 0, vec![])]);
}

#[test]
fn a_reader_whose_group_is_empty_needs_no_producer() {
    let mut bench = Bench::new();
    let added = bench.add(1, &[exact(1, &[]), exact(2, &[group(0, 2)])]);
    assert_eq!(calls(&added), [(0, 0, vec![]), (1, 1, vec![])]);
}

#[test]
fn a_reader_of_two_stages_waits_for_both() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(2, &[]), exact(2, &[all(0), group(1, 2)])]);
    assert_eq!(bench.commit(attempt(1, 1, 0, 0)), []);
    assert_eq!(calls(&bench.commit(attempt(1, 0, 0, 0))), [(2, 0, vec![])]);
    assert_eq!(calls(&bench.commit(attempt(1, 1, 1, 0))), [(2, 1, vec![])]);
}

#[test]
fn a_stage_that_is_read_twice_by_one_reader_opens_both_inputs() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(1, &[all(0), all(0)])]);
    assert_eq!(calls(&bench.commit(attempt(1, 0, 0, 0))), [(1, 0, vec![])]);
}

#[test]
fn a_task_is_called_once_until_its_call_ends() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(2, &[]), exact(1, &[group(0, 1)])]);
    bench.commit_stage(1, 0, 2);
    // The reader runs; its input is lost and made again without a word of the reader.
    let lost = bench.on(Event::OutputLost { lost: attempt(1, 0, 0, 0) });
    assert_eq!(calls(&lost), [(0, 0, vec![0])]);
    assert_eq!(bench.commit_call(attempt(1, 0, 0, 1), 1), []);
    let lost = bench.input_lost(task(1, 1, 0), &[]);
    assert_eq!(lost, [Action::Call { task: task(1, 1, 0), call: 1, condemned: vec![] }]);
}

#[test]
fn the_end_of_an_older_call_changes_nothing() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(1, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 0));
    let reader = task(1, 1, 0);
    assert_eq!(calls(&bench.input_lost(reader, &[])), [(1, 0, vec![])]);
    assert_eq!(bench.commit(reader.attempt(0)), []);
    assert_eq!(bench.input_lost(reader, &[]), []);
    assert_eq!(bench.on(Event::TaskFailed { task: reader, call: 0 }), []);
    assert_eq!(bench.scheduler.winner(reader), None);
    assert!(matches!(bench.commit_call(reader.attempt(1), 1)[..], [Action::Done { .. }]));
}

#[test]
fn the_second_end_of_a_call_changes_nothing() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(2, &[])]);
    bench.commit(attempt(1, 0, 0, 0));
    assert_eq!(bench.commit(attempt(1, 0, 0, 1)), []);
    assert_eq!(bench.scheduler.winner(task(1, 0, 0)), Some(0));
}

#[test]
fn a_condemned_attempt_never_wins() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(1, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 0));
    bench.on(Event::OutputLost { lost: attempt(1, 0, 0, 0) });
    let again = bench.commit_call(attempt(1, 0, 0, 0), 1);
    assert_eq!(calls(&again), [(0, 0, vec![0])]);
    assert_eq!(bench.scheduler.winner(task(1, 0, 0)), None);
}

#[test]
fn a_query_is_done_once_when_all_root_tasks_have_winners() {
    let mut bench = Bench::new();
    bench.add(1, &[exact(1, &[]), exact(2, &[all(0)])]);
    bench.commit(attempt(1, 0, 0, 0));
    assert_eq!(bench.commit(attempt(1, 1, 1, 3)), []);
    let winners = vec![attempt(1, 1, 0, 2), attempt(1, 1, 1, 3)];
    let done = bench.commit(attempt(1, 1, 0, 2));
    assert_eq!(done, [Action::Done { query: QueryKey(1), winners }]);
    assert_eq!(bench.commit(attempt(1, 1, 0, 5)), []);
}

#[test]
fn a_query_whose_root_has_no_task_is_done_at_once() {
    let added = Bench::new().add(1, &[exact(0, &[])]);
    assert_eq!(added, [Action::Done { query: QueryKey(1), winners: vec![] }]);
}

#[test]
fn a_task_that_failed_for_good_fails_its_query_and_no_other() {
    let mut bench = Bench::with_nodes(&[(1, 1)]);
    bench.add_leaves(1, 2);
    bench.add_leaves(2, 2);
    let failed = task(1, 0, 1);
    let why = Failure::TaskFailed { task: failed };
    let actions = bench.on(Event::TaskFailed { task: failed, call: 0 });
    assert_eq!(actions, [Action::Fail { query: QueryKey(1), why }]);
    assert_eq!(bench.scheduler.queries().collect::<Vec<_>>(), [QueryKey(2)]);
    assert_eq!(bench.commit(attempt(1, 0, 0, 0)), []);
    assert_eq!(bench.end(1), []);
}

#[test]
fn a_malformed_graph_fails_its_query() {
    let malformed = [vec![], vec![exact(1, &[all(0)])], vec![exact(1, &[all(1)]), exact(1, &[])]];
    for stages in malformed {
        let query = QueryKey(1);
        let failed = Bench::new().add(1, &stages);
        assert_eq!(failed, [Action::Fail { query, why: Failure::Malformed }]);
    }
}

#[test]
fn a_query_that_is_added_twice_goes_on() {
    let mut bench = Bench::new();
    bench.add_leaves(1, 2);
    bench.commit(attempt(1, 0, 0, 0));
    assert_eq!(bench.add(1, &[exact(2, &[])]), []);
    assert_eq!(bench.scheduler.winner(task(1, 0, 0)), Some(0));
}

#[test]
fn an_ended_query_is_forgotten_at_once_but_its_places_are_not() {
    let mut bench = Bench::with_nodes(&[(1, 1)]);
    bench.add_leaves(1, 2);
    bench.want(attempt(1, 0, 0, 0), 1);
    bench.want(attempt(1, 0, 1, 0), 1);
    assert_eq!(bench.end(1), []);
    assert_eq!(bench.scheduler.queries().count(), 0);
    assert_eq!(bench.want(attempt(1, 0, 1, 1), 1), []);
    assert_eq!(bench.commit(attempt(1, 0, 0, 0)), []);
    assert_eq!(bench.places_in_use(), 1);
    assert!(!bench.scheduler.is_idle());
    assert_eq!(bench.release(attempt(1, 0, 0, 0)), []);
    assert!(bench.scheduler.is_idle());
}

#[test]
fn events_of_tasks_that_do_not_exist_change_nothing() {
    let mut bench = Bench::with_nodes(&[(1, 1)]);
    bench.add_leaves(1, 1);
    for stranger in [task(1, 0, 1), task(1, 1, 0), task(2, 0, 0)] {
        assert_eq!(bench.commit(stranger.attempt(0)), []);
        assert_eq!(bench.input_lost(stranger, &[stranger.attempt(0)]), []);
        assert_eq!(bench.on(Event::TaskFailed { task: stranger, call: 0 }), []);
        assert_eq!(bench.on(Event::OutputLost { lost: stranger.attempt(0) }), []);
        assert_eq!(bench.on(Event::RowsGiven { task: stranger }), []);
        assert_eq!(bench.want(stranger.attempt(0), 1), []);
    }
    let foreign = attempt(2, 0, 0, 0);
    assert_eq!(calls(&bench.input_lost(task(1, 0, 0), &[foreign])), [(0, 0, vec![])]);
}

#[test]
fn a_stage_shows_how_far_its_tasks_are() {
    let mut bench = Bench::with_nodes(&[(2, 4)]);
    bench.add(1, &[exact(4, &[]), exact(3, &[all(0)])]);
    bench.want(attempt(1, 0, 0, 0), 1);
    bench.want(attempt(1, 0, 1, 0), 1);
    bench.commit(attempt(1, 0, 0, 0));
    let leaves = StageCounts { waiting: 0, called: 2, running: 1, committed: 1 };
    let root = StageCounts { waiting: 3, ..StageCounts::default() };
    assert_eq!(bench.scheduler.stages(QueryKey(1)), Some(vec![leaves, root]));
    bench.release(attempt(1, 0, 1, 0));
    let leaves = StageCounts { called: 3, running: 0, ..leaves };
    assert_eq!(bench.scheduler.stages(QueryKey(1)), Some(vec![leaves, root]));
    assert_eq!(bench.scheduler.stages(QueryKey(2)), None);
}
