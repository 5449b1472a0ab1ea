//! Goals 5 and 6: what the death of one of four workers costs a query under TASK, and how soon the
//! coordinator knows of it.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow, ensure};
use chrono::DateTime;

use super::table::Measured;
use crate::answers::{self, Row};
use crate::cgroup::CpuLimits;
use crate::client::Answer;
use crate::cluster::{self, Cluster, Killed, Shape};
use crate::figures::{geometric_mean, median, ms, percentile};
use crate::place::Place;
use crate::query_info::QueryInfo;
use crate::tpch;

const WORKERS: usize = 4;
/// Of each worker: together they have two.
const CORES: f64 = 0.5;
/// When a worker is killed, in parts of the undisturbed time.
const MOMENTS: [f64; 3] = [0.25, 0.5, 0.75];
/// The moment that the goal is about, of [`MOMENTS`].
const HALF: usize = 1;
/// A death that is not known by then never will be.
const UNKNOWN: Duration = Duration::from_secs(30);
/// A worker that was started again is given tasks by then.
const RETURNS: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// After this time without a query a worker is idle.
const IDLE: Duration = Duration::from_secs(1);
/// What the coordinator logs of a worker that it has lost.
const LOST: &str = "worker is lost";

/// What was seen of all deaths.
#[derive(Default)]
pub struct Deaths {
    queries: Vec<QueryUnderKills>,
    busy: Vec<Duration>,
    idle: Vec<Duration>,
}

/// A query's times in milliseconds.
struct QueryUnderKills {
    number: u32,
    undisturbed: Vec<f64>,
    /// By moment; less than the repeats where the query ended before.
    killed: [Vec<f64>; MOMENTS.len()],
}

/// A query's undisturbed answer.
struct Expected {
    types: Vec<String>,
    rows: Vec<Row>,
}

/// Runs the queries, undisturbed and with a kill at each moment, in turns.
///
/// # Errors
/// Also when an answer is wrong.
pub async fn run(
    place: &Place,
    data: &Path,
    limits: CpuLimits,
    queries: &[u32],
    repeats: u32,
) -> anyhow::Result<Deaths> {
    let shape = Shape {
        workers: WORKERS,
        tls: true,
        retries: true,
        catalogs: vec![cluster::parquet(data)],
        coordinator: Vec::new(),
        cores: Some((limits, CORES)),
    };
    let mut victims = Victims { cluster: Cluster::start(place, shape).await?, killed: 0 };
    let mut deaths = Deaths::default();
    for (number, sql) in tpch::QUERIES.iter().filter(|(number, _)| queries.contains(number)) {
        eprintln!("q{number} under kills");
        let query = victims.query(*number, sql, repeats, &mut deaths.busy).await;
        deaths.queries.push(query.with_context(|| format!("q{number}"))?);
    }
    let (_, probe) = tpch::QUERIES[0];
    for _ in 0..repeats {
        deaths.idle.push(victims.kill_idle(probe).await.context("an idle worker")?);
    }
    Ok(deaths)
}

struct Victims {
    cluster: Cluster,
    /// So many were killed: another one each time.
    killed: usize,
}

impl Victims {
    fn next(&mut self) -> String {
        self.killed += 1;
        format!("worker-{}", self.killed % WORKERS + 1)
    }

    async fn query(
        &mut self,
        number: u32,
        sql: &str,
        repeats: u32,
        known: &mut Vec<Duration>,
    ) -> anyhow::Result<QueryUnderKills> {
        let mut query =
            QueryUnderKills { number, undisturbed: Vec::new(), killed: Default::default() };
        let warm_up = self.cluster.client().run(sql).await?;
        let expected = Expected { types: warm_up.types.clone(), rows: warm_up.values()? };
        for _ in 0..repeats {
            let start = Instant::now();
            let answer = self.cluster.client().run(sql).await?;
            query.undisturbed.push(ms(start.elapsed()));
            expected.check(&answer)?;
            for (moment, killed) in MOMENTS.iter().zip(&mut query.killed) {
                let after = median(query.undisturbed.iter().copied()) * moment;
                let victim = self.next();
                let start = Instant::now();
                let died = self.run_with_kill(sql, &victim, after / 1e3).await?;
                let Died { answer, wall, death } = died;
                expected.check(&answer)?;
                let Some(Death { at, log, victim: dead }) = death else {
                    eprintln!(
                        "ended {:.0} ms after its start, before the kill",
                        ms(start.elapsed())
                    );
                    continue;
                };
                killed.push(ms(wall));
                known.push(self.lost_after(&victim, log, at).await?);
                self.revive(dead, &victim, sql).await?;
            }
        }
        Ok(query)
    }

    /// Runs a query and kills the victim so many seconds after its start.
    async fn run_with_kill(&mut self, sql: &str, victim: &str, after: f64) -> anyhow::Result<Died> {
        let client = self.cluster.client().clone();
        let log = self.cluster.coordinator_log()?.len();
        let start = Instant::now();
        let mut run = pin!(client.run(sql));
        let after = Duration::from_secs_f64(after);
        if let Ok(answer) = tokio::time::timeout(after, &mut run).await {
            return Ok(Died { answer: answer?, wall: start.elapsed(), death: None });
        }
        let at = SystemTime::now();
        let ended = async { (run.await, start.elapsed()) };
        let (killed, (answer, wall)) = tokio::join!(self.cluster.kill(victim), ended);
        let answer = answer.with_context(|| format!("{victim} was killed after {after:?}"))?;
        Ok(Died { answer, wall, death: Some(Death { at, log, victim: killed? }) })
    }

    /// Time from a kill until the coordinator logged it; what it had logged before is `log` bytes.
    async fn lost_after(
        &self,
        victim: &str,
        log: usize,
        at: SystemTime,
    ) -> anyhow::Result<Duration> {
        loop {
            if let Some(known) = lost_at(&self.cluster.coordinator_log()?[log..], victim) {
                return Ok(known.duration_since(at).unwrap_or_default());
            }
            ensure!(
                at.elapsed().unwrap_or_default() < UNKNOWN,
                "{victim} was killed, and the coordinator has not logged '{LOST}' after {UNKNOWN:?}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Kills a worker while nothing runs. Time until the coordinator logs it, or no longer lists
    /// it as active, whichever is earlier: from then on it is given nothing.
    async fn kill_idle(&mut self, probe: &str) -> anyhow::Result<Duration> {
        tokio::time::sleep(IDLE).await;
        let victim = self.next();
        let log = self.cluster.coordinator_log()?.len();
        let (at, start) = (SystemTime::now(), Instant::now());
        let dead = self.cluster.kill(&victim).await?;
        let known = loop {
            if let Some(known) = lost_at(&self.cluster.coordinator_log()?[log..], &victim) {
                break known.duration_since(at).unwrap_or_default();
            }
            if !self.cluster.is_active(&victim).await? {
                break start.elapsed();
            }
            ensure!(start.elapsed() < UNKNOWN, "{victim} is active {UNKNOWN:?} after its death");
            tokio::time::sleep(PAUSE).await;
        };
        self.revive(dead, &victim, probe).await?;
        Ok(known)
    }

    /// Starts a killed worker again, and runs a query until it is given tasks.
    async fn revive(&mut self, dead: Killed, name: &str, sql: &str) -> anyhow::Result<()> {
        self.cluster.start_again(dead)?;
        let start = Instant::now();
        loop {
            self.cluster.ensure_running()?;
            if self.cluster.is_active(name).await? {
                let answer = self.cluster.client().run(sql).await?;
                let info = QueryInfo::of(self.cluster.client(), &answer.id).await?;
                if info.tasks.iter().any(|task| task.node_id == name && task.is_finished()) {
                    return Ok(());
                }
            }
            ensure!(
                start.elapsed() < RETURNS,
                "{name} is given no task {RETURNS:?} after its start"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A run in which a worker was to die.
struct Died {
    answer: Answer,
    wall: Duration,
    /// None when the query had ended before.
    death: Option<Death>,
}

struct Death {
    at: SystemTime,
    /// Bytes of the coordinator's log before.
    log: usize,
    victim: Killed,
}

impl Expected {
    fn check(&self, answer: &Answer) -> anyhow::Result<()> {
        let same = answers::compare(&self.types, self.rows.clone(), answer.values()?);
        same.map_err(|difference| anyhow!("wrong, query {}: {difference}", answer.id))
    }
}

/// When a worker was first logged as lost. A line begins with its time.
fn lost_at(log: &str, worker: &str) -> Option<SystemTime> {
    let of_worker = |line: &&str| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '-');
        line.contains(LOST) && words.any(|word| word == worker)
    };
    log.lines().filter(of_worker).find_map(|line| {
        let time = line.split_whitespace().next()?;
        Some(DateTime::parse_from_rfc3339(time).ok()?.into())
    })
}

impl QueryUnderKills {
    /// Time with a kill / undisturbed time.
    fn ratio(&self, moment: usize) -> f64 {
        let undisturbed = median(self.undisturbed.iter().copied());
        median(self.killed[moment].iter().copied()) / undisturbed
    }
}

/// A ratio; without any kill in time there is none.
fn shown(ratio: f64) -> String {
    match ratio.is_nan() {
        true => "no kill in time".to_owned(),
        false => format!("{ratio:.2}"),
    }
}

impl Deaths {
    /// Goal 5.
    pub fn time(&self) -> Result<Measured, String> {
        let mean = |moment: usize| {
            let ratios: Vec<f64> = self.queries.iter().map(|query| query.ratio(moment)).collect();
            geometric_mean(&ratios)
        };
        let [quarter, half, late] = [mean(0), mean(HALF), mean(2)];
        if half.is_nan() {
            return Err("a query ended before its kill at half of its time every time".to_owned());
        }
        let mut notes = vec![format!(
            "{WORKERS} workers with {CORES} cores each; geometric mean of the queries' ratios; a \
             killed worker is started again and given tasks before the next run; all rows equal \
             to the undisturbed ones"
        )];
        notes.extend(self.queries.iter().map(|query| {
            let [a, b, c] = [0, 1, 2].map(|moment| shown(query.ratio(moment)));
            let kills: usize = query.killed.iter().map(Vec::len).sum();
            format!(
                "q{}: {:.0} ms undisturbed; killed at 25 %: {a}, 50 %: {b}, 75 %: {c} \
                 ({kills} kills)",
                query.number,
                median(query.undisturbed.iter().copied()),
            )
        }));
        let text = format!("{half:.2} (at 25 % {}, at 75 % {})", shown(quarter), shown(late));
        Ok(Measured { value: half, shown: text, notes })
    }

    /// Goal 6: the latest of all is held against the bar.
    pub fn known(&self) -> Result<Measured, String> {
        if self.busy.is_empty() || self.idle.is_empty() {
            return Err("no worker was killed in time".to_owned());
        }
        let of = |times: &[Duration]| {
            let mut times = times.to_vec();
            times.sort_unstable();
            [50, 100].map(|percent| percentile(&times, percent).as_secs_f64())
        };
        let ([busy, busy_max], [idle, idle_max]) = (of(&self.busy), of(&self.idle));
        let notes = vec![
            format!(
                "busy ({} kills): from the kill to '{LOST}' in the coordinator's log, by the \
                 machine's clock",
                self.busy.len()
            ),
            format!(
                "idle ({} kills): to that line, or until it is no longer active in \
                 system.runtime.nodes",
                self.idle.len()
            ),
        ];
        let shown = format!(
            "busy: median {busy:.3}, max {busy_max:.3}; idle: median {idle:.3}, max {idle_max:.3}"
        );
        Ok(Measured { value: busy_max.max(idle_max), shown, notes })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_very_worker_says_when() {
        let log = "2026-11-28T16:31:00.100000Z  INFO waterbear: started node=worker-1\n\
            2026-11-28T16:31:01.000000Z  WARN waterbear: worker is lost node=worker-11\n\
            2026-11-28T16:31:02.500000Z  WARN waterbear: worker is lost node=worker-1\n\
            2026-11-28T16:31:09.000000Z  WARN waterbear: worker is lost node=worker-1\n";
        let from = DateTime::parse_from_rfc3339("2026-11-28T16:31:02Z").unwrap();
        let after = lost_at(log, "worker-1").unwrap().duration_since(from.into()).unwrap();
        assert_eq!(after, Duration::from_millis(500));
        assert_eq!(lost_at(log, "worker-2"), None);
    }

    #[test]
    fn figures_are_of_medians_and_the_latest_death_counts() {
        let killed = [vec![110.0], vec![120.0, 130.0, 140.0], Vec::new()];
        let query = QueryUnderKills { number: 3, undisturbed: vec![100.0, 90.0, 110.0], killed };
        let seconds = |values: &[u64]| values.iter().copied().map(Duration::from_secs).collect();
        let (busy, idle) = (seconds(&[1, 2, 3]), seconds(&[4]));
        let deaths = Deaths { queries: vec![query], busy, idle };
        let measured = deaths.time().unwrap();
        assert!((measured.value - 1.3).abs() < 1e-9, "{}", measured.value);
        assert!(measured.notes[1].contains("(4 kills)"), "{}", measured.notes[1]);
        assert_eq!(deaths.known().unwrap().value, 4.0);
        assert!(Deaths::default().time().is_err() && Deaths::default().known().is_err());
    }
}
