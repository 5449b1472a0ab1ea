//! Nodes that come, drain and go.

use std::time::Duration;

use waterbear_scheduler::{Action, Event, Failure, NodeKey, QueryKey};

use crate::bench::*;

const MINUTE: Duration = Duration::from_secs(60);

fn next_life(of: u32, incarnation: u64) -> NodeKey {
    NodeKey { node: of, incarnation }
}

/// Two nodes of two places; query 1 has an attempt on each, and a third.
fn bench() -> Bench {
    let mut bench = Bench::with_nodes(&[(2, 8), (2, 8)]);
    bench.add_leaves(1, 100);
    for number in 0..3 {
        bench.want(attempt(1, 0, number, 0), 1);
    }
    bench
}

#[test]
fn all_attempts_of_a_lost_node_are_reported_and_its_places_vanish() {
    let mut bench = bench();
    let lost = bench.lose_node(node(0));
    let expected = [0, 2].map(|number| {
        let attempt = attempt(1, 0, number, 0);
        Action::Lost { attempt, node: node(0) }
    });
    assert_eq!(lost, expected);
    assert_eq!(bench.places_in_use(), 1);
    assert_eq!(bench.scheduler.nodes().count(), 1);
    assert_eq!(bench.lose_node(node(0)), [], "lost once");
}

#[test]
fn late_releases_of_a_lost_node_change_nothing() {
    let mut bench = bench();
    bench.lose_node(node(0));
    bench.join(node(0), 2, 8);
    assert_eq!(bench.release(attempt(1, 0, 0, 0)), []);
    assert_eq!(bench.places_in_use(), 1);
}

#[test]
fn a_node_that_answers_again_with_the_same_incarnation_is_taken_again() {
    let mut bench = bench();
    bench.lose_node(node(0));
    bench.lose_node(node(1));
    bench.want(attempt(1, 0, 5, 0), 1);
    assert_eq!(granted(&bench.join(node(0), 2, 8)), [(attempt(1, 0, 5, 0), 0)]);
}

#[test]
fn another_incarnation_is_another_node_and_the_one_before_is_lost() {
    let mut bench = bench();
    bench.lose_node(node(1));
    let joined = bench.join(next_life(0, 7), 1, 8);
    let lost: Vec<_> = joined.iter().filter(|a| matches!(a, Action::Lost { .. })).collect();
    assert_eq!(lost.len(), 2);
    assert!(matches!(lost[0], Action::Lost { node: old, .. } if *old == node(0)));
    assert_eq!(bench.places_in_use(), 0);
    let here: Vec<_> = bench.scheduler.nodes().map(|used| used.node).collect();
    assert_eq!(here, [next_life(0, 7)]);
}

#[test]
fn a_former_incarnation_never_comes_back() {
    let mut bench = Bench::with_nodes(&[(2, 8)]);
    bench.join(next_life(0, 9), 2, 8);
    bench.join(next_life(0, 5), 2, 8);
    for former in [1, 9] {
        assert_eq!(bench.join(next_life(0, former), 2, 8), []);
    }
    bench.lose_node(next_life(0, 5));
    bench.join(node(0), 2, 8);
    assert_eq!(bench.scheduler.nodes().count(), 0);
    bench.join(next_life(0, 5), 2, 8);
    assert_eq!(bench.scheduler.nodes().count(), 1);
}

#[test]
fn news_of_a_former_incarnation_do_not_touch_the_present_one() {
    let mut bench = Bench::new();
    bench.add_leaves(1, 1);
    bench.join(node(0), 1, 8);
    bench.join(next_life(0, 7), 1, 8);
    bench.lose_node(node(0));
    bench.on(Event::NodeDraining { node: node(0) });
    assert_eq!(granted(&bench.want(attempt(1, 0, 0, 0), 1)).len(), 1);
}

#[test]
fn attempts_on_a_draining_node_are_moved_at_once_and_nothing_new_comes_to_it() {
    let mut bench = bench();
    let moved = bench.on(Event::NodeDraining { node: node(0) });
    let expected = [0, 2].map(|number| {
        let attempt = attempt(1, 0, number, 0);
        Action::Moved { attempt, node: node(0) }
    });
    assert_eq!(moved, expected);
    assert_eq!(bench.on(Event::NodeDraining { node: node(0) }), [], "said once");
    assert_eq!(bench.release(attempt(1, 0, 0, 0)), []);
    assert_eq!(granted(&bench.want(attempt(1, 0, 3, 0), 1)), [(attempt(1, 0, 3, 0), 1)]);
    assert_eq!(granted(&bench.want(attempt(1, 0, 4, 0), 1)), []);
    let active = granted(&bench.join(node(0), 2, 8));
    assert_eq!(active, [(attempt(1, 0, 4, 0), 0)], "it drains no more");
}

#[test]
fn attempts_that_still_run_on_a_draining_node_are_lost_with_it() {
    let mut bench = bench();
    bench.on(Event::NodeDraining { node: node(0) });
    bench.release(attempt(1, 0, 2, 0));
    let lost = bench.lose_node(node(0));
    assert_eq!(lost, [Action::Lost { attempt: attempt(1, 0, 0, 0), node: node(0) }]);
}

#[test]
fn a_node_may_change_its_size() {
    let mut bench = bench();
    bench.join(node(0), 1, 8);
    assert_eq!(bench.release(attempt(1, 0, 0, 0)), []);
    let full = granted(&bench.want_but(attempt(1, 0, 3, 0), 1, &[node(1)]));
    assert_eq!(full, [], "one of one place is in use");
    assert_eq!(granted(&bench.join(node(0), 3, 8)).len(), 1);
    bench.join(node(0), 0, 8);
    bench.lose_node(node(1));
    assert_eq!(granted(&bench.want(attempt(1, 0, 5, 0), 1)), [], "no place at all");
}

#[test]
fn a_node_that_is_kept_is_given_up_when_it_is_lost() {
    let mut bench = Bench::with_nodes(&[(2, 8), (2, 8)]);
    bench.add_leaves(1, 9);
    bench.want(attempt(1, 0, 0, 0), 4);
    bench.want(attempt(1, 0, 1, 0), 4);
    bench.want(attempt(1, 0, 2, 0), 8);
    assert_eq!(bench.kept(), [0]);
    bench.lose_node(node(0));
    assert_eq!(bench.kept(), [1]);
    assert_eq!(granted(&bench.release(attempt(1, 0, 1, 0))), [(attempt(1, 0, 2, 0), 1)]);
    assert_eq!(bench.kept(), []);
}

#[test]
fn a_query_that_waits_for_any_node_fails_in_the_end() {
    let mut bench = Bench::new();
    bench.add_leaves(1, 1);
    bench.add_leaves(2, 1);
    bench.now = MINUTE;
    assert_eq!(bench.want(attempt(1, 0, 0, 0), 1), [Action::WakeAt(11 * MINUTE)]);
    bench.now = 3 * MINUTE;
    assert_eq!(bench.want(attempt(2, 0, 0, 0), 1), []);
    bench.now = 11 * MINUTE - Duration::from_nanos(1);
    assert_eq!(bench.on(Event::TimeCame), []);
    bench.now = 11 * MINUTE;
    let why = Failure::NoNodes;
    let failed = [Action::Fail { query: QueryKey(1), why }, Action::WakeAt(13 * MINUTE)];
    assert_eq!(bench.on(Event::TimeCame), failed);
    bench.now = 14 * MINUTE;
    assert_eq!(bench.on(Event::TimeCame), [Action::Fail { query: QueryKey(2), why }]);
    assert!(bench.scheduler.is_idle());
}

#[test]
fn the_wait_for_a_node_begins_when_the_last_one_goes() {
    let mut bench = Bench::with_nodes(&[(1, 8)]);
    bench.add_leaves(1, 2);
    bench.want(attempt(1, 0, 0, 0), 1);
    bench.want(attempt(1, 0, 1, 0), 1);
    bench.now = 9 * MINUTE;
    let drained = bench.on(Event::NodeDraining { node: node(0) });
    assert!(drained.contains(&Action::WakeAt(19 * MINUTE)), "a draining node is none");
    bench.now = 18 * MINUTE;
    assert_eq!(granted(&bench.join(next_life(0, 2), 1, 8)).len(), 1);
    bench.now = 20 * MINUTE;
    assert_eq!(bench.on(Event::TimeCame), [], "a node came");
    bench.want(attempt(1, 0, 1, 1), 1);
    let lost = bench.lose_node(next_life(0, 2));
    assert!(lost.contains(&Action::WakeAt(30 * MINUTE)), "counted anew");
}

#[test]
fn a_busy_cluster_is_not_a_cluster_without_nodes() {
    let mut bench = Bench::with_nodes(&[(1, 8)]);
    bench.add_leaves(1, 2);
    bench.want(attempt(1, 0, 0, 0), 1);
    bench.want(attempt(1, 0, 1, 0), 1);
    bench.now = 60 * MINUTE;
    assert_eq!(bench.on(Event::TimeCame), []);
}
