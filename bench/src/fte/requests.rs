//! Goal 17: how often storage is asked under TASK in undisturbed queries.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};

use super::WORKERS;
use super::table::Measured;
use crate::cluster::{self, Cluster, Shape};
use crate::place::Place;
use crate::query_info::{Attempt, Inputs, QueryInfo};
use crate::tpch;

/// What is written with one request.
const PART_BYTES: u64 = 4 << 20;
/// `exchange.sink-buffer-size`: an output of so many bytes is written as one run.
const RUN_BYTES: u64 = 32 << 20;
/// An output up to this size lies in its record, which is somewhat larger.
const SMALL_BYTES: u64 = 64 << 10;

/// What was counted over all queries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    attempts: u64,
    writes: u64,
    writes_within: u64,
    small: u64,
    small_with_one_write: u64,
    consumers: u64,
    reads: u64,
    reads_within: u64,
    memory_reads: u64,
    /// Sum of what the bar allows.
    reads_allowed: u64,
}

/// Runs the queries once each.
pub async fn run(place: &Place, data: &Path, queries: &[u32]) -> anyhow::Result<Measured> {
    let catalogs = vec![cluster::parquet(data)];
    let workers = usize::from(WORKERS);
    let shape = Shape { workers, tls: true, retries: true, catalogs, ..Shape::default() };
    let mut cluster = Cluster::start(place, shape).await?;
    let mut counts = Counts::default();
    let mut notes = vec![
        "each query once, undisturbed; requests as the workers report them with each attempt. \
         Allowed are 2 + bytes / 4 MiB writes an attempt, and producers × runs of up to 32 MiB \
         reads a consumer, whatever part of them it reads"
            .to_owned(),
    ];
    for (number, sql) in tpch::QUERIES.iter().filter(|(number, _)| queries.contains(number)) {
        let of_query = count(&cluster, sql).await.with_context(|| format!("q{number}"))?;
        if of_query.writes_within < of_query.attempts || of_query.reads_within < of_query.consumers
        {
            notes.push(format!("q{number} is over a bar: {}", of_query.shown()));
        }
        counts.add(&of_query);
    }
    cluster.ensure_running()?;
    Ok(Measured { value: counts.value(), shown: counts.shown(), notes })
}

async fn count(cluster: &Cluster, sql: &str) -> anyhow::Result<Counts> {
    let client = cluster.client();
    let answer = client.run(sql).await?;
    let info = QueryInfo::of(client, &answer.id).await?;
    let inputs = Inputs::of(client, sql).await?;
    let finished: Vec<&Attempt> = info.tasks.iter().filter(|task| task.is_finished()).collect();
    ensure!(finished.len() == info.tasks.len(), "an undisturbed attempt has failed");
    ensure!(
        finished.iter().all(|task| inputs.fragments().contains(&task.stage)),
        "EXPLAIN shows other fragments than those that ran"
    );
    Ok(Counts::of(&finished, &inputs))
}

impl Counts {
    fn of(attempts: &[&Attempt], inputs: &Inputs) -> Self {
        // Runs that each fragment has written, over all its tasks.
        let mut runs = BTreeMap::<u32, u64>::new();
        for attempt in attempts {
            *runs.entry(attempt.stage).or_default() += 1 + attempt.stats.spooled_bytes / RUN_BYTES;
        }
        let mut counts = Self::default();
        for attempt in attempts {
            let stats = attempt.stats;
            counts.attempts += 1;
            counts.writes += stats.spool_writes;
            let allowed = 2 + stats.spooled_bytes / PART_BYTES;
            counts.writes_within += u64::from(stats.spool_writes <= allowed);
            if stats.spooled_bytes <= SMALL_BYTES {
                counts.small += 1;
                counts.small_with_one_write += u64::from(stats.spool_writes == 1);
            }
            let sources = inputs.of_fragment(attempt.stage);
            let allowed: u64 = sources.filter_map(|source| runs.get(&source)).sum();
            if allowed > 0 {
                counts.consumers += 1;
                counts.reads += stats.spool_reads;
                counts.memory_reads += stats.spool_memory_reads;
                counts.reads_allowed += allowed;
                counts.reads_within += u64::from(stats.spool_reads <= allowed);
            }
        }
        counts
    }

    fn add(&mut self, other: &Self) {
        let Self { attempts, writes, writes_within, small, small_with_one_write, .. } = other;
        let Self { consumers, reads, reads_within, memory_reads, reads_allowed, .. } = other;
        self.attempts += attempts;
        self.writes += writes;
        self.writes_within += writes_within;
        self.small += small;
        self.small_with_one_write += small_with_one_write;
        self.consumers += consumers;
        self.reads += reads;
        self.reads_within += reads_within;
        self.memory_reads += memory_reads;
        self.reads_allowed += reads_allowed;
    }

    /// The share of attempts within the bars; one more where the higher bar is reached as well.
    fn value(&self) -> f64 {
        let within = self.writes_within + self.reads_within;
        let share = within as f64 / (self.attempts + self.consumers) as f64;
        let moon = self.small == self.small_with_one_write && self.reads == 0;
        share + f64::from(u8::from(moon && share == 1.0))
    }

    fn shown(&self) -> String {
        let each = |sum: u64, of: u64| sum as f64 / of as f64;
        format!(
            "{:.1} writes an attempt, {} of {} within; {} of {} small outputs with one write; \
             {:.1} reads a consumer ({:.1} allowed), {} of {} within; {} reads in all, {} more from memory",
            each(self.writes, self.attempts),
            self.writes_within,
            self.attempts,
            self.small_with_one_write,
            self.small,
            each(self.reads, self.consumers),
            each(self.reads_allowed, self.consumers),
            self.reads_within,
            self.consumers,
            self.reads,
            self.memory_reads,
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::query_info::AttemptStats;

    fn attempt(stage: u32, spooled_bytes: u64, spool_writes: u64, spool_reads: u64) -> Attempt {
        let spool_memory_reads = 3;
        let stats = AttemptStats { spooled_bytes, spool_writes, spool_reads, spool_memory_reads };
        let (node_id, state) = ("worker-1".to_owned(), "FINISHED".to_owned());
        Attempt { node_id, stage, state, stats }
    }

    fn counted(attempts: &[Attempt]) -> Counts {
        let plan =
            "Fragment 0 [SINGLE]\nRemoteSource[sourceFragmentIds = [1]]\nFragment 1 [SOURCE]";
        let inputs = Inputs::parse(plan).unwrap();
        Counts::of(&attempts.iter().collect::<Vec<_>>(), &inputs)
    }

    #[test]
    fn requests_are_held_against_what_was_written() {
        let counts = counted(&[
            attempt(1, 9 << 20, 4, 0),
            attempt(1, 9 << 20, 5, 0),
            attempt(1, 33 << 20, 2, 0),
            attempt(0, 1000, 1, 4),
            attempt(0, 1000, 2, 5),
        ]);
        assert_eq!((counts.attempts, counts.writes_within), (5, 4));
        assert_eq!((counts.small, counts.small_with_one_write), (2, 1));
        assert_eq!((counts.consumers, counts.reads_within, counts.reads_allowed), (2, 1, 8));
        assert_eq!(counts.memory_reads, 6);
        assert_eq!(counts.value(), 5.0 / 7.0);
    }

    #[test]
    fn the_higher_bar_wants_no_read_at_all() {
        assert_eq!(counted(&[attempt(1, 100, 1, 0), attempt(0, 100, 1, 0)]).value(), 2.0);
        assert_eq!(counted(&[attempt(1, 100, 1, 0), attempt(0, 100, 1, 1)]).value(), 1.0);
        assert_eq!(counted(&[attempt(1, 100, 2, 0), attempt(0, 100, 1, 0)]).value(), 1.0);
    }
}
