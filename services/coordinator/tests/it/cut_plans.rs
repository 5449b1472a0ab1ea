//! A cut plan gives the rows of the whole plan, for any number of workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use waterbear_coordinator::planner::{self, CutOptions, StagePlan};
use waterbear_engine::{Engine, EngineOptions};
use waterbear_testkit::tpch::{self, Column, Rows};

use crate::stage_by_stage;

/// Every scan is divided over all workers.
const EVERYTHING: usize = 1;

fn engine(folder: &tempfile::TempDir) -> Engine {
    Engine::new(EngineOptions {
        name: "test".into(),
        memory_limit: 1 << 30,
        query_memory_limit: 1 << 30,
        threads: 2,
        spill_dir: folder.path().join("spill"),
    })
    .unwrap()
}

/// A session with the TPC-H tables at scale factor 0.01 under their standard names.
async fn session() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(4);
    let builder = SessionStateBuilder::new_with_default_features().with_config(config);
    let state = waterbear_dialect::configure(builder).build();
    let context = SessionContext::new_with_state(state);
    let properties = BTreeMap::from([
        ("tpch.column-naming".to_owned(), "STANDARD".to_owned()),
        ("tpch.double-type-mapping".to_owned(), "DECIMAL".to_owned()),
    ]);
    let connector = waterbear_connector::create("tpch", "tpch", &properties).unwrap();
    for name in connector.tables("tiny").await.unwrap() {
        let table = connector.table("tiny", &name).await.unwrap().unwrap();
        context.register_table(name.as_str(), table.provider()).unwrap();
    }
    context
}

async fn cut(context: &SessionContext, sql: &str, workers: usize, bytes: usize) -> StagePlan {
    let logical = context.state().create_logical_plan(sql).await.unwrap();
    let options = CutOptions { workers, partitions: 4, bytes_per_partition: bytes };
    planner::plan(&logical, &context.state(), options).await.unwrap()
}

fn text(batches: &[RecordBatch]) -> (Vec<Column>, Rows) {
    let options = FormatOptions::default();
    let mut rows = Rows::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|array| (array, ArrayFormatter::try_new(array.as_ref(), &options).unwrap()))
            .collect();
        for row in 0..batch.num_rows() {
            let cell = |(array, format): &(&Arc<dyn Array>, ArrayFormatter<'_>)| {
                array.is_valid(row).then(|| format.value(row).to_string())
            };
            rows.push(columns.iter().map(cell).collect());
        }
    }
    let columns = batches.first().map_or_else(Vec::new, |batch| {
        let fields = batch.schema_ref().fields().iter();
        fields
            .map(|field| Column {
                name: field.name().clone(),
                trino_type: field
                    .data_type()
                    .to_string()
                    .to_lowercase()
                    .replace("128", "")
                    .replace(' ', "")
                    .replace("float64", "double"),
            })
            .collect()
    });
    (columns, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn tpch_answers_are_right_however_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder);
    let context = session().await;
    let mut tasks = BTreeMap::new();
    for workers in 1..=4 {
        for bytes in [16 << 20, EVERYTHING] {
            for (number, sql) in tpch::queries() {
                let plan = cut(&context, sql, workers, bytes).await;
                let ran = stage_by_stage::run(&plan, &engine).await.unwrap();
                let (columns, rows) = text(&ran.batches);
                tpch::compare(number, &columns, &rows)
                    .unwrap_or_else(|why| panic!("{workers} workers, {bytes} bytes: {why}"));
                *tasks.entry((workers, bytes)).or_insert(0) += ran.tasks;
            }
        }
    }
    // A planner that never cuts would pass all of the above.
    assert!(tasks[&(4, EVERYTHING)] > 2 * tasks[&(1, EVERYTHING)], "{tasks:?}");
    assert!(tasks[&(4, EVERYTHING)] > 200, "{tasks:?}");
}

/// Shapes that were cut wrongly by someone once. Each has one answer as a multiset.
const SHAPES: &[(&str, &str)] = &[
    (
        "union all",
        "SELECT k, count(*), sum(v) FROM (SELECT o_orderpriority k, o_totalprice v FROM orders \
         UNION ALL SELECT c_mktsegment, c_acctbal FROM customer \
         UNION ALL SELECT o_orderpriority, o_totalprice FROM orders) GROUP BY k",
    ),
    (
        "not in with null",
        "SELECT count(*) FROM orders WHERE o_custkey NOT IN \
         (SELECT CASE WHEN c_custkey = 7 THEN NULL ELSE c_custkey END FROM customer)",
    ),
    (
        "not in without null",
        "SELECT count(*) FROM customer WHERE c_custkey NOT IN (SELECT o_custkey FROM orders)",
    ),
    (
        "full join",
        "SELECT count(*), count(c_custkey), count(o_orderkey), sum(o_totalprice) FROM \
         (SELECT * FROM customer WHERE c_custkey % 3 = 0) FULL JOIN \
         (SELECT * FROM orders WHERE o_orderkey % 5 = 0) ON c_custkey = o_custkey",
    ),
    (
        "full join on an inequality",
        "SELECT count(*), count(n_nationkey), count(s_suppkey) FROM nation FULL JOIN \
         (SELECT * FROM supplier WHERE s_suppkey < 40) ON n_nationkey > s_suppkey",
    ),
    (
        "left join with unmatched build rows",
        "SELECT count(*), count(r_regionkey) FROM lineitem LEFT JOIN region \
         ON l_linenumber = r_regionkey",
    ),
    (
        "right join with unmatched rows",
        "SELECT count(*), count(l_orderkey) FROM lineitem RIGHT JOIN orders \
         ON l_orderkey = o_orderkey AND l_quantity > 49",
    ),
    (
        "window by key",
        "SELECT sum(r), max(r), count(*) FROM (SELECT row_number() OVER (PARTITION BY l_suppkey \
         ORDER BY l_orderkey, l_linenumber) r FROM lineitem)",
    ),
    (
        "window without key",
        "SELECT sum(r), max(r), count(*) FROM (SELECT rank() OVER \
         (ORDER BY o_orderkey) r FROM orders)",
    ),
    ("cross join", "SELECT count(*), sum(n_nationkey * r_regionkey) FROM nation, region, supplier"),
    (
        "rollup",
        "SELECT l_returnflag, l_linestatus, count(*), sum(l_quantity) FROM lineitem \
         GROUP BY ROLLUP (l_returnflag, l_linestatus)",
    ),
    (
        "grouping sets",
        "SELECT l_returnflag, l_shipmode, count(*) FROM lineitem \
         GROUP BY GROUPING SETS ((l_returnflag), (l_shipmode), ())",
    ),
    (
        "scalar subquery",
        "SELECT count(*) FROM orders WHERE o_totalprice > (SELECT avg(o_totalprice) FROM orders)",
    ),
    (
        "aggregate on a subset of the group keys",
        "SELECT count(*), max(q) FROM (SELECT o_orderkey, o_custkey, c_name, sum(l_quantity) q \
         FROM customer, orders, lineitem WHERE c_custkey = o_custkey AND o_orderkey = l_orderkey \
         AND o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey \
         HAVING sum(l_quantity) > 200) GROUP BY o_orderkey, o_custkey, c_name)",
    ),
    ("limit over a scan", "SELECT count(*) FROM (SELECT l_orderkey FROM lineitem LIMIT 1000)"),
    (
        "limit with offset",
        "SELECT count(*) FROM (SELECT l_orderkey FROM lineitem LIMIT 1000 OFFSET 59900)",
    ),
    (
        "top rows",
        "SELECT sum(o_orderkey) FROM (SELECT o_orderkey FROM orders \
         ORDER BY o_totalprice DESC, o_orderkey LIMIT 100)",
    ),
    (
        "top rows of a join",
        "SELECT o_orderkey, c_name FROM orders JOIN customer ON o_custkey = c_custkey \
         ORDER BY o_orderkey LIMIT 7",
    ),
    ("distinct", "SELECT count(*) FROM (SELECT DISTINCT l_suppkey, l_shipmode FROM lineitem)"),
    (
        "count distinct",
        "SELECT count(DISTINCT l_suppkey), count(DISTINCT l_shipmode) FROM lineitem",
    ),
    (
        "exists and not exists",
        "SELECT count(*) FROM customer WHERE EXISTS (SELECT 1 FROM orders WHERE o_custkey = \
         c_custkey AND o_totalprice > 200000) AND NOT EXISTS (SELECT 1 FROM orders WHERE \
         o_custkey = c_custkey AND o_totalprice < 2000)",
    ),
    (
        "a table joined to literal rows",
        "SELECT count(*), sum(column2) FROM lineitem JOIN (VALUES (1, 10), (2, 20), (9, 90)) \
         ON l_linenumber = column1",
    ),
    (
        "an empty side",
        "SELECT count(*) FROM orders LEFT JOIN (SELECT * FROM customer WHERE false) \
         ON o_custkey = c_custkey",
    ),
    (
        "intersect",
        "SELECT count(*) FROM (SELECT o_custkey FROM orders INTERSECT \
         SELECT c_custkey FROM customer)",
    ),
    (
        "except",
        "SELECT count(*) FROM (SELECT c_custkey FROM customer EXCEPT \
         SELECT o_custkey FROM orders)",
    ),
    (
        "small tables only",
        "SELECT r_name, count(*) FROM nation JOIN region \
         ON n_regionkey = r_regionkey GROUP BY r_name",
    ),
    ("no table", "SELECT 1, 'x'"),
];

#[tokio::test(flavor = "multi_thread")]
async fn shapes_that_are_easily_cut_wrong_give_the_rows_of_the_whole_plan() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder);
    let context = session().await;
    for (name, sql) in SHAPES {
        let whole = context.sql(sql).await.unwrap().collect().await.unwrap();
        let mut expected = text(&whole).1;
        expected.sort();
        for workers in 1..=4 {
            for bytes in [16 << 20, EVERYTHING] {
                let plan = cut(&context, sql, workers, bytes).await;
                let ran = stage_by_stage::run(&plan, &engine).await.unwrap();
                let mut rows = text(&ran.batches).1;
                rows.sort();
                assert_eq!(rows, expected, "{name}: {workers} workers, {bytes} bytes");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_union_is_cut() {
    let context = session().await;
    let sql = "SELECT k, count(*) FROM (SELECT l_orderkey AS k FROM lineitem UNION ALL \
               SELECT o_orderkey FROM orders) GROUP BY k";
    let plan = cut(&context, sql, 3, EVERYTHING).await;
    assert!(plan.fragments.len() > 1, "an isolated union cannot be taken apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_tables_needs_no_worker() {
    let context = session().await;
    let plan = cut(&context, "SELECT a + 1 FROM (VALUES (1), (2)) t(a) WHERE a > 1", 3, 1).await;
    assert_eq!(plan.fragments.len(), 1);
    assert!(!plan.root().scans);
    let plan = cut(&context, "SELECT max(r_name) FROM region", 3, 1).await;
    assert_eq!(plan.fragments.len(), 1, "a small table is one task");
    assert!(plan.root().scans);
}
