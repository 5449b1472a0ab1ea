//! Deep and large statements: each has an answer, or Trino's error for a statement that is too
//! large; no process ends, and none takes long.

use std::time::{Duration, Instant};

use waterbear_testkit::client::Answer;

use crate::rows::line;
use crate::ways::{Sessions, Way, Ways};

/// The longest that any of them may take; optimised builds need seconds.
const LONGEST: Duration = Duration::from_secs(100);
/// What Trino says to statements that are too large for it.
const TOO_LARGE: [&str; 3] =
    ["QUERY_EXCEEDED_COMPILER_LIMIT", "QUERY_TEXT_TOO_LARGE", "statement is too large"];

/// A statement, and what its answer is.
struct Statement {
    name: &'static str,
    sql: String,
    /// The first row of its answer, if it is looked at.
    first: Option<String>,
    /// Whether it must have an answer.
    must: bool,
}

/// Asks all of them on both clusters; whether all was well.
///
/// # Errors
/// When a process has ended.
pub async fn run(ways: &Ways) -> anyhow::Result<bool> {
    let mut wrong = 0;
    for Statement { name, sql, first, must } in statements() {
        for way in [Way::OneWorker, Way::ThreeWorkers, Way::Spooled] {
            let start = Instant::now();
            let answer = ways.answer(way, &mut Sessions::new(), &sql).await;
            let took = start.elapsed();
            if !ways.is_alive(way) {
                anyhow::bail!("{name}: the process of {} has ended", way.name());
            }
            let (right, what) = match answer? {
                Some(Answer::Rows(table)) => {
                    let row = table.rows.first().map(|row| line(row)).unwrap_or_default();
                    let right = first.as_ref().is_none_or(|first| *first == row);
                    (right, row.chars().take(40).collect())
                }
                Some(Answer::Error { name, message }) => {
                    let text = format!("{name}: {message}");
                    let known = TOO_LARGE.iter().any(|error| text.contains(error));
                    (known && !must, text.chars().take(120).collect::<String>())
                }
                None => (false, "no answer".to_owned()),
            };
            let right = right && took < LONGEST;
            wrong += usize::from(!right);
            println!(
                "{:26} {:14} {:9} characters {:7.1} s  {}{what}",
                name,
                way.name(),
                sql.len(),
                took.as_secs_f64(),
                if right { "" } else { "WRONG " }
            );
        }
    }
    Ok(wrong == 0)
}

fn statements() -> Vec<Statement> {
    let list = |range: std::ops::Range<usize>, item: &dyn Fn(usize) -> String, between: &str| {
        range.map(item).collect::<Vec<_>>().join(between)
    };
    let nested = |open: &str, inside: &str, close: &str, depth: usize| {
        format!("{}{inside}{}", open.repeat(depth), close.repeat(depth))
    };
    let joins = |kind: &str, count: usize| {
        let join =
            |at: usize| format!("{kind} nation n{at} ON n{}.nationkey = n{at}.nationkey", at - 1);
        format!("SELECT count(*) FROM nation n0 {}", list(1..count, &join, " "))
    };
    let must = |name, sql: String, first: &str| {
        let first = Some(first.to_owned());
        Statement { name, sql, first, must: true }
    };
    let may = |name, sql: String| Statement { name, sql, first: None, must: false };
    let nation = |at: usize| format!("SELECT {at} + nationkey AS x FROM nation");
    vec![
        must("join of 10", joins("JOIN", 10), "25"),
        may("join of 40", joins("JOIN", 40)),
        may("left join of 40", joins("LEFT JOIN", 40)),
        may("200 nested functions", format!("SELECT {}", nested("abs(", "1", ")", 200))),
        must("90 brackets", format!("SELECT {}", nested("(", "1", ")", 90)), "1"),
        may("5,000 brackets", format!("SELECT {}", nested("(", "1", ")", 5_000))),
        may(
            "900 additions",
            format!("SELECT {} FROM nation", list(0..900, &|_| "nationkey".into(), " + ")),
        ),
        // Nothing regroups it: a tree as deep as it is long, whose plan goes to workers.
        Statement {
            must: false,
            ..must(
                "4,000 terms with - and +",
                format!(
                    "SELECT sum({}) FROM nation",
                    list(0..2_000, &|_| "nationkey - nationkey".into(), " + ")
                ),
                "0",
            )
        },
        may(
            "OR of 300",
            format!(
                "SELECT count(*) FROM nation WHERE {}",
                list(0..300, &|at| format!("name LIKE '%{at}'"), " OR ")
            ),
        ),
        must(
            "UNION ALL of 500",
            format!(
                "SELECT count(*), sum(x) FROM ({}) t",
                list(0..500, &|at| format!("SELECT {at} AS x"), " UNION ALL ")
            ),
            "500 124750",
        ),
        may(
            "UNION ALL of 100 tables",
            format!("SELECT count(*), sum(x) FROM ({}) t", list(0..100, &nation, " UNION ALL ")),
        ),
        must(
            "IN list of 20,000",
            format!(
                "SELECT count(*) FROM orders WHERE orderkey IN ({})",
                list(0..20_000, &|at| at.to_string(), ", ")
            ),
            // Of 32 keys in a row 8 are used, the first of all is 1.
            "4999",
        ),
        must(
            "2,000 columns",
            format!(
                "SELECT count(*), sum(c1999) FROM (SELECT {} FROM nation) t",
                list(0..2_000, &|at| format!("nationkey + {at} AS c{at}"), ", ")
            ),
            "25 50275",
        ),
        may(
            "2,000 aggregates",
            format!(
                "SELECT {} FROM nation",
                list(0..2_000, &|at| format!("sum(nationkey + {at})"), ", ")
            ),
        ),
        must(
            "VALUES of 20,000",
            format!(
                "SELECT count(*), sum(x) FROM (VALUES {}) t(x)",
                list(0..20_000, &|at| format!("({at})"), ", ")
            ),
            "20000 199990000",
        ),
        may(
            "60 subqueries",
            format!("SELECT count(*) FROM {} t", nested("(SELECT * FROM ", "nation", ") t", 60)),
        ),
        may("900,000 characters", format!("SELECT length('{}')", "x".repeat(900_000))),
        may("10 MB", format!("SELECT length('{}')", "x".repeat(10 << 20))),
        must("the last one", "SELECT 1".to_owned(), "1"),
    ]
}
