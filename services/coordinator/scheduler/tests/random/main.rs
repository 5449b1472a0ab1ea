//! Random interleavings: a model of a driver, of nodes and of a spool runs random queries while
//! everything breaks, and what the scheduler says is checked after each event.
//!
//! A failure prints its seed: `WATERBEAR_SEED=<seed> cargo test -p waterbear-scheduler --test
//! random` runs that one alone. The number of seeds is `WATERBEAR_SEEDS`, by default 100.

mod model;
mod rng;
mod spool;

use crate::model::Model;

/// A number from the environment: what to repeat is all that a test needs to be told.
#[allow(clippy::disallowed_methods)]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Prints its seed when its run panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("WATERBEAR_SEED={}", self.0);
        }
    }
}

#[test]
fn whatever_happens_the_rules_hold_and_every_query_ends() {
    let seeds = match number("WATERBEAR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WATERBEAR_SEEDS").unwrap_or(100),
    };
    let mut seen = model::Seen::default();
    let one = seeds.end - seeds.start == 1;
    for seed in seeds {
        let _printed_on_panic = Seed(seed);
        let mut model = Model::new(seed);
        model.run();
        seen.add(&model.seen);
    }
    println!("{seen:?}");
    assert!(one || seen.all_happened(), "the model has become tame: {seen:?}");
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    for seed in 0..20 {
        let [first, second] = [0, 1].map(|_| {
            let mut model = Model::new(seed);
            model.run();
            model.history
        });
        assert_eq!(first, second, "seed {seed}");
    }
}
