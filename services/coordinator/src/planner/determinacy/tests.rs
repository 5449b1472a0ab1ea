//! Each rule, with a plan that breaks it and a near one that does not.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::prelude::{SessionConfig, SessionContext};
use waterbear_engine::ExchangeSourceExec;

use super::super::fragment::FragmentInput;
use super::*;
use crate::planner::{CutOptions, plan};

/// A session with the TPC-H tables under their standard names.
async fn session() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(4);
    let builder = SessionStateBuilder::new_with_default_features().with_config(config);
    let context = SessionContext::new_with_state(waterbear_dialect::configure(builder).build());
    let properties = [
        ("tpch.column-naming".to_owned(), "STANDARD".to_owned()),
        ("tpch.double-type-mapping".to_owned(), "DECIMAL".to_owned()),
    ];
    let connector =
        waterbear_connector::create("tpch", "tpch", &BTreeMap::from(properties)).unwrap();
    for name in ["lineitem", "orders", "nation"] {
        let table = connector.table("tiny", name).await.unwrap().unwrap();
        context.register_table(name, table.provider()).unwrap();
    }
    context
}

/// The levels of a query's fragments, cut for three workers.
async fn levels(context: &SessionContext, sql: &str) -> Vec<Determinacy> {
    let logical = context.state().create_logical_plan(sql).await.unwrap();
    let options = CutOptions { workers: 3, partitions: 4, bytes_per_partition: 1 };
    let stages = plan(&logical, &context.state(), options).await.unwrap();
    stages.fragments.into_iter().map(|fragment| fragment.determinacy).collect()
}

const FLOATS: &str = "(SELECT l_orderkey AS k, avg(CAST(l_quantity AS double)) AS a FROM lineitem GROUP BY l_orderkey) t";

#[tokio::test]
async fn queries_that_give_the_same_rows_again_are_exact() {
    let context = session().await;
    let mut wrong = Vec::new();
    for sql in [
        "SELECT l_orderkey, l_comment FROM lineitem WHERE l_quantity > 10",
        "SELECT l_orderkey, count(*), sum(l_quantity), max(l_comment) FROM lineitem GROUP BY l_orderkey",
        "SELECT count(*) FROM lineitem JOIN orders ON l_orderkey = o_orderkey",
        "SELECT * FROM orders LEFT JOIN lineitem ON l_orderkey = o_orderkey AND l_quantity > 3",
        "SELECT l_orderkey, l_partkey FROM lineitem ORDER BY l_orderkey, l_partkey LIMIT 10",
        "SELECT l_orderkey, count(*) AS c FROM lineitem GROUP BY l_orderkey ORDER BY l_orderkey LIMIT 5",
        "SELECT l_orderkey, count(*) AS c FROM lineitem GROUP BY l_orderkey ORDER BY c, l_orderkey LIMIT 5",
        "SELECT rank() OVER (PARTITION BY l_suppkey ORDER BY l_shipdate), l_comment FROM lineitem",
        "SELECT row_number() OVER (ORDER BY l_orderkey, l_partkey) FROM (SELECT l_orderkey, l_partkey FROM lineitem) t",
        "SELECT array_agg(l_comment ORDER BY l_comment) FROM lineitem GROUP BY l_suppkey",
        "SELECT count(*) FROM orders WHERE o_orderkey < (SELECT max(l_orderkey) FROM lineitem)",
        // A float aggregate that is only carried is exact but for its last digits.
        "SELECT l_orderkey, avg(CAST(l_quantity AS double)) FROM lineitem GROUP BY l_orderkey",
        "SELECT l_comment FROM lineitem ORDER BY l_shipdate",
    ] {
        let levels = levels(&context, sql).await;
        if levels.iter().any(|level| *level != Determinacy::Exact) {
            wrong.push(format!("{sql}\n  {levels:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn each_rule_finds_what_it_is_for() {
    let context = session().await;
    let limit = operators::LIMIT;
    let cases = [
        ("SELECT l_orderkey, random() FROM lineitem".to_owned(), "an expression gives another"),
        ("SELECT l_orderkey FROM lineitem WHERE random() < 0.5".to_owned(), "an expression gives"),
        ("SELECT l_orderkey FROM lineitem LIMIT 10".to_owned(), limit),
        ("SELECT l_orderkey FROM lineitem OFFSET 10".to_owned(), limit),
        (
            "SELECT l_orderkey, l_partkey FROM lineitem ORDER BY l_orderkey LIMIT 10".to_owned(),
            limit,
        ),
        (
            "SELECT l_orderkey, count(*) AS c FROM lineitem GROUP BY l_orderkey ORDER BY c LIMIT 5"
                .to_owned(),
            limit,
        ),
        (
            "SELECT row_number() OVER (PARTITION BY l_suppkey ORDER BY l_shipdate), l_comment \
             FROM lineitem"
                .to_owned(),
            "row_number over rows in no total order",
        ),
        (
            "SELECT first_value(l_comment) OVER (PARTITION BY l_suppkey ORDER BY l_shipdate) \
             FROM lineitem"
                .to_owned(),
            "first_value over rows in no total order",
        ),
        (
            "SELECT sum(l_partkey) OVER (PARTITION BY l_suppkey ORDER BY l_shipdate \
             ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM lineitem"
                .to_owned(),
            "sum over rows in no total order",
        ),
        (
            "SELECT array_agg(l_comment) FROM lineitem GROUP BY l_suppkey".to_owned(),
            "array_agg over rows in no total order",
        ),
        (
            "SELECT first_value(l_comment ORDER BY l_shipdate) FROM lineitem GROUP BY l_suppkey"
                .to_owned(),
            "first_value over rows in no total order",
        ),
        (format!("SELECT k FROM {FLOATS} WHERE a > 20"), "a float aggregate decides a comparison"),
        (format!("SELECT a, count(*) FROM {FLOATS} GROUP BY a"), "a float aggregate decides"),
        (
            format!("SELECT k FROM {FLOATS} JOIN orders ON o_orderkey > a"),
            "a float aggregate decides a comparison",
        ),
        (
            "SELECT o_orderkey FROM orders \
             WHERE o_totalprice < (SELECT avg(CAST(l_quantity AS double)) FROM lineitem)"
                .to_owned(),
            "a float aggregate decides a comparison",
        ),
        (
            format!("SELECT k, a FROM {FLOATS} ORDER BY a LIMIT 3"),
            "a float aggregate decides a limit",
        ),
        (
            format!("SELECT count(*) OVER (PARTITION BY a) FROM {FLOATS}"),
            "a float aggregate is an exchange key",
        ),
        (
            "SELECT count(*) FROM orders JOIN (SELECT l_orderkey FROM lineitem LIMIT 100) l \
             ON l_orderkey = o_orderkey"
                .to_owned(),
            "it reads fragment",
        ),
        (
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) \
             SELECT * FROM t"
                .to_owned(),
            "nothing is known of the operator RecursiveQueryExec",
        ),
    ];
    let mut wrong = Vec::new();
    for (sql, reason) in cases {
        let levels = levels(&context, &sql).await;
        let found = levels.iter().any(
            |level| matches!(level, Determinacy::Indeterminate(text) if text.contains(reason)),
        );
        if !found {
            wrong.push(format!("{sql}\n  {reason}\n  {levels:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn fragment(plan: Arc<dyn ExecutionPlan>, inputs: Vec<FragmentInput>) -> Fragment {
    Fragment {
        stage: inputs.len() as u32,
        tasks: vec![plan],
        partitions: 2,
        readers: 1,
        inputs,
        determinacy: Determinacy::Exact,
        scans: false,
    }
}

#[test]
fn rows_dealt_out_round_robin_matter_to_who_reads_one_partition() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let rows = Arc::new(EmptyExec::new(Arc::clone(&schema)).with_partitions(2));
    let dealt = RepartitionExec::try_new(rows, Partitioning::RoundRobinBatch(2)).unwrap();
    let dealt: Arc<dyn ExecutionPlan> = Arc::new(dealt);
    for (wiring, exact) in
        [(Wiring::Shuffle, false), (Wiring::Coalesce { consumer_tasks: 1 }, true)]
    {
        let input = FragmentInput { producer: 0, producer_tasks: 1, partitions: 2, wiring };
        let known = EquivalenceProperties::new(Arc::clone(&schema));
        let reader = ExchangeSourceExec::new(0, 2, &known).unwrap();
        let mut fragments =
            [fragment(Arc::clone(&dealt), vec![]), fragment(Arc::new(reader), vec![input])];
        assess(&mut fragments);
        for fragment in &fragments {
            assert_eq!(fragment.determinacy == Determinacy::Exact, exact, "{wiring:?}");
        }
        let shown = fragments[0].determinacy.to_string();
        assert_eq!(shown.contains("round-robin"), !exact, "{shown}");
    }
}
