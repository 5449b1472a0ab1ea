use super::*;
use crate::{Statement, parse as parse_statement};

fn action(sql: &str) -> WriteAction {
    match parse_statement(sql).unwrap() {
        Statement::Write(statement) => statement.action,
        other => panic!("{other:?}"),
    }
}

fn error(sql: &str) -> (ErrorCode, String) {
    let failure = parse_statement(sql).map(|_| ()).unwrap_err();
    (failure.code, failure.message)
}

#[test]
fn types_have_trinos_names_and_defaults() {
    for (text, listing) in [
        ("varchar", "varchar"),
        ("VARCHAR(7)", "varchar(7)"),
        ("char", "char(1)"),
        ("int", "integer"),
        ("decimal", "decimal(38,0)"),
        ("decimal(5)", "decimal(5,0)"),
        ("timestamp", "timestamp(3)"),
        ("timestamp(6) with time zone", "timestamp(6) with time zone"),
        ("time", "time(3)"),
        ("double precision", "double"),
        ("array(array(varchar(2)))", "array(array(varchar(2)))"),
        ("map(varchar, decimal(4,1))", "map(varchar, decimal(4,1))"),
        ("row(\"A b\" bigint, y row(z date))", "row(\"a b\" bigint, \"y\" row(\"z\" date))"),
    ] {
        let WriteAction::CreateTable { columns, .. } =
            action(&format!("CREATE TABLE t (a {text} NOT NULL COMMENT 'c', b bigint)"))
        else {
            panic!("{text}")
        };
        assert_eq!(columns[0].trino_type.listing(), listing);
        assert!(!columns[0].nullable && columns[1].nullable);
        assert_eq!(columns[0].comment.as_deref(), Some("c"));
    }
    for text in ["text", "float", "string", "bytes", "interval"] {
        let (code, message) = error(&format!("CREATE TABLE t (a {text})"));
        assert_eq!(code, ErrorCode::TYPE_NOT_FOUND);
        assert_eq!(message, format!("line 1:19: Unknown type: {text}"));
    }
    for text in ["decimal(39,0)", "decimal(3,4)", "timestamp(13)"] {
        assert_eq!(error(&format!("CREATE TABLE t (a {text})")).0, ErrorCode::TYPE_MISMATCH);
    }
}

#[test]
fn the_query_of_create_table_as_ends_before_its_clause() {
    let WriteAction::CreateTableAs { table, query, with_data, aliases, comment, .. } = action(
        "CREATE TABLE IF NOT EXISTS C.S.t (x, \"Y\") COMMENT 'c' AS SELECT 1, 2 WITH NO DATA",
    ) else {
        panic!()
    };
    assert_eq!(table.parts, ["c", "s", "t"]);
    assert_eq!(query.query.to_string(), "SELECT 1, 2");
    assert!(!with_data);
    let aliases: Vec<_> = aliases.unwrap().into_iter().map(|name| name.text).collect();
    assert_eq!(aliases, ["x", "y"]);
    assert_eq!(comment.as_deref(), Some("c"));
    for sql in ["CREATE TABLE t AS (SELECT 1 x)", "CREATE TABLE t AS (SELECT 1 x) WITH DATA"] {
        let WriteAction::CreateTableAs { query, with_data, .. } = action(sql) else { panic!() };
        assert_eq!(query.query.to_string(), "(SELECT 1 x)".replace("1 x", "1 AS x"));
        assert!(with_data);
    }
}

#[test]
fn inserts_have_columns_or_a_bracketed_query() {
    for (sql, expected) in [
        ("INSERT INTO t VALUES (1, 'a')", None),
        ("INSERT INTO t (a, \"B\") VALUES (1, 'a')", Some(2)),
        ("INSERT INTO t (a) (SELECT 1)", Some(1)),
        ("INSERT INTO t (SELECT 1)", None),
        ("INSERT INTO t (WITH x AS (SELECT 1) SELECT * FROM x)", None),
        ("INSERT INTO t SELECT * FROM u", None),
    ] {
        let WriteAction::Insert { columns, .. } = action(sql) else { panic!("{sql}") };
        assert_eq!(columns.map(|columns| columns.len()), expected, "{sql}");
    }
}

#[test]
fn a_views_text_means_the_same_when_read_again() {
    let sql = "CREATE OR REPLACE VIEW v COMMENT 'it''s' SECURITY INVOKER AS\n\
               SELECT 'it''s' AS \"A \"\"b\", -- not this\n x FROM a . b WHERE y >= 1.5e3";
    let WriteAction::CreateView { sql, comment, invoker, replace, .. } = action(sql) else {
        panic!()
    };
    assert_eq!(sql, "SELECT 'it''s' AS \"A \"\"b\", x FROM a . b WHERE y >= 1.5e3");
    assert_eq!(comment.as_deref(), Some("it's"));
    assert!(invoker && replace);
}

#[test]
fn all_forms_are_told_apart() {
    for sql in [
        "CREATE SCHEMA IF NOT EXISTS c.s",
        "DROP SCHEMA IF EXISTS s CASCADE",
        "ALTER SCHEMA s RENAME TO u",
        "DROP TABLE IF EXISTS a.b.c",
        "DROP VIEW v",
        "ALTER TABLE IF EXISTS t RENAME TO u",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS a bigint COMMENT 'x'",
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t ALTER COLUMN a DROP NOT NULL",
        "ALTER VIEW v RENAME TO w",
        "COMMENT ON TABLE t IS 'x'",
        "COMMENT ON VIEW t IS NULL",
        "COMMENT ON COLUMN a.b.c.d IS 'x'",
        "TRUNCATE TABLE t",
        "DELETE FROM t",
    ] {
        action(sql);
    }
    for (sql, code, text) in [
        ("DELETE FROM t WHERE a = 1", ErrorCode::NOT_SUPPORTED, "modifying table rows"),
        (
            "CREATE TABLE t (a bigint) WITH (x = 1)",
            ErrorCode::INVALID_TABLE_PROPERTY,
            "line 1:33: Table property 'x' does not exist",
        ),
        ("CREATE TABLE t WITH (x = 1) AS SELECT 1 a", ErrorCode::INVALID_TABLE_PROPERTY, "'x'"),
        ("CREATE TABLE t (a bigint WITH (x = 1))", ErrorCode::INVALID_COLUMN_PROPERTY, "'x'"),
        ("CREATE SCHEMA s WITH (x = 1)", ErrorCode::INVALID_SCHEMA_PROPERTY, "'x'"),
        ("CREATE OR REPLACE TABLE t (a bigint)", ErrorCode::NOT_SUPPORTED, "replacing tables"),
        ("CREATE TABLE t ()", ErrorCode::SYNTAX_ERROR, "line 1:17: "),
        ("CREATE TABLE t (a bigint", ErrorCode::SYNTAX_ERROR, "<EOF>"),
        ("INSERT INTO t", ErrorCode::SYNTAX_ERROR, "<EOF>"),
        ("DROP TABLE t x", ErrorCode::SYNTAX_ERROR, "mismatched input 'x'"),
        ("CREATE ROLE r", ErrorCode::NOT_SUPPORTED, "CREATE ROLE is not supported"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", ErrorCode::NOT_SUPPORTED, "CREATE MATERIALIZED"),
    ] {
        let (found, message) = error(sql);
        assert_eq!(found, code, "{sql}: {message}");
        assert!(message.contains(text), "{sql}: {message}");
    }
}
