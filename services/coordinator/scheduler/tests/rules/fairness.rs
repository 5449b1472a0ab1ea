//! Whose turn it is.

use waterbear_scheduler::{AttemptKey, Event, QueryKey};

use crate::bench::*;

/// Releases one place after the other; returns who was granted one.
fn served_by_releases(bench: &mut Bench, releases: usize) -> Vec<AttemptKey> {
    let mut served = Vec::new();
    for _ in 0..releases {
        let held = bench.scheduler.placed().next().map(|(attempt, _)| attempt);
        let actions = bench.release(held.unwrap());
        served.extend(granted(&actions).into_iter().map(|(attempt, _)| attempt));
    }
    served
}

/// One node with one place, which query 0 holds.
fn full_bench() -> Bench {
    let mut bench = Bench::with_nodes(&[(1, 8)]);
    bench.add_leaves(0, 1);
    bench.want(attempt(0, 0, 0, 0), 1);
    bench
}

#[test]
fn places_go_round_the_queries() {
    let mut bench = full_bench();
    for query in 1..=3 {
        bench.add_leaves(query, 3);
        for number in 0..3 {
            bench.want(attempt(query, 0, number, 0), 1);
        }
    }
    let served: Vec<_> = served_by_releases(&mut bench, 9)
        .into_iter()
        .map(|attempt| (attempt.task.query.0, attempt.task.task))
        .collect();
    let expected = [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)];
    assert_eq!(served, expected);
}

#[test]
fn a_query_with_ten_thousand_waiting_attempts_does_not_delay_one_with_one() {
    let mut bench = full_bench();
    bench.add_leaves(1, 10_000);
    for number in 0..10_000 {
        bench.want(attempt(1, 0, number, 0), 1);
    }
    bench.add_leaves(2, 1);
    bench.want(attempt(2, 0, 0, 0), 1);
    assert!(served_by_releases(&mut bench, 2).contains(&attempt(2, 0, 0, 0)));
    assert_eq!(bench.scheduler.waiting_attempts(QueryKey(1)), 9_999);
}

#[test]
fn the_first_query_that_could_not_be_served_is_the_first_the_next_time() {
    let mut bench = full_bench();
    bench.add_leaves(1, 2);
    bench.add_leaves(2, 1);
    bench.want(attempt(1, 0, 0, 0), 1);
    bench.want(attempt(1, 0, 1, 0), 1);
    bench.want(attempt(2, 0, 0, 0), 1);
    assert_eq!(served_by_releases(&mut bench, 1), [attempt(1, 0, 0, 0)]);
    // Query 2 was passed over; that query 1 has waited longer is no merit.
    assert_eq!(served_by_releases(&mut bench, 1), [attempt(2, 0, 0, 0)]);
}

#[test]
fn the_stage_nearest_to_the_root_is_served_first_then_who_came_first() {
    let mut bench = full_bench();
    // Stage 1 stands after stage 0 but is farther from the root.
    bench.add(1, &[exact(2, &[]), exact(1, &[]), exact(1, &[all(1)]), exact(1, &[all(0), all(2)])]);
    bench.want(attempt(1, 1, 0, 0), 1);
    bench.want(attempt(1, 0, 1, 0), 1);
    bench.want(attempt(1, 0, 0, 0), 1);
    let served = served_by_releases(&mut bench, 3);
    assert_eq!(served, [attempt(1, 0, 1, 0), attempt(1, 0, 0, 0), attempt(1, 1, 0, 0)]);
}

#[test]
fn hedges_are_served_when_no_first_attempt_of_any_query_waits() {
    let mut bench = full_bench();
    bench.add_leaves(1, 2);
    bench.add_leaves(2, 2);
    bench.want_hedge(attempt(1, 0, 0, 1), &[]);
    bench.want_hedge(attempt(2, 0, 0, 1), &[]);
    bench.want_hedge(attempt(1, 0, 1, 1), &[]);
    bench.want(attempt(2, 0, 1, 0), 1);
    let served = served_by_releases(&mut bench, 4);
    let hedges = [attempt(1, 0, 0, 1), attempt(2, 0, 0, 1), attempt(1, 0, 1, 1)];
    assert_eq!(served[0], attempt(2, 0, 1, 0));
    assert_eq!(served[1..], hedges, "in turn, too");
}

#[test]
fn hedges_wait_for_a_first_attempt_that_fits_nowhere_now() {
    let mut bench = Bench::with_nodes(&[(2, 8), (2, 8)]);
    bench.add_leaves(1, 4);
    for number in 0..2 {
        bench.want(attempt(1, 0, number, 0), 4);
    }
    bench.want(attempt(1, 0, 2, 0), 8);
    assert_eq!(granted(&bench.want_hedge(attempt(1, 0, 0, 1), &[])), []);
    assert_eq!(bench.scheduler.waiting_hedges(QueryKey(1)), 1);
    let freed = bench.withdraw(attempt(1, 0, 2, 0));
    assert_eq!(granted(&freed), [(attempt(1, 0, 0, 1), 0)]);
}

#[test]
fn hedges_wait_even_if_there_is_room_that_is_no_help_to_a_first_attempt() {
    let mut bench = Bench::with_nodes(&[(4, 8), (4, 8)]);
    bench.add_leaves(1, 4);
    for (number, gib) in [(0, 8), (1, 7), (2, 1)] {
        bench.want(attempt(1, 0, number, 0), gib);
    }
    bench.want(attempt(1, 0, 3, 0), 8);
    bench.want_hedge(attempt(1, 0, 0, 1), &[]);
    assert_eq!(bench.kept(), [0]);
    assert_eq!(bench.release(attempt(1, 0, 2, 0)), [], "one GiB is free on the other");
}

#[test]
fn hedges_find_what_was_freed_while_they_were_not_asked() {
    let mut bench = Bench::with_nodes(&[(9, 8), (9, 8)]);
    bench.add_leaves(1, 4);
    bench.add_leaves(2, 1);
    bench.want(attempt(1, 0, 0, 0), 8);
    bench.want(attempt(1, 0, 1, 0), 8);
    let hedge = attempt(1, 0, 0, 1);
    let wanted = Event::PlaceWanted { attempt: hedge, memory: 6 * GIB, avoid: vec![], hedge: true };
    bench.on(wanted);
    bench.want_but(attempt(2, 0, 0, 0), 4, &[node(1)]);
    assert_eq!(bench.release(attempt(1, 0, 1, 0)), [], "the first attempt avoids it");
    let freed = bench.release(attempt(1, 0, 0, 0));
    assert_eq!(granted(&freed), [(attempt(2, 0, 0, 0), 0), (hedge, 1)]);
}
