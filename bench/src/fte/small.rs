//! Goal 4: what TASK costs where there is next to nothing to do.

use super::pair::{Pair, median_wall};
use super::table::Measured;
use crate::figures::{geometric_mean, median};
use crate::place::Place;

/// A query that takes longer under NONE is not small, in milliseconds.
const SMALL: f64 = 100.0;

/// Scans, groups, joins, orders over TPC-H's tables at scale 0.01, made as they are read.
const QUERIES: [(&str, &str); 7] = [
    ("all 25 rows of nation", "SELECT * FROM tpch.tiny.nation"),
    ("count of orders", "SELECT count(*) FROM tpch.tiny.orders"),
    ("nations by region", "SELECT n_regionkey, count(*) FROM tpch.tiny.nation GROUP BY 1"),
    (
        "nations joined with regions",
        "SELECT r_name, count(*) FROM tpch.tiny.nation JOIN tpch.tiny.region \
         ON n_regionkey = r_regionkey GROUP BY 1",
    ),
    (
        "ten richest customers",
        "SELECT c_custkey, c_acctbal FROM tpch.tiny.customer \
         ORDER BY c_acctbal DESC, c_custkey LIMIT 10",
    ),
    (
        "sums of lineitem",
        "SELECT l_returnflag, sum(l_quantity), count(*) FROM tpch.tiny.lineitem GROUP BY 1",
    ),
    (
        "lineitem joined with orders",
        "SELECT o_orderpriority, count(*) FROM tpch.tiny.lineitem JOIN tpch.tiny.orders \
         ON l_orderkey = o_orderkey GROUP BY 1",
    ),
];

/// Runs each query so many times on both sides.
pub async fn run(place: &Place, count: u32) -> anyhow::Result<Measured> {
    let mut pair = Pair::start(place, &Vec::new()).await?;
    let mut ratios = Vec::new();
    let mut notes = vec![format!("each query {count} times under each policy, in turns")];
    for (name, sql) in QUERIES {
        let runs = pair.runs(sql, count).await?;
        let [none, task] = [median_wall(&runs[0]), median_wall(&runs[1])];
        let ratio = task / none;
        let counts = none < SMALL;
        if counts {
            ratios.push(ratio);
        }
        let left_out = if counts { "" } else { ", not counted: not small" };
        notes.push(format!(
            "{name}: {none:.1} ms under NONE, {task:.1} ms under TASK, {ratio:.2}{left_out}"
        ));
    }
    let value = median(ratios.iter().copied());
    let largest = ratios.iter().copied().fold(f64::NAN, f64::max);
    let shown = format!(
        "{value:.2} (median of {} queries; geometric mean {:.2}, largest {largest:.2})",
        ratios.len(),
        geometric_mean(&ratios)
    );
    Ok(Measured { value, shown, notes })
}
