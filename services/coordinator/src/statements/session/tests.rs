//! Statements about sessions, prepared statements with their parameters.
#![allow(clippy::unwrap_used)]

use waterbear_dialect::{ClientContext, ClientTransaction};
use waterbear_protocol::{ErrorCode, Failure};

use crate::client_api::tests::rows_of;
use crate::query::{Output, SessionChanges};
use crate::statements::tests::LocalRunner;

fn context() -> ClientContext {
    let prepared = [
        ("one", "SELECT ? + 1, ?"),
        ("key", "SELECT n_name FROM nation WHERE n_nationkey = ?"),
        ("page", "SELECT n_name FROM nation ORDER BY n_nationkey OFFSET ? ROWS LIMIT ?"),
        (
            "like",
            "SELECT n_name AS \"Name\", n_nationkey, count(*) FROM nation WHERE n_name LIKE ? GROUP BY 1, 2",
        ),
        ("tables", "SHOW TABLES"),
        ("begin", "START TRANSACTION"),
        ("empty", "DELETE FROM nation"),
    ];
    ClientContext {
        catalog: Some("tpch".into()),
        schema: Some("tiny".into()),
        prepared_statements: prepared.map(|(name, sql)| (name.into(), sql.into())).into(),
        transaction: ClientTransaction::None,
        capabilities: vec!["PATH".into(), "SESSION_AUTHORIZATION".into()],
        ..ClientContext::default()
    }
}

async fn run(sql: &str) -> Result<Output, Failure> {
    LocalRunner::new().execute(sql, &context()).await
}

async fn rows(sql: &str) -> String {
    match run(sql).await {
        Ok(output) => rows_of(output).await.unwrap_or_else(|failure| failure.to_string()),
        Err(failure) => failure.to_string(),
    }
}

async fn failure(sql: &str) -> (ErrorCode, String) {
    let failure = match run(sql).await {
        Ok(output) => rows_of(output).await.map(|rows| panic!("{sql}: {rows}")).unwrap_err(),
        Err(failure) => failure,
    };
    (failure.code, failure.message)
}

#[tokio::test]
async fn parameters_are_expressions() {
    for (sql, expected) in [
        ("EXECUTE one USING 41, 'a''b'", r#"[42,"a'b"]"#),
        ("EXECUTE one USING 1 + 2, NULL", "[4,null]"),
        ("EXECUTE one USING -1, DATE '2020-02-29'", r#"[0,"2020-02-29"]"#),
        ("EXECUTE key USING 1", r#"["BRAZIL"]"#),
        ("EXECUTE key USING 1 OR true", "TYPE_MISMATCH"),
        ("EXECUTE page USING 1, 1", r#"["BRAZIL"]"#),
        ("EXECUTE page USING BIGINT '2', 5", r#"["CHINA"]"#),
        ("EXECUTE IMMEDIATE 'SELECT 1'", "[1]"),
        ("EXECUTE IMMEDIATE 'SELECT ? || ''x''' USING 'y'", r#"["yx"]"#),
        ("EXECUTE IMMEDIATE 'VALUES (?, ?), (?, ?)' USING 1, 2, 3, 4", "[1,2],[3,4]"),
        ("EXECUTE IMMEDIATE 'SELECT \"a?\" FROM (SELECT ''?'' AS \"a?\")'", r#"["?"]"#),
        ("EXECUTE tables", r#"["nation"],["region"]"#),
    ] {
        let found = rows(sql).await;
        let holds = found == expected || expected == "TYPE_MISMATCH" && found.starts_with(expected);
        assert!(holds, "{sql}: {found}");
    }
}

#[tokio::test]
async fn what_cannot_be_executed_says_why() {
    let usage = ErrorCode::INVALID_PARAMETER_USAGE;
    for (sql, code, text) in [
        ("EXECUTE nope", ErrorCode::NOT_FOUND, "Prepared statement not found: nope"),
        ("EXECUTE key", usage, "line 1:1: Incorrect number of parameters: expected 1 but found 0"),
        (
            "EXECUTE key USING 1, 2",
            usage,
            "line 1:1: Incorrect number of parameters: expected 1 but found 2",
        ),
        ("SELECT ?", usage, "line 1:1: Incorrect number of parameters: expected 1 but found 0"),
        (
            "EXECUTE one USING n_name, 1",
            ErrorCode::EXPRESSION_NOT_CONSTANT,
            "line 1:19: Constant expression cannot contain column references",
        ),
        (
            "EXECUTE one USING (SELECT 1), 1",
            ErrorCode::EXPRESSION_NOT_CONSTANT,
            "line 1:20: Constant expression cannot contain a subquery",
        ),
        (
            "EXECUTE page USING 1, NULL",
            ErrorCode::INVALID_ARGUMENTS,
            "line 1:68: Parameter value provided for LIMIT is not a number of rows: NULL",
        ),
        (
            "EXECUTE key USING",
            ErrorCode::SYNTAX_ERROR,
            "line 1:18: mismatched input '<EOF>'. Expecting: an expression",
        ),
        (
            "EXECUTE IMMEDIATE 'SELECT nope\nFROM nation'",
            ErrorCode::COLUMN_NOT_FOUND,
            "line 1:27: Column 'nope' cannot be resolved",
        ),
        (
            "EXECUTE IMMEDIATE 'SELECT 1\nFROM nope'",
            ErrorCode::TABLE_NOT_FOUND,
            "line 2:6: Table 'tpch.tiny.nope' does not exist",
        ),
        (
            "EXECUTE IMMEDIATE 'SELECT $1' USING 1",
            ErrorCode::SYNTAX_ERROR,
            "line 1:27: mismatched input '$1'. Expecting: <expression>",
        ),
        (
            "EXECUTE IMMEDIATE 'EXECUTE key' USING 1",
            ErrorCode::NOT_SUPPORTED,
            "Invalid statement type for prepared statement: EXECUTE",
        ),
        ("PREPARE p FROM SELECT FROM", ErrorCode::SYNTAX_ERROR, ""),
        (
            "PREPARE p FROM EXECUTE key",
            ErrorCode::NOT_SUPPORTED,
            "line 1:16: Invalid statement type for prepared statement: EXECUTE",
        ),
        ("DEALLOCATE PREPARE nope", ErrorCode::NOT_FOUND, "Prepared statement not found: nope"),
    ] {
        let (found, message) = failure(sql).await;
        assert_eq!(found, code, "{sql}: {message}");
        assert!(text.is_empty() || message == text, "{sql}: {message}");
    }
}

#[tokio::test]
async fn statements_change_the_clients_session() {
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let none = SessionChanges::default;
    let cases: Vec<(&str, &str, SessionChanges)> = vec![
        (
            "PREPARE MyQ FROM\n  SELECT ?,\n 'ü' -- end\n",
            "PREPARE",
            SessionChanges { added_prepared: pair("MyQ", "SELECT ?,\n 'ü' -- end"), ..none() },
        ),
        (
            "DEALLOCATE PREPARE key",
            "DEALLOCATE",
            SessionChanges { deallocated_prepared: vec!["key".into()], ..none() },
        ),
        (
            "SET SESSION query_max_run_time = '1' || '0m'",
            "SET SESSION",
            SessionChanges { set_session: pair("query_max_run_time", "10m"), ..none() },
        ),
        (
            "SET SESSION query_priority = 2 + 3",
            "SET SESSION",
            SessionChanges { set_session: pair("query_priority", "5"), ..none() },
        ),
        (
            "SET SESSION spill_enabled = false",
            "SET SESSION",
            SessionChanges { set_session: pair("spill_enabled", "false"), ..none() },
        ),
        (
            "RESET SESSION spill_enabled",
            "RESET SESSION",
            SessionChanges { clear_session: vec!["spill_enabled".into()], ..none() },
        ),
        (
            "SET TIME ZONE 'Europe/Vienna'",
            "SET TIME ZONE",
            SessionChanges { set_session: pair("time_zone_id", "Europe/Vienna"), ..none() },
        ),
        (
            "SET TIME ZONE LOCAL",
            "SET TIME ZONE",
            SessionChanges { set_session: pair("time_zone_id", "UTC"), ..none() },
        ),
        (
            "SET TIME ZONE INTERVAL '-5' HOUR",
            "SET TIME ZONE",
            SessionChanges { set_session: pair("time_zone_id", "-05:00"), ..none() },
        ),
        (
            "SET PATH tpch.tiny, \"A b\"",
            "SET PATH",
            SessionChanges { set_path: Some("tpch.tiny, \"a b\"".into()), ..none() },
        ),
        (
            "SET ROLE NONE",
            "SET ROLE",
            SessionChanges { set_roles: pair("system", "NONE"), ..none() },
        ),
        (
            "SET ROLE ALL IN tpch",
            "SET ROLE",
            SessionChanges { set_roles: pair("tpch", "ALL"), ..none() },
        ),
        (
            "SET SESSION AUTHORIZATION bob",
            "SET SESSION AUTHORIZATION",
            SessionChanges { set_authorization_user: Some("bob".into()), ..none() },
        ),
        (
            "RESET SESSION AUTHORIZATION",
            "RESET SESSION AUTHORIZATION",
            SessionChanges { reset_authorization_user: true, ..none() },
        ),
    ];
    for (sql, update_type, changes) in cases {
        let output = run(sql).await.unwrap_or_else(|failure| panic!("{sql}: {failure}"));
        assert_eq!(output.update_type.as_deref(), Some(update_type));
        assert_eq!(output.changes, changes, "{sql}");
        assert!(output.columns.is_empty());
    }
}

#[tokio::test]
async fn sessions_refuse_what_they_do_not_know() {
    let property = ErrorCode::INVALID_SESSION_PROPERTY;
    for (sql, code, text) in [
        ("SET SESSION nope = 1", property, "line 1:1: Session property 'nope' does not exist"),
        (
            "SET SESSION tpch.nope = 1",
            property,
            "line 1:1: Session property 'tpch.nope' does not exist",
        ),
        (
            "SET SESSION nope.x = 1",
            ErrorCode::CATALOG_NOT_FOUND,
            "line 1:1: Catalog 'nope' not found",
        ),
        ("RESET SESSION nope", property, "line 1:1: Session property 'nope' does not exist"),
        (
            "SET SESSION query_priority = NULL",
            property,
            "line 1:30: Session property value must not be null",
        ),
        (
            "SET SESSION query_priority = 'x'",
            property,
            "Unable to set session property 'query_priority' to 'x': Cannot cast type varchar to integer",
        ),
        ("SET SESSION query_max_run_time = '1 fortnight'", property, ""),
        (
            "SET SESSION join_distribution_type = x",
            ErrorCode::EXPRESSION_NOT_CONSTANT,
            "line 1:38: Constant expression cannot contain column references",
        ),
        ("SET SESSION retry_policy = 'QUERY'", ErrorCode::NOT_SUPPORTED, ""),
        ("SET TIME ZONE 'Mars'", ErrorCode::NOT_SUPPORTED, "Time zone not supported: Mars"),
        ("SET TIME ZONE 1", ErrorCode::TYPE_MISMATCH, ""),
        ("SET TIME ZONE INTERVAL '15' HOUR", ErrorCode::INVALID_LITERAL, ""),
        ("SET ROLE boss", ErrorCode::ROLE_NOT_FOUND, "line 1:10: Role 'boss' does not exist"),
        ("COMMIT", ErrorCode::NOT_IN_TRANSACTION, "No transaction in progress"),
        ("START TRANSACTION READ", ErrorCode::SYNTAX_ERROR, ""),
        ("START TRANSACTION READ ONLY READ WRITE", ErrorCode::SYNTAX_ERROR, ""),
        (
            "START TRANSACTION READ ONLY, READ WRITE",
            ErrorCode::SYNTAX_ERROR,
            "line 1:30: Multiple transaction read modes specified",
        ),
    ] {
        let (found, message) = failure(sql).await;
        assert_eq!(found, code, "{sql}: {message}");
        assert!(text.is_empty() || message == text, "{sql}: {message}");
    }
    let runner = LocalRunner::new();
    let old = ClientContext::default();
    for sql in ["SET PATH x", "SET SESSION AUTHORIZATION bob", "START TRANSACTION"] {
        let code = runner.execute(sql, &old).await.err().map(|failure| failure.code);
        assert_eq!(code, Some(ErrorCode::INCOMPATIBLE_CLIENT), "{sql}");
    }
}

#[tokio::test]
async fn transactions_begin_with_an_id() {
    for sql in [
        "START TRANSACTION",
        "START TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    ] {
        let output = run(sql).await.unwrap();
        assert_eq!(output.update_type.as_deref(), Some("START TRANSACTION"));
        assert_eq!(output.changes.started_transaction.map(|id| id.len()), Some(36), "{sql}");
    }
}

#[tokio::test]
async fn sessions_are_shown() {
    assert_eq!(
        rows("SHOW SESSION LIKE 'query\\_pri%' ESCAPE '\\'").await,
        r#"["query_priority","1","1","integer","The priority of queries (no effect: queries start in the order in which they come)"]"#
    );
    let mut context = context();
    context.session_properties.insert("query_priority".into(), "9".into());
    let output = LocalRunner::new().execute("SHOW SESSION", &context).await.unwrap();
    assert!(rows_of(output).await.unwrap().contains(r#"["query_priority","9","1","#));
}

#[tokio::test]
async fn prepared_statements_are_described() {
    for (sql, expected) in [
        ("DESCRIBE INPUT key", r#"[0,"unknown"]"#),
        ("DESCRIBE INPUT tables", ""),
        ("DESCRIBE INPUT page", r#"[0,"bigint"],[1,"bigint"]"#),
        ("DESCRIBE OUTPUT page", r#"["n_name","tpch","tiny","nation","varchar",0,false]"#),
        ("DESCRIBE OUTPUT (SELECT 1 AS a)", r#"["a","","","","integer",4,true]"#),
        ("DESCRIBE OUTPUT begin", ""),
        ("DESCRIBE OUTPUT empty", r#"["rows","","","","bigint",8,false]"#),
        (
            "DESCRIBE OUTPUT like",
            r#"["Name","tpch","tiny","nation","varchar",0,true],["n_nationkey","tpch","tiny","nation","bigint",8,false],["_col2","","","","bigint",8,false]"#,
        ),
        ("DESCRIBE OUTPUT tables", r#"["Table","","","","varchar",0,false]"#),
    ] {
        assert_eq!(rows(sql).await, expected, "{sql}");
    }
    assert_eq!(failure("DESCRIBE INPUT nope").await.0, ErrorCode::NOT_FOUND);
}
