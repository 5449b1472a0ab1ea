//! Subqueries that look at the row around them: what the engine would join wrongly.

use crate::{check_failures, check_rows};

const ROWS: &str = "FROM (VALUES 1, 2) t(x)";

/// A query over two rows, and what it must give; it ends with an ORDER BY.
macro_rules! queries {
    ($(($sql:expr, $types:expr, $rows:expr)),* $(,)?) => {
        [$((format!("{} ORDER BY 1", $sql.replace("$t", ROWS)), $types, $rows)),*]
    };
}

async fn check(cases: &[(String, &'static str, &'static str)]) {
    let cases = cases.iter().map(|(sql, types, rows)| (sql.as_str(), *types, *rows));
    check_rows(&cases.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_scalar_subquery_without_rows_is_null_whatever_its_column_is() {
    check(&queries![
        (
            "SELECT (SELECT 1 WHERE false) IS NULL, coalesce((SELECT 1 WHERE false), 0)",
            "boolean integer",
            "true 0"
        ),
        (
            "SELECT x $t WHERE (SELECT y FROM (VALUES 1) u(y) WHERE u.y = t.x) IS NULL",
            "integer",
            "2"
        ),
        (
            "SELECT x, coalesce((SELECT y FROM (VALUES 1) u(y) WHERE u.y = t.x), 0) $t",
            "integer integer",
            "1 1; 2 0"
        ),
        ("SELECT x, (SELECT t.x + 1) $t", "integer integer", "1 2; 2 3"),
    ])
    .await;
}

#[tokio::test]
async fn having_decides_whether_an_aggregate_gives_a_row() {
    check(&queries![
        (
            "SELECT x, (SELECT 7 FROM (VALUES 1) u(y) WHERE u.y = t.x HAVING count(*) = 0) $t",
            "integer integer",
            "1 NULL; 2 7"
        ),
        (
            "SELECT x, (SELECT max(y) FROM (VALUES 1) u(y) WHERE u.y = t.x HAVING max(y) IS NULL) $t",
            "integer integer",
            "1 NULL; 2 NULL"
        ),
        (
            "SELECT x $t WHERE EXISTS (SELECT 1 FROM (VALUES 1) u(y) WHERE u.y = t.x HAVING count(*) = 0)",
            "integer",
            "2"
        ),
        (
            "SELECT x $t WHERE NOT EXISTS (SELECT 1 FROM (VALUES 1) u(y) WHERE u.y = t.x HAVING count(*) = 0)",
            "integer",
            "1"
        ),
        (
            "SELECT x $t WHERE 0 IN (SELECT count(*) FROM (VALUES 1) u(y) WHERE u.y = t.x HAVING count(*) < 5)",
            "integer",
            "2"
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_aggregate_without_groups_gives_a_row_for_no_rows() {
    check(&queries![
        ("SELECT x $t WHERE EXISTS (SELECT count(*) FROM (VALUES 1) u(y) WHERE u.y = t.x)", "integer", "1; 2"),
        ("SELECT x $t WHERE EXISTS (SELECT max(y) FROM (VALUES 1) u(y) WHERE u.y = t.x)", "integer", "1; 2"),
        ("SELECT x $t WHERE 0 IN (SELECT count(*) FROM (VALUES 1) u(y) WHERE u.y = t.x)", "integer", "2"),
        ("SELECT x $t WHERE 0 NOT IN (SELECT count(*) FROM (VALUES 1) u(y) WHERE u.y = t.x)", "integer", "1"),
        (
            "SELECT x, (SELECT 5 FROM (SELECT count(*) c FROM (VALUES 1) u(y) WHERE u.y = t.x)) $t",
            "integer integer",
            "1 5; 2 5"
        ),
        (
            "SELECT x, (SELECT c + 1 FROM (SELECT count(*) c FROM (VALUES 1) u(y) WHERE u.y = t.x) q) $t",
            "integer bigint",
            "1 2; 2 1"
        ),
        (
            "SELECT x, (SELECT count(*) FROM (VALUES 1) u(y) WHERE u.y = t.x) $t",
            "integer bigint",
            "1 1; 2 0"
        ),
    ])
    .await;
}

#[tokio::test]
async fn not_in_knows_of_nulls_in_the_rows_that_it_is_asked_for() {
    let t = "FROM (VALUES (1, 1), (2, 1), (3, NULL)) t(x, g)";
    let u = "FROM (VALUES (1, 1), (NULL, 2)) u(y, g)";
    let cases = [
        (
            format!("SELECT x {t} WHERE x NOT IN (SELECT y {u} WHERE u.g = t.g) ORDER BY 1"),
            "integer",
            "2; 3",
        ),
        (
            format!("SELECT x {t} WHERE NOT (x IN (SELECT y {u} WHERE u.g = t.g)) ORDER BY 1"),
            "integer",
            "2; 3",
        ),
        (
            format!("SELECT x {t} WHERE x NOT IN (SELECT y {u} WHERE u.g = t.g + 1) ORDER BY 1"),
            "integer",
            "3",
        ),
        (
            format!(
                "SELECT x {t} WHERE x NOT IN (SELECT y {u} WHERE u.g = t.g) OR x = 1 ORDER BY 1"
            ),
            "integer",
            "1; 2; 3",
        ),
        (
            format!("SELECT x {t} WHERE x IN (SELECT y {u} WHERE u.g = t.g) OR x = 3 ORDER BY 1"),
            "integer",
            "1; 3",
        ),
        (
            format!("SELECT x {t} WHERE x NOT IN (SELECT DISTINCT y {u}) OR g IS NULL ORDER BY 1"),
            "integer",
            "3",
        ),
        (format!("SELECT x {t} WHERE x NOT IN (SELECT y {u}) ORDER BY 1"), "integer", ""),
    ];
    check(&cases).await;
}

#[tokio::test]
async fn what_would_be_joined_wrongly_is_refused() {
    let from = "FROM (VALUES 1) u(y)";
    let cases = [
        (
            format!(
                "SELECT x, (SELECT sum(c) FROM (SELECT count(*) c {from} WHERE u.y = t.x)) {ROWS}"
            ),
            "An aggregate without groups below other operations of a correlated subquery is not supported",
        ),
        (
            format!(
                "SELECT x {ROWS} WHERE x IN (SELECT row_number() OVER (ORDER BY y) {from} WHERE u.y = t.x)"
            ),
            "A window function over the rows of a correlated subquery is not supported",
        ),
        (
            format!("SELECT x {ROWS} WHERE EXISTS (SELECT 1 {from} WHERE u.y = t.x OFFSET 1)"),
            "OFFSET in a correlated subquery is not supported",
        ),
        (
            format!(
                "SELECT x {ROWS} WHERE EXISTS (SELECT 1 {from} WHERE u.y = t.x AND EXISTS (SELECT 1 FROM (VALUES 1) v(z) WHERE v.z = u.y AND v.z = t.x))"
            ),
            "A subquery that names a column of a query further out is not supported",
        ),
        (
            format!(
                "SELECT t.x {ROWS} JOIN (VALUES 1) s(x) ON t.x = s.x AND EXISTS (SELECT 1 {from} WHERE u.y = t.x)"
            ),
            "Such a subquery in the condition of a join is not supported",
        ),
        (
            format!("SELECT x, (SELECT max(y) {from} WHERE u.y > t.x) {ROWS}"),
            "A condition on the row around a scalar subquery or an aggregate, other than that two values are equal, is not supported",
        ),
    ];
    let cases: Vec<_> =
        cases.iter().map(|(sql, message)| (sql.as_str(), "NOT_SUPPORTED", *message)).collect();
    check_failures(&cases).await;
}
