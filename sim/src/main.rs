//! Runs the simulation over many seeds, or one with all its events, or with bugs planted.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use waterbear_sim::base::Rng;
use waterbear_sim::plant::Plant;
use waterbear_sim::setup::Setup;
use waterbear_sim::tally::Tally;
use waterbear_sim::{Violation, simulate};

/// A line on stdout. Whoever reads no further, as `head` does, is no reason to panic.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// The attempts at tasks and the scheduler, simulated together while everything around them breaks.
#[derive(Parser)]
#[command(name = "waterbear-sim")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Many seeds; ends with the first violation.
    Run {
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Stops after so long.
        #[arg(long)]
        seconds: Option<u64>,
        /// Says how it goes, and what happened how often.
        #[arg(long)]
        verbose: bool,
        /// Goes on after a violation.
        #[arg(long)]
        all: bool,
    },
    /// One seed.
    One {
        /// Which.
        #[arg(long)]
        seed: u64,
        /// Shows all that happens.
        #[arg(long)]
        trace: bool,
        /// With this bug.
        #[arg(long)]
        plant: Option<String>,
    },
    /// Plants bugs, and says after how many seeds each was found.
    Planted {
        /// The bug, or all.
        #[arg(default_value = "all")]
        bug: String,
        /// For all of them together.
        #[arg(long, default_value_t = 300)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let right = match Arguments::parse().what {
        What::Run { seeds, from, seconds, verbose, all } => {
            run(seeds, from, seconds.map(Duration::from_secs), verbose, all)
        }
        What::One { seed, trace, plant } => one(seed, trace, plant.as_deref()),
        What::Planted { bug, seconds } => planted(&bug, Duration::from_secs(seconds)),
    };
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(seeds: u64, from: u64, longest: Option<Duration>, verbose: bool, all: bool) -> bool {
    let begin = Instant::now();
    let (mut events, mut violations, mut ran) = (0, 0_u64, 0);
    let mut tally = Tally::default();
    for seed in from..from.saturating_add(seeds) {
        if longest.is_some_and(|longest| begin.elapsed() >= longest) {
            break;
        }
        let outcome = simulate_named(seed, None, false);
        ran += 1;
        events += outcome.events;
        tally.add(&outcome.tally);
        if outcome.violation.is_some() {
            violations += 1;
            if let Some(violation) = simulate(seed, None, !all).violation {
                show(&violation);
            }
            if !all {
                break;
            }
        }
        if verbose && ran % 10_000 == 0 {
            eprintln!("{ran} seeds, {events} events, {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    if verbose {
        let all = tally.all();
        let all: Vec<_> = all.iter().map(|(name, count)| format!("{name} {count}")).collect();
        say!("{}", all.join(", "));
    }
    let seconds = begin.elapsed().as_secs_f64();
    say!("{ran} seeds, {events} events, {violations} violations, {seconds:.1} s");
    violations == 0
}

/// A seed whose run panics is named.
fn simulate_named(seed: u64, plant: Option<Plant>, traced: bool) -> waterbear_sim::Outcome {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("panic in seed {}", self.0);
            }
        }
    }
    let _named = Named(seed);
    simulate(seed, plant, traced)
}

fn one(seed: u64, trace: bool, plant: Option<&str>) -> bool {
    let plant =
        plant.and_then(|name| Plant::ALL.into_iter().find(|bug| format!("{bug:?}") == name));
    let outcome = simulate_named(seed, plant, true);
    if trace {
        for line in &outcome.trace {
            say!("{line}");
        }
    }
    if let Some(violation) = &outcome.violation {
        show(violation);
    }
    let violations = u32::from(outcome.violation.is_some());
    let setup = Setup::draw(&mut Rng::new(seed));
    let (workers, tasks) = setup.size();
    let queries = setup.queries.len();
    say!("{workers} workers, {queries} queries, {tasks} tasks, {:?}", setup.faults);
    say!("hash {:016x}", outcome.hash);
    say!("1 seeds, {} events, {violations} violations", outcome.events);
    violations == 0
}

fn planted(bug: &str, longest: Duration) -> bool {
    let bugs: Vec<Plant> = Plant::ALL
        .into_iter()
        .filter(|plant| bug == "all" || format!("{plant:?}").eq_ignore_ascii_case(bug))
        .collect();
    let mut found = 0;
    let begin = Instant::now();
    for (number, plant) in bugs.iter().enumerate() {
        let left = longest.saturating_sub(begin.elapsed()) / (bugs.len() - number) as u32;
        let start = Instant::now();
        let mut seeds = 0;
        let mut how = None;
        while how.is_none() && start.elapsed() < left {
            how = simulate_named(seeds, Some(*plant), false).violation;
            seeds += 1;
        }
        let name = format!("{plant:?}");
        match how {
            Some(violation) => {
                found += 1;
                say!("{name:<26} found after {seeds:>6} seeds: {}", violation.text);
            }
            None => say!("{name:<26} NOT found in {seeds} seeds"),
        }
    }
    say!("{found} of {} planted bugs found", bugs.len());
    found == bugs.len() && found > 0
}

fn show(violation: &Violation) {
    let Violation { seed, at, query, text, trace } = violation;
    for line in trace {
        say!("{line}");
    }
    let query = query.map_or_else(String::new, |query| format!(", query {query}"));
    say!("VIOLATION seed {seed}, at {:.6} s{query}: {text}", *at as f64 / 1e6);
}
