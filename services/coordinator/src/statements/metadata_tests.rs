//! What statements and tables say of the catalogs.
#![allow(clippy::unwrap_used)]

use waterbear_dialect::ClientContext;
use waterbear_protocol::{ErrorCode, Failure};

use super::tests::{LocalRunner, answer, context, failure, rows};
use crate::query::handle::QueryState;

/// Compares the rows of statements.
async fn check(cases: &[(&str, &str)]) {
    let mut differences = Vec::new();
    for (sql, expected) in cases {
        let found = rows(sql).await;
        if found != *expected {
            differences.push(format!("{sql}\n     found {found}\n  expected {expected}"));
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[tokio::test]
async fn hidden_columns_can_be_named_and_are_not_in_a_star() {
    let visible = r#"["tpch","tiny","nation","BASE TABLE"]"#;
    check(&[
        ("SELECT * FROM information_schema.tables WHERE table_name = 'nation'", visible),
        (
            "SELECT table_name, table_comment FROM information_schema.tables WHERE table_name = 'nation'",
            r#"["nation",null]"#,
        ),
        (
            "SELECT * FROM information_schema.tables WHERE table_comment IS NULL AND table_name = 'nation'",
            visible,
        ),
        (
            "SELECT t.*, table_comment FROM information_schema.tables t WHERE table_name = 'nation'",
            r#"["tpch","tiny","nation","BASE TABLE",null]"#,
        ),
        (
            "SELECT * FROM information_schema.tables t, (SELECT 1 AS table_comment) x \
             WHERE table_name = 'nation' AND t.table_comment IS NULL",
            r#"["tpch","tiny","nation","BASE TABLE",1]"#,
        ),
        (
            "SELECT count(*) FROM (SELECT * FROM information_schema.columns) WHERE column_name = 'n_name' AND table_name = 'nation'",
            "[1]",
        ),
        (
            "SELECT n.comment, n.extra_info FROM tpch.information_schema.columns AS n WHERE column_name = 'n_nationkey'",
            "[null,null]",
        ),
    ])
    .await;
    let sql = "SELECT *, table_comment FROM information_schema.tables t \
               JOIN (VALUES 'nation') v(table_name) USING (table_name)";
    let joined = rows(sql).await;
    assert!(joined.contains(r#"["nation","tpch","tiny","BASE TABLE",null]"#), "{joined}");
    // A name that only a part of the query can see stays out of reach elsewhere.
    let sql = "SELECT table_comment FROM (SELECT * FROM information_schema.tables)";
    assert_eq!(failure(sql).await.0, ErrorCode::COLUMN_NOT_FOUND);
    let described = rows("DESCRIBE information_schema.tables").await;
    assert!(!described.contains("table_comment"), "{described}");
}

#[tokio::test]
async fn drivers_find_catalogs_schemas_tables_and_columns() {
    check(&[
        ("SELECT TABLE_CAT FROM system.jdbc.catalogs ORDER BY 1", r#"["system"],["tpch"]"#),
        (
            "SELECT TABLE_SCHEM, TABLE_CATALOG FROM system.jdbc.schemas WHERE TABLE_CATALOG = 'tpch' AND TABLE_SCHEM LIKE 'ti%' ESCAPE '\\' ORDER BY 1",
            r#"["tiny","tpch"]"#,
        ),
        (
            "SELECT TABLE_CAT, TABLE_SCHEM, TABLE_NAME, TABLE_TYPE, REMARKS FROM system.jdbc.tables \
             WHERE TABLE_CAT = 'tpch' AND TABLE_SCHEM LIKE 'tiny' ESCAPE '\\' AND TABLE_TYPE IN ('TABLE', 'VIEW') ORDER BY TABLE_TYPE, TABLE_NAME",
            r#"["tpch","tiny","nation","TABLE",null],["tpch","tiny","region","TABLE",null]"#,
        ),
        ("SELECT count(*) FROM system.jdbc.tables WHERE TABLE_CAT IS NULL", "[0]"),
        (
            "SELECT COLUMN_NAME, DATA_TYPE, TYPE_NAME, COLUMN_SIZE, ORDINAL_POSITION, IS_NULLABLE FROM system.jdbc.columns \
             WHERE TABLE_CAT = 'tpch' AND TABLE_NAME LIKE 'region' ORDER BY ORDINAL_POSITION",
            r#"["r_regionkey",-5,"bigint",19,1,"YES"],["r_name",12,"varchar",2147483647,2,"YES"],["n_name",12,"varchar",2147483647,3,"YES"],["r_area",8,"double",53,4,"YES"]"#,
        ),
        ("SELECT * FROM system.jdbc.table_types ORDER BY 1", r#"["TABLE"],["VIEW"]"#),
        (
            "SELECT type_name FROM system.jdbc.types WHERE data_type = -5",
            r#"["bigint"]"#,
        ),
        (
            "SELECT (SELECT count(*) FROM system.jdbc.attributes), (SELECT count(*) FROM system.jdbc.procedures), \
             (SELECT count(*) FROM system.jdbc.procedure_columns), (SELECT count(*) FROM system.jdbc.pseudo_columns), \
             (SELECT count(*) FROM system.jdbc.super_tables), (SELECT count(*) FROM system.jdbc.super_types), \
             (SELECT count(*) FROM system.jdbc.udts)",
            "[0,0,0,0,0,0,0]",
        ),
    ])
    .await;
}

#[tokio::test]
async fn metadata_tables_are_there() {
    check(&[
        (
            "SELECT table_name, comment FROM system.metadata.table_comments WHERE catalog_name = 'tpch' AND schema_name = 'tiny' ORDER BY 1",
            r#"["nation",null],["region",null]"#,
        ),
        (
            "SELECT t.table_name, mv.name FROM information_schema.tables t LEFT JOIN system.metadata.materialized_views mv \
             ON mv.schema_name = t.table_schema AND mv.name = t.table_name WHERE t.table_schema = 'tiny' ORDER BY 1",
            r#"["nation",null],["region",null]"#,
        ),
        ("SELECT count(*) FROM system.metadata.table_properties", "[0]"),
        ("SELECT count(*) FROM information_schema.table_privileges", "[0]"),
        ("SELECT count(*) FROM information_schema.roles", "[0]"),
        ("SELECT count(*) FROM information_schema.applicable_roles", "[0]"),
        ("SELECT count(*) FROM information_schema.enabled_roles", "[0]"),
        ("SELECT count(*) FROM system.runtime.transactions", "[0]"),
    ])
    .await;
}

#[tokio::test]
async fn statements_show_what_there_is() {
    check(&[
        (
            "SHOW CREATE TABLE region",
            r#"["CREATE TABLE tpch.tiny.region (\n   r_regionkey bigint,\n   r_name varchar,\n   n_name varchar,\n   r_area double\n)"]"#,
        ),
        ("SHOW CREATE SCHEMA tiny", r#"["CREATE SCHEMA tpch.tiny"]"#),
        ("SHOW ROLES", ""),
        ("SHOW CURRENT ROLES", ""),
        ("SHOW ROLE GRANTS", ""),
        ("SHOW GRANTS", ""),
        ("SHOW GRANTS ON TABLE nation", ""),
        (
            "SHOW FUNCTIONS LIKE 'row#_num%' ESCAPE '#'",
            r#"["row_number","bigint","","window",true,"The number of the row in its partition"]"#,
        ),
        ("TABLE tiny.nation LIMIT 0", ""),
        ("VALUES 1, 2 ORDER BY 1", "[1],[2]"),
        ("SELECT * FROM (VALUES 1, 2) t(x) WHERE x > 1", "[2]"),
    ])
    .await;
    for (sql, expected) in [
        ("SHOW CREATE TABLE nation", vec!["Create Table"]),
        ("SHOW CREATE SCHEMA tiny", vec!["Create Schema"]),
        ("SHOW ROLES", vec!["Role"]),
        ("SHOW ROLE GRANTS", vec!["Role Grants"]),
        (
            "SHOW FUNCTIONS",
            vec![
                "Function",
                "Return Type",
                "Argument Types",
                "Function Type",
                "Deterministic",
                "Description",
            ],
        ),
    ] {
        assert_eq!(answer(sql).await.unwrap().0, expected, "{sql}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    use ErrorCode::*;
    for (sql, code, message) in [
        (
            "SHOW CREATE TABLE nope",
            TABLE_NOT_FOUND,
            "line 1:19: Table 'tpch.tiny.nope' does not exist",
        ),
        (
            "SHOW CREATE VIEW nope",
            TABLE_NOT_FOUND,
            "line 1:18: View 'tpch.tiny.nope' does not exist",
        ),
        (
            "SHOW CREATE VIEW nation",
            NOT_SUPPORTED,
            "line 1:18: Relation 'tpch.tiny.nation' is a table, not a view",
        ),
        (
            "SHOW CREATE SCHEMA nope",
            SCHEMA_NOT_FOUND,
            "line 1:20: Schema 'tpch.nope' does not exist",
        ),
        ("SHOW CREATE SCHEMA x.y", CATALOG_NOT_FOUND, "line 1:20: Catalog 'x' not found"),
        ("SHOW CREATE x", SYNTAX_ERROR, "line 1:13: mismatched input 'x'"),
        (
            "SHOW ROLES FROM tpch",
            NOT_SUPPORTED,
            "line 1:17: Catalog 'tpch' does not support role management",
        ),
        ("SHOW ROLES FROM nope", CATALOG_NOT_FOUND, "line 1:17: Catalog 'nope' not found"),
        (
            "SHOW GRANTS ON nope",
            TABLE_NOT_FOUND,
            "line 1:16: Table 'tpch.tiny.nope' does not exist",
        ),
        (
            "SHOW FUNCTIONS FROM nope",
            SCHEMA_NOT_FOUND,
            "line 1:21: Schema 'tpch.nope' does not exist",
        ),
        ("SHOW STATS nation", SYNTAX_ERROR, "line 1:12: mismatched input 'nation'"),
        (
            "SELECT * FROM \"nation$partitions\"",
            TABLE_NOT_FOUND,
            "Table 'tpch.tiny.nation$partitions' does not exist",
        ),
        ("CALL tpch.tiny.nope()", PROCEDURE_NOT_FOUND, "Procedure not registered: tiny.nope"),
        ("CALL nope.a.b()", CATALOG_NOT_FOUND, "line 1:6: Catalog 'nope' not found"),
        (
            "CALL system.runtime.kill_query()",
            INVALID_ARGUMENTS,
            "line 1:1: Required procedure argument 'query_id' is missing",
        ),
        (
            "CALL system.runtime.kill_query('a', message => 'b')",
            INVALID_ARGUMENTS,
            "line 1:1: Named and positional arguments cannot be mixed",
        ),
        (
            "CALL system.runtime.kill_query('a', 'b', 'c')",
            INVALID_ARGUMENTS,
            "line 1:1: Too many arguments for procedure",
        ),
        (
            "CALL system.runtime.kill_query(id => 'a')",
            INVALID_ARGUMENTS,
            "line 1:32: Unknown argument name: id",
        ),
        (
            "CALL system.runtime.kill_query(query_id => 'a', query_id => 'a')",
            INVALID_ARGUMENTS,
            "line 1:49: Duplicate procedure argument: query_id",
        ),
        (
            "CALL system.runtime.kill_query(1)",
            TYPE_MISMATCH,
            "line 1:32: Cannot cast type integer to varchar",
        ),
        ("CALL system.runtime.kill_query(lower('x'))", NOT_SUPPORTED, "line 1:32: "),
        (
            "CALL system.runtime.kill_query(NULL)",
            INVALID_PROCEDURE_ARGUMENT,
            "query_id cannot be null",
        ),
        (
            "CALL system.runtime.kill_query('no id!')",
            INVALID_PROCEDURE_ARGUMENT,
            "Invalid query ID: no id!",
        ),
        (
            "CALL system.runtime.kill_query('20260101_000000_00000_abcde')",
            NOT_FOUND,
            "Target query not found: 20260101_000000_00000_abcde",
        ),
    ] {
        let (found, text) = failure(sql).await;
        assert_eq!(found, code, "{sql}: {text}");
        assert!(text.contains(message), "{sql}: {text}");
    }
}

#[tokio::test]
async fn a_query_can_be_killed_by_another() {
    let runner = LocalRunner::new();
    let call = async |sql: String| runner.execute(&sql, &context()).await;
    for (arguments, expected) in [
        ("'{}'", "Query killed. No message provided."),
        ("'{}', 'enough'", "Query killed. Message: enough"),
        ("message => 'x y', query_id => '{}'", "Query killed. Message: x y"),
        ("query_id => '{}', message => NULL", "Query killed. No message provided."),
    ] {
        let victim = runner.registry.submit("SELECT 1".into(), ClientContext::default());
        victim.set_state(QueryState::Running);
        let arguments = arguments.replace("{}", victim.id().as_str());
        let sql = format!("CALL system.runtime.kill_query({arguments})");
        let output = call(sql.clone()).await.unwrap();
        assert_eq!(output.update_type.as_deref(), Some("CALL"));
        let failure = victim.failure().unwrap();
        assert_eq!(failure, Failure::new(ErrorCode::ADMINISTRATIVELY_KILLED, expected));
        let again = call(sql).await.err().unwrap();
        assert_eq!(again.code, ErrorCode::NOT_SUPPORTED);
        assert_eq!(again.message, format!("Target query is not running: {}", victim.id()));
    }
}
