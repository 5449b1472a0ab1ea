//! Statements through the dialect and plain DataFusion, in this process.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use waterbear_connector::{Column, Connector, ConnectorError, ConnectorTable};
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};

use super::*;
use crate::catalogs::Catalogs;
use crate::client_api::tests::rows_of;
use crate::query::handle::QueryRegistry;
use crate::query::{ClientContext, Output, OutputColumn, QueryHandle, StatementRunner};
use crate::system::SystemSources;
use crate::transactions::Transactions;
use waterbear_dialect::*;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

/// A catalog with one schema of tables in memory.
#[derive(Debug)]
struct Memory(BTreeMap<String, Arc<MemoryTable>>);

#[derive(Debug)]
struct MemoryTable {
    columns: Vec<Column>,
    provider: Arc<MemTable>,
}

impl ConnectorTable for MemoryTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider) as _
    }
}

#[derive(Debug)]
struct SharedTable(Arc<MemoryTable>);

impl ConnectorTable for SharedTable {
    fn columns(&self) -> &[Column] {
        self.0.columns()
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        self.0.provider()
    }
}

#[async_trait]
impl Connector for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn schemas(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["tiny".to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        match schema {
            "tiny" => Ok(self.0.keys().cloned().collect()),
            _ => Err(ConnectorError::SchemaNotFound { schema: schema.to_owned() }),
        }
    }

    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError> {
        self.tables(schema).await?;
        let table = self.0.get(table).cloned();
        Ok(table.map(|table| Arc::new(SharedTable(table)) as Arc<dyn ConnectorTable>))
    }
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Arc<MemoryTable> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let column = |field: &arrow::datatypes::FieldRef| Column {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        trino_type: TrinoType::of(field.data_type()).unwrap().listing(),
        nullable: true,
        comment: None,
        hidden: false,
    };
    Arc::new(MemoryTable {
        columns: batch.schema().fields().iter().map(column).collect(),
        provider: Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap()),
    })
}

fn nations() -> Memory {
    let names = StringArray::from(vec!["ALGERIA", "BRAZIL", "CHINA"]);
    let nation = table(vec![
        ("n_nationkey", Arc::new(Int64Array::from(vec![0, 1, 2]))),
        ("n_name", Arc::new(names)),
        ("n_regionkey", Arc::new(Int64Array::from(vec![Some(0), Some(1), None]))),
    ]);
    let region = table(vec![
        ("r_regionkey", Arc::new(Int64Array::from(vec![0, 1]))),
        ("r_name", Arc::new(StringArray::from(vec!["AFRICA", "AM\\ERICA"]))),
        ("n_name", Arc::new(StringArray::from(vec!["x", "y"]))),
        ("r_area", Arc::new(Float64Array::from(vec![1.5, 1e10]))),
    ]);
    Memory([("nation".to_owned(), nation), ("region".to_owned(), region)].into())
}

fn node(id: &str, role: Role, state: NodeState) -> NodeInfo {
    NodeInfo {
        node_id: id.parse().unwrap(),
        incarnation: waterbear_ids::Incarnation::random(),
        build: "1".into(),
        environment: "test".into(),
        role,
        host: "10.0.0.1".into(),
        internal_port: 1,
        http_port: 8080,
        started_ms: 0,
        state,
        memory_bytes: 0,
        task_slots: 0,
    }
}

/// Runs statements on plain DataFusion.
pub(crate) struct LocalRunner {
    catalogs: Arc<Catalogs>,
    state: SessionState,
    transactions: Arc<Transactions>,
    /// Starts only so many batches later.
    pub registry: Arc<QueryRegistry>,
}

impl LocalRunner {
    pub fn new() -> Self {
        let registry = Arc::new(QueryRegistry::new());
        let nodes = || {
            vec![
                node("d1", Role::Discovery, NodeState::Active),
                node("c1", Role::Coordinator, NodeState::Active),
                node("w1", Role::Worker, NodeState::ShuttingDown),
            ]
        };
        let sources = SystemSources { registry: Arc::clone(&registry), nodes: Arc::new(nodes) };
        let memory: Arc<dyn Connector> = Arc::new(nations());
        let catalogs = Arc::new(Catalogs::new([("TPCH".to_owned(), memory)].into(), sources));
        let builder = SessionStateBuilder::new_with_default_features()
            .with_catalog_list(Arc::clone(&catalogs) as _);
        let state = configure(builder).build();
        Self { catalogs, state, transactions: Arc::default(), registry }
    }

    pub async fn execute(&self, sql: &str, context: &ClientContext) -> Result<Output, Failure> {
        let statement = match parse_in(sql, context)? {
            Statement::Metadata(statement) => {
                return run_metadata(&statement, &self.catalogs, context).await;
            }
            Statement::Call(call) => return run_call(&call, &self.catalogs, context),
            Statement::Session(statement) => {
                let (catalogs, state) = (&self.catalogs, &self.state);
                let transactions = &self.transactions;
                let scope = SessionScope { catalogs, state, transactions, context };
                return run_session(&statement, scope).await;
            }
            statement => statement,
        };
        let planned = plan_query(&statement, &self.state, context).await?;
        let failure = |error| waterbear_functions::failure_of(&error);
        let plan = self.state.create_physical_plan(&planned.plan).await.map_err(failure)?;
        let schema = plan.schema();
        let columns = planned
            .columns
            .into_iter()
            .zip(schema.fields())
            .map(|(name, field)| OutputColumn {
                name,
                trino_type: TrinoType::of_field(field).unwrap(),
            })
            .collect();
        let batches = execute_stream(plan, self.state.task_ctx()).map_err(failure)?;
        let batches = batches.map(move |batch| batch.map_err(failure)).boxed();
        Ok(Output::rows(columns, batches))
    }
}

#[async_trait]
impl StatementRunner for LocalRunner {
    async fn run(&self, query: Arc<QueryHandle>) -> Result<Output, Failure> {
        waterbear_dialect::check_session(query.context())?;
        self.execute(query.sql(), query.context()).await
    }
}

pub(super) fn context() -> ClientContext {
    ClientContext {
        catalog: Some("tpch".into()),
        schema: Some("tiny".into()),
        ..ClientContext::default()
    }
}

/// Column names, then the rows as JSON.
pub(super) async fn answer(sql: &str) -> Result<(Vec<String>, String), Failure> {
    let output = LocalRunner::new().execute(sql, &context()).await?;
    let names = output.columns.iter().map(|column| column.name.clone()).collect();
    Ok((names, rows_of(output).await?))
}

pub(super) async fn rows(sql: &str) -> String {
    answer(sql).await.map_or_else(|failure| failure.to_string(), |(_, rows)| rows)
}

pub(super) async fn names(sql: &str) -> Vec<String> {
    answer(sql).await.map_or_else(|failure| vec![failure.to_string()], |(names, _)| names)
}

/// Collects what is not as expected, so that one run shows all of it.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn check<T: std::fmt::Debug + PartialEq<U>, U: std::fmt::Debug + ?Sized>(
        &mut self,
        sql: &str,
        found: T,
        expected: &U,
    ) {
        if found != *expected {
            self.0.push(format!("{sql}\n     found {found:?}\n  expected {expected:?}"));
        }
    }

    fn assert_none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0.join("\n"));
    }
}

/// Code and message.
pub(super) async fn failure(sql: &str) -> (ErrorCode, String) {
    match answer(sql).await {
        Ok((_, rows)) => (ErrorCode::GENERIC_INTERNAL_ERROR, format!("no failure: {rows}")),
        Err(failure) => {
            if let Some(at) = failure.location {
                let prefix = format!("line {}:{}: ", at.line_number, at.column_number);
                assert!(failure.message.starts_with(&prefix), "{failure}");
            }
            (failure.code, failure.message)
        }
    }
}

#[tokio::test]
async fn columns_are_named_as_trino_names_them() {
    let cases: &[(&str, &[&str])] = &[
        ("SELECT 1, 1, count(*) AS Foo, 2 AS \"Bar Baz\"", &["_col0", "_col1", "Foo", "Bar Baz"]),
        (
            "SELECT N_NAME, n_nationkey + 1, nation.n_name FROM nation",
            &["N_NAME", "_col1", "n_name"],
        ),
        ("SELECT *, 1 FROM nation", &["n_nationkey", "n_name", "n_regionkey", "_col3"]),
        (
            "SELECT 1, * FROM (SELECT n_name, 2, 3 FROM nation)",
            &["_col0", "n_name", "_col2", "_col3"],
        ),
        ("SELECT 1 AS x, 2 AS X", &["x", "X"]),
        (
            "SELECT a.n_name, b.n_name FROM nation a JOIN region b ON a.n_regionkey = b.r_regionkey",
            &["n_name", "n_name"],
        ),
        (
            "SELECT * FROM (SELECT a.n_name, b.n_name FROM nation a CROSS JOIN region b)",
            &["n_name", "n_name"],
        ),
        ("SELECT n_name FROM nation UNION ALL SELECT r_name FROM region", &["n_name"]),
        ("SELECT 1, 1 UNION SELECT 2, 2", &["_col0", "_col1"]),
        ("WITH T AS (SELECT 1 AS One) SELECT one FROM t", &["one"]),
        ("VALUES (1, 'a')", &["_col0", "_col1"]),
        ("SELECT * FROM (VALUES (1, 'a')) AS t(X, y)", &["x", "y"]),
        (
            "SELECT count(*) FROM nation WHERE n_nationkey IN (SELECT max(n_nationkey) FROM nation)",
            &["_col0"],
        ),
    ];
    let mut differences = Differences::default();
    for (sql, expected) in cases {
        differences.check(sql, names(sql).await, *expected);
    }
    differences.assert_none();
}

#[tokio::test]
async fn queries_mean_what_they_mean_in_trino() {
    let cases: &[(&str, &str)] = &[
        // Quoted names are case-insensitive too.
        (
            "SELECT \"N_Name\" FROM \"TPCH\".\"Tiny\".\"NATION\" ORDER BY \"N_NATIONKEY\" LIMIT 1",
            r#"["ALGERIA"]"#,
        ),
        // NULLs are last in both directions.
        ("SELECT n_regionkey FROM nation ORDER BY 1 DESC", "[1],[0],[null]"),
        ("SELECT n_regionkey FROM nation ORDER BY n_regionkey", "[0],[1],[null]"),
        ("SELECT n_regionkey FROM nation ORDER BY 1 DESC NULLS FIRST", "[null],[1],[0]"),
        (
            "SELECT rank() OVER (ORDER BY n_regionkey DESC) FROM nation ORDER BY n_nationkey",
            "[2],[1],[3]",
        ),
        // Literals.
        (
            "SELECT 1.10, 0.05, 1e0, 1.5E-7, -0.5, 0x1F, 0b11, 1_000",
            r#"["1.10","0.05",1.0,1.5E-7,"-0.5",31,3,1000]"#,
        ),
        ("SELECT -9223372036854775808", "[-9223372036854775808]"),
        ("SELECT DATE '1995-01-01' + INTERVAL '3' MONTH", r#"["1995-04-01"]"#),
        (
            "SELECT TIMESTAMP '2020-01-01 01:02:03', TIMESTAMP '2020-01-01 01:02:03.123400'",
            r#"["2020-01-01 01:02:03","2020-01-01 01:02:03.123400"]"#,
        ),
        (
            "SELECT DECIMAL '1.10', CAST(1 AS decimal(5,2)), CAST('abc' AS varchar(2)), U&'\\00e9'",
            r#"["1.10","1.00","ab","é"]"#,
        ),
        ("SELECT CAST('2020-01-01 00:00:00' AS timestamp)", r#"["2020-01-01 00:00:00.000"]"#),
        // LIKE has no escape of its own.
        (r"SELECT r_regionkey FROM region WHERE r_name LIKE 'AM\E%'", "[1]"),
        (r"SELECT count(*) FROM region WHERE r_name LIKE 'A#%' ESCAPE '#'", "[0]"),
        (
            "SELECT n_name FROM nation ORDER BY n_nationkey OFFSET 1 FETCH FIRST 1 ROW ONLY",
            r#"["BRAZIL"]"#,
        ),
        ("SELECT DISTINCT n_regionkey + 1 FROM nation ORDER BY n_regionkey + 1", "[1],[2],[null]"),
        (
            "SELECT DISTINCT n_name, n_name FROM nation ORDER BY 1 LIMIT 1",
            r#"["ALGERIA","ALGERIA"]"#,
        ),
        (
            "SELECT count(*), sum(n_nationkey) FROM nation GROUP BY n_name ORDER BY sum(n_nationkey) DESC LIMIT 1",
            "[1,2]",
        ),
        (
            "SELECT substring(n_name FROM 1 FOR 2), extract(year FROM DATE '1995-01-01') FROM nation LIMIT 1",
            r#"["AL",1995]"#,
        ),
        (
            "SELECT n_name FROM nation WHERE EXISTS (SELECT 1, 1 FROM region WHERE r_regionkey = n_regionkey) ORDER BY 1",
            r#"["ALGERIA"],["BRAZIL"]"#,
        ),
        ("SELECT * FROM UNNEST(ARRAY[1, 2]) AS t(x)", "[1],[2]"),
        (
            "WITH nation AS (SELECT n_name FROM nation WHERE n_nationkey = 1) SELECT * FROM nation",
            r#"["BRAZIL"]"#,
        ),
        ("SELECT r_area FROM region ORDER BY r_regionkey", "[1.5],[1.0E10]"),
        ("SELECT NULL, true, X'ff'", r#"[null,true,"/w=="]"#),
        ("SELECT count(*) FILTER (WHERE n_nationkey > 0) FROM nation", "[2]"),
        ("(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1", "[1],[2]"),
        (
            "SELECT grouping(n_name), count(*) FROM nation GROUP BY ROLLUP (n_name) ORDER BY 1, 2 LIMIT 1",
            "[0,1]",
        ),
    ];
    let mut differences = Differences::default();
    for (sql, expected) in cases {
        differences.check(sql, rows(sql).await, *expected);
    }
    differences.assert_none();
}

#[tokio::test]
async fn errors_have_trinos_codes_and_places() {
    use ErrorCode::*;
    let cases: &[(&str, ErrorCode, &str)] = &[
        ("SELECT * FRMO foo WHERE x = ?", SYNTAX_ERROR, "line 1:10: mismatched input 'FRMO'"),
        ("SELECT 1;", SYNTAX_ERROR, "line 1:9: mismatched input ';'"),
        ("SELECT", SYNTAX_ERROR, "line 1:7: mismatched input '<EOF>'"),
        ("SELECT (1", SYNTAX_ERROR, "line 1:10: mismatched input '<EOF>'"),
        ("FOO BAR", SYNTAX_ERROR, "line 1:1: mismatched input 'FOO'"),
        ("", SYNTAX_ERROR, "line 1:1: mismatched input '<EOF>'"),
        ("-- nothing", SYNTAX_ERROR, ""),
        ("SELECT 1 SELECT 2", SYNTAX_ERROR, "line 1:10: mismatched input"),
        ("SELECT 1 'x'", SYNTAX_ERROR, "line 1:8: mismatched input"),
        ("SELECT `a` FROM nation", SYNTAX_ERROR, "line 1:8: "),
        ("SELECT * FROM 'file.parquet'", SYNTAX_ERROR, "line 1:15: mismatched input"),
        (
            "SELECT 99999999999999999999",
            INVALID_LITERAL,
            "line 1:8: Invalid numeric literal: 99999999999999999999",
        ),
        (
            "SELECT DATE '2020-99-99'",
            INVALID_LITERAL,
            "line 1:13: '2020-99-99' is not a valid DATE literal",
        ),
        ("SELECT * FROM foo", TABLE_NOT_FOUND, "line 1:15: Table 'tpch.tiny.foo' does not exist"),
        ("SELECT 1\nFROM nation, a.b.c", CATALOG_NOT_FOUND, "line 2:14: Catalog 'a' not found"),
        ("SELECT * FROM nope.t", SCHEMA_NOT_FOUND, "line 1:15: Schema 'nope' does not exist"),
        ("SELECT * FROM a.b.c.d", SYNTAX_ERROR, "line 1:15: Too many dots in table name"),
        ("SELECT x FROM nation", COLUMN_NOT_FOUND, "line 1:8: Column 'x' cannot be resolved"),
        ("SELECT n.x FROM nation n", COLUMN_NOT_FOUND, "line 1:8: Column 'n.x' cannot be resolved"),
        (
            "SELECT 1 FROM nation WHERE nope = 1",
            COLUMN_NOT_FOUND,
            "line 1:28: Column 'nope' cannot be resolved",
        ),
        (
            "SELECT n_name FROM nation ORDER BY nope",
            COLUMN_NOT_FOUND,
            "line 1:36: Column 'nope' cannot be resolved",
        ),
        (
            "SELECT n_name FROM nation, region",
            AMBIGUOUS_NAME,
            "line 1:8: Column 'n_name' is ambiguous",
        ),
        ("SELECT 1 AS x, 2 AS x ORDER BY x", AMBIGUOUS_NAME, "line 1:32: Column 'x' is ambiguous"),
        ("SELECT nope(1)", FUNCTION_NOT_FOUND, "line 1:8: Function 'nope' not registered"),
        ("SELECT sum(n_name) FROM nation", FUNCTION_NOT_FOUND, ""),
        (
            "SELECT n_name + true FROM nation",
            TYPE_MISMATCH,
            "Cannot apply operator: varchar + boolean",
        ),
        ("SELECT n_name, count(*) FROM nation", EXPRESSION_NOT_AGGREGATE, "line 1:8: "),
        ("SELECT 1 FROM nation WHERE sum(n_nationkey) > 1", EXPRESSION_NOT_SCALAR, ""),
        ("SELECT 1 UNION SELECT 1, 2", TYPE_MISMATCH, ""),
        ("SELECT CAST(1 AS string)", TYPE_NOT_FOUND, "line 1:13: Unknown type: string"),
        ("SELECT CAST(1 AS float)", TYPE_NOT_FOUND, "line 1:13: Unknown type: float"),
        ("SELECT ?", INVALID_PARAMETER_USAGE, "line 1:1: "),
        ("SELECT 1 LIMIT -1", SYNTAX_ERROR, "line 1:16: mismatched input '-'"),
        ("WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a", DUPLICATE_NAMED_QUERY, ""),
        ("SELECT (SELECT 1, 2)", NOT_SUPPORTED, ""),
        ("SHOW TABLES FROM nope", SCHEMA_NOT_FOUND, "line 1:18: Schema 'nope' does not exist"),
        ("SHOW SCHEMAS FROM nope", CATALOG_NOT_FOUND, "line 1:19: Catalog 'nope' not found"),
        ("DESCRIBE nope", TABLE_NOT_FOUND, "line 1:10: Table 'tpch.tiny.nope' does not exist"),
        ("USE nope", SCHEMA_NOT_FOUND, "line 1:5: Schema 'tpch.nope' does not exist"),
        ("USE nope.x", CATALOG_NOT_FOUND, "line 1:5: Catalog 'nope' not found"),
        (
            "SHOW TABLES LIKE",
            SYNTAX_ERROR,
            "line 1:17: mismatched input '<EOF>'. Expecting: <string>",
        ),
        ("SHOW CATALOGS;", SYNTAX_ERROR, "line 1:14: mismatched input ';'"),
    ];
    let mut differences = Differences::default();
    for (sql, code, message) in cases {
        let (found, text) = failure(sql).await;
        if !text.contains(message) || found != *code {
            differences.check(
                sql,
                format!("{} {text}", found.name()),
                &format!("{} {message}", code.name()),
            );
        }
    }
    differences.assert_none();
}

#[tokio::test]
async fn names_need_a_session_or_all_their_parts() {
    let runner = LocalRunner::new();
    let nobody = ClientContext::default();
    let code = async |sql: &str, context: &ClientContext| {
        runner.execute(sql, context).await.err().map(|failure| failure.code)
    };
    assert_eq!(code("SELECT 1", &nobody).await, None);
    assert_eq!(code("SELECT * FROM tpch.tiny.nation", &nobody).await, None);
    let missing = Some(ErrorCode::MISSING_CATALOG_NAME);
    assert_eq!(code("SELECT * FROM nation", &nobody).await, missing);
    assert_eq!(code("SHOW TABLES", &nobody).await, missing);
    assert_eq!(code("SHOW SCHEMAS", &nobody).await, missing);
    let catalog = ClientContext { catalog: Some("tpch".into()), ..nobody };
    let missing = Some(ErrorCode::MISSING_SCHEMA_NAME);
    assert_eq!(code("SELECT * FROM nation", &catalog).await, missing);
    assert_eq!(code("SHOW TABLES", &catalog).await, missing);
    assert_eq!(code("SELECT * FROM tiny.nation", &catalog).await, None);
}

#[tokio::test]
async fn what_would_be_answered_wrongly_is_refused() {
    let mut differences = Differences::default();
    for sql in [
        "SELECT * FROM nation TABLESAMPLE BERNOULLI (0)",
        "SELECT * FROM nation FOR UPDATE",
        "SELECT * INTO x FROM nation",
        "SELECT DISTINCT ON (n_name) * FROM nation",
        "SELECT * EXCLUDE (n_name) FROM nation",
        "SELECT TOP 1 * FROM nation",
        "SELECT * FROM nation NATURAL JOIN region",
        "SELECT * FROM generate_series(1, 5)",
        "SELECT * FROM nation FOR VERSION AS OF 1",
        "SELECT * FROM nation FETCH FIRST 1 ROWS WITH TIES",
        "SELECT n_name FROM nation QUALIFY row_number() OVER () = 1",
        "SELECT n_name ILIKE 'a' FROM nation",
        "SELECT n_name FROM nation GROUP BY ALL",
        "FROM nation",
        "SELECT INTERVAL '1'",
    ] {
        let (code, text) = failure(sql).await;
        let refused = matches!(code, ErrorCode::NOT_SUPPORTED | ErrorCode::SYNTAX_ERROR);
        differences.check(sql, (refused, text.clone()), &(true, text));
    }
    differences.assert_none();
}

#[tokio::test]
async fn only_queries_reach_the_planner() {
    for (sql, name) in [
        ("COPY nation TO '/tmp/x.parquet'", ""),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE EXTERNAL"),
        ("WITH x AS (SELECT 1) INSERT INTO nation SELECT * FROM x", "INSERT"),
        ("SET datafusion.execution.batch_size = 1", "SET DATAFUSION"),
    ] {
        let (code, text) = failure(sql).await;
        let expected =
            if name.is_empty() { ErrorCode::SYNTAX_ERROR } else { ErrorCode::NOT_SUPPORTED };
        assert_eq!(code, expected, "{sql}: {text}");
        assert!(text.contains(name), "{sql}: {text}");
    }
}

#[tokio::test]
async fn catalogs_are_shown() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("SHOW CATALOGS", &["Catalog"], r#"["system"],["tpch"]"#),
        ("show catalogs like 't%'", &["Catalog"], r#"["tpch"]"#),
        ("SHOW SCHEMAS", &["Schema"], r#"["information_schema"],["tiny"]"#),
        ("SHOW SCHEMAS IN system LIKE 'r#_%' ESCAPE '#'", &["Schema"], ""),
        ("SHOW TABLES", &["Table"], r#"["nation"],["region"]"#),
        (
            "SHOW TABLES FROM system.runtime",
            &["Table"],
            r#"["nodes"],["optimizer_rule_stats"],["queries"],["tasks"],["transactions"]"#,
        ),
        ("SHOW TABLES FROM information_schema LIKE 's%'", &["Table"], r#"["schemata"]"#),
        (
            "DESCRIBE region",
            &["Column", "Type", "Extra", "Comment"],
            r#"["r_regionkey","bigint","",""],["r_name","varchar","",""],["n_name","varchar","",""],["r_area","double","",""]"#,
        ),
        (
            "SHOW COLUMNS FROM tpch.tiny.nation LIKE '%key'",
            &["Column", "Type", "Extra", "Comment"],
            r#"["n_nationkey","bigint","",""],["n_regionkey","bigint","",""]"#,
        ),
    ];
    for (sql, columns, expected) in cases {
        let (names, rows) = answer(sql).await.unwrap();
        assert_eq!(names, *columns, "{sql}");
        assert_eq!(rows, *expected, "{sql}");
    }
    let output = LocalRunner::new().execute("USE TPCH.tiny", &ClientContext::default()).await;
    let output = output.unwrap();
    assert_eq!(output.changes.set_catalog.as_deref(), Some("tpch"));
    assert_eq!(output.changes.set_schema.as_deref(), Some("tiny"));
    assert_eq!(output.update_type.as_deref(), Some("USE"));
}

#[tokio::test]
async fn system_tables_and_information_schema_answer_queries() {
    let cases: &[(&str, &str)] = &[
        (
            "SELECT node_id, http_uri, coordinator, state FROM system.runtime.nodes ORDER BY 1",
            r#"["c1","http://10.0.0.1:8080",true,"active"],["w1","http://10.0.0.1:8080",false,"shutting_down"]"#,
        ),
        (
            "SELECT catalog_name, connector_name FROM system.metadata.catalogs ORDER BY 1",
            r#"["system","system"],["tpch","memory"]"#,
        ),
        ("SELECT count(*) FROM system.runtime.tasks", "[0]"),
        (
            "SELECT schema_name FROM information_schema.schemata ORDER BY 1",
            r#"["information_schema"],["tiny"]"#,
        ),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'tiny' ORDER BY 1",
            r#"["nation"],["region"]"#,
        ),
        (
            "SELECT column_name, ordinal_position, is_nullable, data_type FROM tpch.information_schema.columns WHERE table_name = 'nation' ORDER BY 2 LIMIT 1",
            r#"["n_nationkey",1,"YES","bigint"]"#,
        ),
        (
            "SELECT count(*) FROM system.information_schema.columns WHERE table_schema = 'runtime' AND table_name = 'queries'",
            "[15]",
        ),
    ];
    let mut differences = Differences::default();
    for (sql, expected) in cases {
        differences.check(sql, rows(sql).await, *expected);
    }
    differences.assert_none();
    let runner = LocalRunner::new();
    let user = ClientContext { user: "alice".into(), ..context() };
    let query = runner.registry.submit("SELECT nope".into(), user);
    query.fail(Failure::new(ErrorCode::COLUMN_NOT_FOUND, "x"));
    let sql = "SELECT state, user, query, resource_group_id, error_type, error_code, started \
               FROM system.runtime.queries WHERE query_id IS NOT NULL";
    let output = runner.execute(sql, &context()).await.unwrap();
    assert_eq!(
        rows_of(output).await.unwrap(),
        r#"["FAILED","alice","SELECT nope",["global"],"USER_ERROR","COLUMN_NOT_FOUND",null]"#
    );
}

/// Deep and long statements: an answer or an error, but never the end of the process. On a
/// thread with the stack of the runtime's own.
#[test]
fn deep_statements_do_not_end_the_process() {
    let nested = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let chain = format!("SELECT 1{}", " + 1".repeat(900));
    let ors =
        format!("SELECT 1 FROM nation WHERE n_nationkey = 0{}", " OR n_nationkey = 1".repeat(400));
    let nots = format!("SELECT {} true", "NOT ".repeat(5_000));
    let minus = format!("SELECT {} 1", "- ".repeat(5_000));
    let cases = format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(3_000), " END".repeat(3_000));
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(300));
    let huge = format!("SELECT 1{}", " + 1".repeat(200_000));
    let subqueries =
        format!("SELECT * FROM {}nation{}", "(SELECT * FROM ".repeat(60), ")".repeat(60));
    for sql in [nested, chain, ors, nots, minus, cases, unions, huge, subqueries] {
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(answer(&sql));
        };
        std::thread::Builder::new().stack_size(64 << 20).spawn(run).unwrap().join().unwrap();
    }
}

#[tokio::test]
async fn garbage_is_an_error() {
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let words = [
        "SELECT",
        "FROM",
        "(",
        ")",
        "'",
        "\"",
        ",",
        "nation",
        "1",
        "e5",
        ".",
        "*",
        "?",
        ";",
        "\u{0}",
        "é",
        "WITH",
        "AS",
        "LIKE",
        "ESCAPE",
        "INTERVAL",
        "TIMESTAMP",
        "DATE",
        "''",
        "SHOW",
        "USE",
        "CAST",
        "0x",
        "U&'\\",
        "--",
        "/*",
        "[",
        "]",
        "->",
        "=>",
        "EXPLAIN",
        "TYPE",
    ];
    for _ in 0..3_000 {
        let mut sql = String::new();
        for _ in 0..12 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            sql.push_str(words[(seed % words.len() as u64) as usize]);
            if seed & 256 == 0 {
                sql.push(' ');
            }
        }
        let _ = parse(&sql);
    }
}
