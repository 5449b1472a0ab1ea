//! Asks random queries in every way until the time is over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use waterbear_testkit::client::Answer;

use crate::random::Random;
use crate::rows::same_rows;
use crate::ways::{Sessions, Way, Ways};

/// Differences after which it is enough.
const ENOUGH: usize = 20;
/// Errors that may be in any answer: a query that one way refuses need not be refused by another.
const REFUSED: &str = "NOT_SUPPORTED";

/// Runs the queries of `seed`, without the first `skip`, for so long; prints each difference with
/// its statement, and whether there was none.
///
/// # Errors
/// When a process has ended.
pub async fn run(ways: &Ways, seed: u64, skip: u64, duration: Duration) -> anyhow::Result<bool> {
    let start = Instant::now();
    let mut random = Random::new(seed);
    for _ in 0..skip {
        let _ = random.query();
    }
    let (mut asked, mut refused, mut empty, mut tasks) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut differences, mut failed) = (0, BTreeMap::<String, u64>::new());
    while start.elapsed() < duration && differences < ENOUGH {
        let sql = random.query();
        asked += 1;
        let one = ways.answer(Way::InProcess, &mut Sessions::new(), &sql).await;
        let way = if asked % 2 == 0 { Way::Spooled } else { Way::ThreeWorkers };
        let other = ways.answer(way, &mut Sessions::new(), &sql).await;
        if !ways.is_alive(way) {
            let query = skip + asked;
            anyhow::bail!("seed {seed}, query {query}: the cluster's process has ended\n{sql}");
        }
        let difference = match (one, other) {
            (Ok(Some(Answer::Rows(one))), Ok(Some(Answer::Rows(other)))) => {
                empty += u64::from(one.rows.is_empty());
                tasks += other.tasks;
                let same = same_rows(&one.rows, &other.rows, false);
                (!same).then(|| format!("{} rows and {}", one.rows.len(), other.rows.len()))
            }
            (
                Ok(Some(Answer::Error { name, message })),
                Ok(Some(Answer::Error { name: other, .. })),
            ) if name == other => {
                // Both say so: no wrong answer. A refusal is by design; an error without a name of
                // its own is not.
                let nameless = name.starts_with("GENERIC_");
                let text = format!("both fail: {name}: {message}");
                match name.as_str() {
                    REFUSED => refused += 1,
                    _ => *failed.entry(name).or_default() += 1,
                }
                nameless.then_some(text)
            }
            (_, Ok(Some(Answer::Error { name, .. }))) if name == REFUSED => {
                refused += 1;
                None
            }
            (one, other) => Some(format!("{}; {}", brief(one), brief(other))),
        };
        if let Some(difference) = difference {
            differences += 1;
            println!("seed {seed}, query {}: {difference}\n{sql}\n", skip + asked);
        }
    }
    println!(
        "seed {seed}: {asked} random queries, {differences} differences, {refused} refused, \
         {} failed alike {failed:?}, {empty} without rows, {tasks} tasks, {:.1} s",
        failed.values().sum::<u64>(),
        start.elapsed().as_secs_f64()
    );
    Ok(differences == 0 && asked > refused)
}

fn brief(answer: anyhow::Result<Option<Answer>>) -> String {
    match answer {
        Ok(Some(Answer::Rows(table))) => format!("{} rows", table.rows.len()),
        Ok(Some(Answer::Error { name, message })) => format!("{name}: {message}"),
        Ok(None) => "no answer".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}
