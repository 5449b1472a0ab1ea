//! What retry-policy TASK costs, and what a killed worker costs under it: goals 3, 4, 5, 6, 13, 14
//! and 17.
//!
//! Layout: [`table`] has the goals and prints them; goal 3 is [`crate::tpch`]'s, [`small`] measures
//! 4, [`kills`] 5 and 6, [`events`] 13, [`chain`] 14, [`requests`] 17; [`pair`] is two clusters
//! that differ in their retry policy alone.

mod chain;
mod events;
mod kills;
mod pair;
mod requests;
mod small;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use clap::Args;

use self::table::{GOALS, Goal, Measured, Table};
use crate::place::Place;
use crate::report::Ratio;
use crate::tpch::{self, TpchArgs};
use crate::{cgroup, data};

/// What is run.
#[derive(Args)]
pub struct FteArgs {
    /// The goals that are measured.
    #[arg(long, value_delimiter = ',', value_parser = goal, default_values_t = GOALS.map(|goal| goal.number))]
    goals: Vec<u8>,
    /// Scale factor of TPC-H for goals 3, 5, 6 and 17.
    #[arg(long, default_value = "1", value_parser = data::scale)]
    scale: String,
    /// Runs of each query on each side, or with a kill at each moment. Small queries run ten times
    /// as often.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// The numbers of the queries. If absent, goals 3 and 17 take all 22, goals 5 and 6 those that
    /// figures of others exist for: 3, 5, 9, 18, 21.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=22))]
    queries: Vec<u32>,
}

/// A goal's number.
fn goal(text: &str) -> Result<u8, String> {
    let number = text.parse().ok().filter(|number| Goal::of(*number).is_some());
    number.ok_or_else(|| format!("expected one of {:?}", GOALS.map(|goal| goal.number)))
}

/// Workers of a cluster in which nobody is killed.
const WORKERS: u16 = 2;
/// Queries that run under kills unless others are asked for.
const KILLED_QUERIES: [u32; 5] = [3, 5, 9, 18, 21];

/// Runs the benchmarks and prints their table. Whether every answer was right.
pub async fn run(place: &Place, args: &FteArgs) -> anyhow::Result<bool> {
    let wanted: BTreeSet<u8> = args.goals.iter().copied().collect();
    let needs_data = [3, 5, 6, 17].iter().any(|goal| wanted.contains(goal));
    let data = match needs_data {
        true => data::ensure(&place.data(), &args.scale)?,
        false => place.data(),
    };
    let mut table = Table::default();
    let mut right = true;
    for goal in GOALS.iter().filter(|goal| wanted.contains(&goal.number)) {
        // Measured with goal 5.
        if goal.number == 6 && wanted.contains(&5) {
            continue;
        }
        eprintln!("goal {}", goal.number);
        let measured = measure(place, args, &data, goal, &wanted).await;
        match measured.with_context(|| format!("goal {}", goal.number)) {
            Ok(lines) => {
                for (goal, measured) in lines {
                    match measured {
                        Ok(measured) => table.add(goal, measured),
                        Err(reason) => table.add_not_measured(goal, reason),
                    }
                }
            }
            // The others are worth their time all the same.
            Err(error) => {
                right = false;
                eprintln!("{error:#}");
                table.add_not_measured(goal, format!("{error:#}"));
            }
        }
    }
    println!(
        "TPC-H at scale {}, {} repeats, medians; workers with one CPU thread each\n",
        args.scale, args.repeats
    );
    print!("{table}");
    Ok(right)
}

/// What was measured of one goal or several, or why it cannot be measured on this machine.
type Lines = Vec<(&'static Goal, Result<Measured, String>)>;

async fn measure(
    place: &Place,
    args: &FteArgs,
    data: &Path,
    goal: &'static Goal,
    wanted: &BTreeSet<u8>,
) -> anyhow::Result<Lines> {
    let measured = match goal.number {
        3 => Ok(total(place, args).await?),
        4 => Ok(small::run(place, args.repeats * 10).await?),
        13 => events::run(place).await?,
        14 => Ok(chain::run(place, args.repeats * 10).await?),
        17 => Ok(requests::run(place, data, &args.all_queries()).await?),
        _ => {
            let both: Vec<&Goal> =
                [5, 6].into_iter().filter(|n| wanted.contains(n)).filter_map(Goal::of).collect();
            let limits = match cgroup::CpuLimits::find() {
                Ok(limits) => limits,
                Err(error) => {
                    let reason = format!("no cgroup ({error:#})");
                    return Ok(both.into_iter().map(|goal| (goal, Err(reason.clone()))).collect());
                }
            };
            let queries = match args.queries.is_empty() {
                true => KILLED_QUERIES.to_vec(),
                false => args.queries.clone(),
            };
            let measured = kills::run(place, data, limits, &queries, args.repeats).await?;
            let line = |goal: &'static Goal| match goal.number {
                5 => (goal, measured.time()),
                _ => (goal, measured.known()),
            };
            return Ok(both.into_iter().map(line).collect());
        }
    };
    Ok(vec![(goal, measured)])
}

impl FteArgs {
    fn all_queries(&self) -> Vec<u32> {
        let all = || tpch::QUERIES.iter().map(|(number, _)| *number).collect();
        if self.queries.is_empty() { all() } else { self.queries.clone() }
    }
}

/// Goal 3.
async fn total(place: &Place, args: &FteArgs) -> anyhow::Result<Measured> {
    let tpch = TpchArgs::retries(args.scale.clone(), args.repeats, WORKERS, args.queries.clone());
    let report = tpch::compare(place, &tpch).await?;
    anyhow::ensure!(report.all_right(), "an answer was wrong:\n{report}");
    let compared = report.task_and_none().context("a side is missing")?;
    let Ratio { wall, cpu } = compared.total;
    let mut notes = vec![format!(
        "{} of the 22 queries on {WORKERS} workers, NONE and TASK in turns over mutual TLS, spool on \
         the local disk; CPU time is that of all processes",
        args.all_queries().len()
    )];
    notes.extend(
        compared
            .queries
            .iter()
            .map(|(name, Ratio { wall, cpu })| format!("{name}: wall {wall:.2}, CPU {cpu:.2}")),
    );
    Ok(Measured {
        value: wall,
        shown: format!(
            "{wall:.2}; CPU {cpu:.2}; geometric means {:.2} and {:.2}",
            compared.mean.wall, compared.mean.cpu
        ),
        notes,
    })
}
