//! On which node attempts run.

use waterbear_scheduler::{Event, QueryKey};

use crate::bench::*;

/// A query whose tasks are called, for attempts of any size.
fn bench(nodes: &[(u32, u64)]) -> Bench {
    let mut bench = Bench::with_nodes(nodes);
    bench.add_leaves(1, 100);
    bench.add_leaves(2, 100);
    bench
}

#[test]
fn most_free_places_then_most_free_memory_then_least_in_use_then_the_key_decide() {
    let mut by_places = bench(&[(2, 9), (3, 8)]);
    assert_eq!(granted(&by_places.want(attempt(1, 0, 0, 0), 1)), [(attempt(1, 0, 0, 0), 1)]);
    assert_eq!(granted(&by_places.want(attempt(1, 0, 1, 0), 1)), [(attempt(1, 0, 1, 0), 0)]);

    let mut by_memory = bench(&[(2, 8), (2, 9)]);
    assert_eq!(granted(&by_memory.want(attempt(1, 0, 0, 0), 1)), [(attempt(1, 0, 0, 0), 1)]);

    // Node 0 has two of four places free and 7 GiB, as node 1, which has nothing to do.
    let mut by_load = bench(&[(4, 9)]);
    by_load.want(attempt(1, 0, 0, 0), 1);
    by_load.want(attempt(1, 0, 1, 0), 1);
    by_load.join(node(1), 2, 7);
    assert_eq!(granted(&by_load.want(attempt(1, 0, 2, 0), 1)), [(attempt(1, 0, 2, 0), 1)]);

    let mut by_key = bench(&[(2, 8), (2, 8)]);
    assert_eq!(granted(&by_key.want(attempt(1, 0, 0, 0), 1)), [(attempt(1, 0, 0, 0), 0)]);
}

#[test]
fn a_node_with_fewer_free_places_is_taken_if_the_others_lack_memory() {
    let mut bench = bench(&[(9, 2), (5, 2), (1, 4)]);
    assert_eq!(granted(&bench.want(attempt(1, 0, 0, 0), 3)), [(attempt(1, 0, 0, 0), 2)]);
}

#[test]
fn attempts_share_the_memory_of_a_node() {
    let mut bench = bench(&[(9, 8)]);
    assert_eq!(granted(&bench.want(attempt(1, 0, 0, 0), 5)).len(), 1);
    assert_eq!(granted(&bench.want(attempt(1, 0, 1, 0), 4)), []);
    assert_eq!(granted(&bench.release(attempt(1, 0, 0, 0))), [(attempt(1, 0, 1, 0), 0)]);
}

#[test]
fn what_is_larger_than_any_node_runs_alone_on_the_largest() {
    let mut bench = bench(&[(9, 4), (9, 8), (9, 6)]);
    bench.want_but(attempt(1, 0, 0, 0), 1, &[node(0), node(2)]);
    assert_eq!(granted(&bench.want(attempt(1, 0, 1, 0), 100)), [], "the largest is in use");
    let granted_now = granted(&bench.release(attempt(1, 0, 0, 0)));
    assert_eq!(granted_now, [(attempt(1, 0, 1, 0), 1)]);
    let largest = bench.scheduler.nodes().nth(1).unwrap();
    assert_eq!(largest.memory_in_use, largest.memory);
    let not_beside = granted(&bench.want_but(attempt(1, 0, 2, 0), 1, &[node(0), node(2)]));
    assert_eq!(not_beside, []);
}

#[test]
fn what_is_larger_than_any_node_does_not_run_beside_what_needs_no_memory() {
    let mut bench = bench(&[(9, 8)]);
    bench.want(attempt(1, 0, 0, 0), 0);
    assert_eq!(granted(&bench.want(attempt(1, 0, 1, 0), 9)), []);
    assert_eq!(granted(&bench.release(attempt(1, 0, 0, 0))).len(), 1);
}

#[test]
fn a_large_attempt_is_not_starved_by_small_ones() {
    let mut bench = bench(&[(4, 8)]);
    for number in 0..3 {
        bench.want(attempt(1, 0, number, 0), 2);
    }
    assert_eq!(granted(&bench.want(attempt(2, 0, 0, 0), 6)), []);
    // Two GiB and a place are free, but they are kept.
    assert_eq!(granted(&bench.want(attempt(1, 0, 3, 0), 2)), []);
    assert_eq!(granted(&bench.release(attempt(1, 0, 0, 0))), []);
    let freed = bench.release(attempt(1, 0, 1, 0));
    assert_eq!(granted(&freed), [(attempt(2, 0, 0, 0), 0)]);
    // The next small one waits for memory, not for the reservation.
    assert_eq!(granted(&bench.release(attempt(1, 0, 2, 0))), [(attempt(1, 0, 3, 0), 0)]);
}

#[test]
fn smaller_ones_pass_a_large_attempt_on_other_nodes() {
    let mut bench = bench(&[(4, 8), (4, 8)]);
    for number in 0..2 {
        bench.want(attempt(1, 0, number, 0), 4);
    }
    assert_eq!(granted(&bench.want(attempt(2, 0, 0, 0), 8)), []);
    assert_eq!(bench.kept(), [0]);
    let own = granted(&bench.want(attempt(2, 0, 1, 0), 1));
    assert_eq!(own, [(attempt(2, 0, 1, 0), 1)], "of its own query");
    let of_another = granted(&bench.want(attempt(1, 0, 2, 0), 1));
    assert_eq!(of_another, [(attempt(1, 0, 2, 0), 1)]);
    let whole = granted(&bench.release(attempt(1, 0, 0, 0)));
    assert_eq!(whole, [(attempt(2, 0, 0, 0), 0)]);
}

#[test]
fn a_query_has_one_node_kept_however_many_large_attempts_it_has() {
    let mut bench = bench(&[(4, 8), (4, 8), (4, 8)]);
    for number in 0..9 {
        bench.want(attempt(1, 0, number, 0), 5);
    }
    assert_eq!(bench.kept().len(), 1);
    assert_eq!(granted(&bench.want(attempt(2, 0, 0, 0), 2)).len(), 1);
}

#[test]
fn a_node_is_kept_for_the_head_of_a_query_alone() {
    let mut bench = Bench::with_nodes(&[(20, 8)]);
    bench.add(1, &[exact(1, &[]), exact(20, &[])]);
    bench.add_leaves(2, 1);
    bench.want(attempt(2, 0, 0, 0), 4);
    bench.want(attempt(1, 0, 0, 0), 8);
    // More attempts of a nearer stage than are tried in a turn now stand before it.
    for number in 0..20 {
        assert_eq!(granted(&bench.want(attempt(1, 1, number, 0), 8)), []);
    }
    assert_eq!(bench.kept(), [0]);
    assert_eq!(granted(&bench.release(attempt(2, 0, 0, 0))), [(attempt(1, 1, 0, 0), 0)]);
    for number in 1..20 {
        let freed = bench.release(attempt(1, 1, number - 1, 0));
        assert_eq!(granted(&freed), [(attempt(1, 1, number, 0), 0)]);
    }
    assert_eq!(granted(&bench.release(attempt(1, 1, 19, 0))), [(attempt(1, 0, 0, 0), 0)]);
}

#[test]
fn a_node_is_open_again_when_whoever_it_was_kept_for_waits_no_more() {
    let kept = || {
        let mut bench = bench(&[(4, 8)]);
        bench.want(attempt(1, 0, 0, 0), 4);
        bench.want(attempt(2, 0, 0, 0), 8);
        bench.want(attempt(1, 0, 1, 0), 1);
        assert_eq!(bench.kept(), [0]);
        bench
    };
    let served = [(attempt(1, 0, 1, 0), 0)];
    assert_eq!(granted(&kept().withdraw(attempt(2, 0, 0, 0))), served);
    assert_eq!(granted(&kept().end(2)), served);
    assert_eq!(granted(&kept().commit(attempt(2, 0, 0, 0))), served, "won by another way");
    let mut elsewhere = kept();
    let joined = elsewhere.join(node(1), 1, 8);
    assert_eq!(granted(&joined), [(attempt(2, 0, 0, 0), 1), served[0]]);
}

#[test]
fn whoever_was_passed_over_is_asked_again_when_a_kept_node_opens() {
    let mut bench = bench(&[(9, 8), (9, 8), (9, 8)]);
    bench.add_leaves(3, 9);
    bench.want_but(attempt(1, 0, 0, 0), 4, &[node(1), node(2)]);
    bench.want_but(attempt(1, 0, 1, 0), 8, &[node(0), node(2)]);
    bench.want_but(attempt(1, 0, 2, 0), 1, &[node(0), node(1)]);
    bench.want_but(attempt(3, 0, 0, 0), 8, &[node(0), node(1)]);
    bench.want(attempt(2, 0, 0, 0), 8);
    assert_eq!(bench.kept(), [0, 2]);
    bench.want_but(attempt(3, 0, 1, 0), 3, &[node(1), node(2)]);
    // Query 3 comes first, but the freed node is no help to it: the one that opens then is.
    let freed = granted(&bench.release(attempt(1, 0, 1, 0)));
    assert_eq!(freed, [(attempt(2, 0, 0, 0), 1), (attempt(3, 0, 1, 0), 0)]);
}

#[test]
fn a_node_that_opens_is_kept_for_the_next_who_needs_it() {
    let mut bench = bench(&[(4, 8), (4, 8), (4, 1)]);
    bench.want(attempt(1, 0, 0, 0), 4);
    bench.want(attempt(1, 0, 1, 0), 4);
    bench.want(attempt(2, 0, 0, 0), 5);
    for query in [3, 4] {
        bench.add_leaves(query, 1);
        bench.want(attempt(query, 0, 0, 0), 8);
    }
    let freed = granted(&bench.release(attempt(1, 0, 0, 0)));
    assert_eq!(freed, [(attempt(2, 0, 0, 0), 0)]);
    assert_eq!(bench.kept(), [0, 1]);
    let small = granted(&bench.want_but(attempt(1, 0, 2, 0), 2, &[node(2)]));
    assert_eq!(small, [], "it would fit");
}

#[test]
fn one_that_moves_up_in_the_queue_is_tried() {
    let mut bench = bench(&[(9, 8), (3, 8)]);
    bench.want_but(attempt(1, 0, 0, 0), 4, &[node(1)]);
    bench.want_but(attempt(1, 0, 1, 0), 6, &[node(0)]);
    bench.want_but(attempt(1, 0, 2, 0), 2, &[node(0)]);
    for number in 0..8 {
        bench.want(attempt(2, 0, number, 0), 8);
    }
    bench.want(attempt(2, 0, 8, 0), 1);
    assert_eq!(bench.kept(), [0]);
    // It comes into sight while there is no place at all, and then there is one.
    bench.want_but(attempt(1, 0, 3, 0), 0, &[node(0)]);
    assert_eq!(bench.withdraw(attempt(2, 0, 3, 0)), []);
    let freed = granted(&bench.release(attempt(1, 0, 2, 0)));
    assert_eq!(freed, [(attempt(2, 0, 8, 0), 1)]);
}

#[test]
fn a_large_attempt_waits_for_a_node_that_can_hold_it() {
    let mut bench = bench(&[(2, 4), (2, 16)]);
    bench.want_but(attempt(1, 0, 0, 0), 13, &[node(0)]);
    assert_eq!(granted(&bench.want(attempt(2, 0, 0, 0), 8)), []);
    assert_eq!(bench.kept(), [1], "though the other has more free memory");
    assert_eq!(granted(&bench.release(attempt(1, 0, 0, 0))), [(attempt(2, 0, 0, 0), 1)]);
}

#[test]
fn avoided_nodes_are_taken_only_if_the_cluster_has_no_other() {
    let mut bench = bench(&[(9, 8), (1, 8)]);
    let avoid = [node(0)];
    bench.want(attempt(1, 0, 0, 0), 1);
    assert_eq!(granted(&bench.want_but(attempt(1, 0, 1, 0), 1, &avoid)).len(), 1);
    let full = granted(&bench.want_but(attempt(1, 0, 2, 0), 1, &avoid));
    assert_eq!(full, [], "not because the other is full");
    let gone = granted(&bench.on(Event::NodeDraining { node: node(1) }));
    assert_eq!(gone, [(attempt(1, 0, 2, 0), 0)]);
    let only = granted(&bench.want_but(attempt(1, 0, 3, 0), 1, &avoid));
    assert_eq!(only, [(attempt(1, 0, 3, 0), 0)]);
}

#[test]
fn no_node_is_kept_for_a_hedge() {
    let mut bench = bench(&[(9, 8)]);
    bench.want(attempt(1, 0, 0, 0), 8);
    bench.want_hedge(attempt(1, 0, 0, 1), &[]);
    assert_eq!(bench.kept(), []);
}

#[test]
fn a_withdrawal_that_crosses_the_grant_gives_the_place_back() {
    let mut bench = bench(&[(1, 8)]);
    bench.want(attempt(1, 0, 0, 0), 1);
    bench.want(attempt(1, 0, 1, 0), 1);
    let withdrawn = bench.withdraw(attempt(1, 0, 0, 0));
    assert_eq!(granted(&withdrawn), [(attempt(1, 0, 1, 0), 0)]);
}

#[test]
fn a_place_is_given_back_once() {
    let mut bench = bench(&[(1, 8)]);
    for number in 0..3 {
        bench.want(attempt(1, 0, number, 0), 8);
    }
    assert_eq!(granted(&bench.release(attempt(1, 0, 0, 0))).len(), 1);
    assert_eq!(bench.release(attempt(1, 0, 0, 0)), []);
    assert_eq!(bench.withdraw(attempt(1, 0, 0, 0)), []);
    assert_eq!(bench.places_in_use(), 1);
    assert_eq!(bench.release(attempt(9, 9, 9, 9)), [], "nor by a stranger");
}

#[test]
fn an_attempt_that_waits_or_runs_is_not_placed_twice() {
    let mut bench = bench(&[(2, 8)]);
    bench.want(attempt(1, 0, 0, 0), 1);
    assert_eq!(bench.want(attempt(1, 0, 0, 0), 1), []);
    bench.want(attempt(1, 0, 1, 0), 8);
    bench.want(attempt(1, 0, 1, 0), 8);
    assert_eq!(bench.scheduler.waiting_attempts(QueryKey(1)), 1);
}

#[test]
fn what_waits_for_a_call_that_has_ended_is_forgotten() {
    let mut bench = bench(&[(1, 8)]);
    bench.want(attempt(1, 0, 0, 0), 1);
    bench.want(attempt(1, 0, 0, 1), 1);
    bench.want_hedge(attempt(1, 0, 0, 2), &[]);
    bench.commit(attempt(1, 0, 0, 0));
    let query = QueryKey(1);
    let waiting = (bench.scheduler.waiting_attempts(query), bench.scheduler.waiting_hedges(query));
    assert_eq!(waiting, (0, 0));
    assert_eq!(bench.want(attempt(1, 0, 0, 3), 1), [], "nor does anything wait for it later");
    assert_eq!(bench.release(attempt(1, 0, 0, 0)), []);
}
