//! TPC-H over the same Parquet files on all sides, interleaved.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use clap::{Args, ValueEnum};

use crate::place::Place;
use crate::report::{Line, Report};
use crate::side::{Side, SideName};
use crate::{answers, data};

/// What is run.
#[derive(Args)]
pub struct TpchArgs {
    /// Scale factor; 1 is about 0.4 GB of Parquet.
    #[arg(long, default_value = "1", value_parser = data::scale)]
    pub scale: String,
    /// Counted runs of each query on each side; one more before them is not counted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeats: u32,
    /// Workers of a cluster, each with one CPU thread; DataFusion in process has as many threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// The numbers of the queries; all 22 if absent.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=22))]
    queries: Vec<u32>,
    /// Mutual TLS in the cluster; `both` compares two clusters, on a pure repartition too.
    #[arg(long, value_enum, default_value_t = Tls::Both)]
    tls: Tls,
    /// One more cluster, with retry-policy TASK.
    #[arg(long)]
    retries: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tls {
    On,
    Off,
    Both,
}

macro_rules! queries {
    ($($n:literal)*) => {
        [$(($n, include_str!(concat!("../../tests/tpch/queries/q", $n, ".sql")))),*]
    };
}

/// Number and text of each query.
pub const QUERIES: [(u32, &str); 22] =
    queries!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22);

/// Sends every column of every row of the largest table through an exchange and does as little as
/// can be with it: the join keeps all rows and needs one column of the other side, counting looks
/// at no value.
const REPARTITION: &str = "SELECT count(*), count(l_partkey), count(l_suppkey), \
    count(l_linenumber), count(l_quantity), count(l_extendedprice), count(l_discount), \
    count(l_tax), count(l_returnflag), count(l_linestatus), count(l_shipdate), \
    count(l_commitdate), count(l_receiptdate), count(l_shipinstruct), count(l_shipmode), \
    count(l_comment) FROM lineitem JOIN orders ON l_orderkey = o_orderkey";

/// Rows up to which values are compared too.
const COMPARED_ROWS: usize = 100_000;

impl TpchArgs {
    /// DataFusion in process, and two clusters with mutual TLS: NONE and TASK. All 22 queries if
    /// none are named.
    pub fn retries(scale: String, repeats: u32, workers: u16, queries: Vec<u32>) -> Self {
        Self { scale, repeats, workers, queries, tls: Tls::On, retries: true }
    }
}

/// Runs the benchmark and prints its table. Whether every answer was right.
pub async fn run(place: &Place, args: &TpchArgs) -> anyhow::Result<bool> {
    let report = compare(place, args).await?;
    println!(
        "TPC-H at scale {}, {} workers with one CPU thread each, medians of {} interleaved runs",
        args.scale, args.workers, args.repeats
    );
    print!("{report}");
    Ok(report.all_right())
}

/// Runs the queries on all sides.
pub async fn compare(place: &Place, args: &TpchArgs) -> anyhow::Result<Report> {
    let data = data::ensure(&place.data(), &args.scale)?;
    let mut sides = start_sides(place, &data, args).await?;
    let mut report = Report::new(sides.iter().map(Side::name).collect());
    for (name, sql, counts) in chosen(args) {
        eprint!("{name} ");
        std::io::stderr().flush()?;
        let line = measure(&mut sides, Line::new(name, counts), sql, args.repeats).await;
        for side in &mut sides {
            side.ensure_running()?;
        }
        report.add(line);
    }
    eprintln!();
    let peaks = sides.iter().map(Side::peak_memory).collect::<Result<_, _>>()?;
    let mut exchanged = Vec::new();
    for side in &sides {
        exchanged.push(side.exchanged().await?);
    }
    report.finish(peaks, exchanged);
    Ok(report)
}

async fn start_sides(place: &Place, data: &Path, args: &TpchArgs) -> anyhow::Result<Vec<Side>> {
    let workers = usize::from(args.workers);
    let mut sides = vec![Side::in_process(place, data, workers)?];
    let clusters = [
        (args.tls != Tls::Off, SideName::Mtls),
        (args.tls != Tls::On, SideName::Plain),
        (args.retries, SideName::Task),
    ];
    for (_, name) in clusters.into_iter().filter(|(wanted, _)| *wanted) {
        sides.push(Side::cluster(place, data, workers, name).await?);
    }
    Ok(sides)
}

/// Name and text of each statement, and whether it is one of TPC-H.
fn chosen(args: &TpchArgs) -> Vec<(String, &'static str, bool)> {
    let wanted = |n: u32| args.queries.is_empty() || args.queries.contains(&n);
    let mut chosen: Vec<_> = QUERIES
        .iter()
        .filter(|(n, _)| wanted(*n))
        .map(|(n, sql)| (format!("q{n}"), *sql, true))
        .collect();
    if args.tls == Tls::Both {
        chosen.push(("repartition".to_owned(), REPARTITION, false));
    }
    chosen
}

/// Runs one query on all sides in turn, a different one first each time, and compares the answers
/// of each round.
async fn measure(sides: &mut [Side], mut line: Line, sql: &str, repeats: u32) -> Line {
    for repeat in 0..=repeats {
        let counts = repeat > 0;
        if let Err(error) = round(sides, &mut line, sql, repeat as usize, counts).await {
            line.problem = Some(format!("{error:#}"));
            return line;
        }
    }
    line
}

async fn round(
    sides: &mut [Side],
    line: &mut Line,
    sql: &str,
    first: usize,
    counts: bool,
) -> anyhow::Result<()> {
    let mut rows = vec![0; sides.len()];
    for turn in 0..sides.len() {
        let index = (first + turn) % sides.len();
        let ran = sides[index].run(sql).await;
        let (sample, found) = ran.with_context(|| sides[index].name().to_string())?;
        rows[index] = found;
        if counts {
            line.add(index, sample);
        }
    }
    line.rows = rows[0];
    let (one, others) = sides.split_at_mut(1);
    for (index, other) in others.iter_mut().enumerate() {
        let found = rows[index + 1];
        let name = other.name();
        ensure!(found == rows[0], "wrong, {name}: {found} rows, not {}", rows[0]);
        if found <= COMPARED_ROWS {
            let (expected, actual) = (one[0].values().await?, other.values().await?);
            let same = answers::compare(other.types(), expected, actual);
            same.map_err(|difference| anyhow!("wrong, {name}: {difference}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn args(queries: &[u32], tls: Tls) -> TpchArgs {
        let scale = "1".to_owned();
        TpchArgs { scale, repeats: 1, workers: 2, queries: queries.to_vec(), tls, retries: false }
    }

    #[test]
    fn the_repartition_is_run_where_it_is_compared() {
        assert_eq!(chosen(&args(&[], Tls::On)).len(), 22);
        assert_eq!(chosen(&args(&[], Tls::Both)).len(), 23);
        let names: Vec<String> =
            chosen(&args(&[3, 1], Tls::Both)).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["q1", "q3", "repartition"]);
    }
}
