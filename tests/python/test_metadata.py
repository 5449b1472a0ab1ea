"""What a client learns of the cluster: SHOW, EXPLAIN, system tables, information_schema, kill_query."""

import json
import threading

import pytest
from trino.exceptions import TrinoQueryError

from cluster import eventually

LONG = (
    "SELECT count(*) FROM tpch.sf100.lineitem AS a JOIN tpch.sf1.orders AS b ON a.l_orderkey % 1499977 = b.o_orderkey"
)


def run(cluster, sql):
    """Names and types of a statement's columns, and its rows."""
    cursor = cluster.connect().cursor()
    rows = cursor.execute(sql).fetchall()
    return [(column.name, column.type_code) for column in cursor.description or []], rows


def plan(cluster, sql):
    """The text of a plan, which is one varchar."""
    columns, rows = run(cluster, sql)
    assert columns == [("Query Plan", "varchar")]
    assert len(rows) == 1
    return rows[0][0]


def error(cluster, sql):
    with pytest.raises(TrinoQueryError) as caught:
        run(cluster, sql)
    return caught.value


def test_show_statements_have_their_headings(cluster):
    for sql, names in [
        ("SHOW CATALOGS", ["Catalog"]),
        ("SHOW SCHEMAS FROM tpch LIKE 'sf1'", ["Schema"]),
        ("SHOW TABLES FROM tpch.tiny LIKE 'line\\_item' ESCAPE '\\'", ["Table"]),
        ("SHOW COLUMNS FROM tpch.tiny.nation", ["Column", "Type", "Extra", "Comment"]),
        ("DESCRIBE tpch.tiny.nation", ["Column", "Type", "Extra", "Comment"]),
        ("SHOW CREATE TABLE tpch.tiny.nation", ["Create Table"]),
        ("SHOW CREATE SCHEMA tpch.tiny", ["Create Schema"]),
        ("SHOW ROLES", ["Role"]),
        ("SHOW CURRENT ROLES", ["Role"]),
        ("SHOW ROLE GRANTS", ["Role Grants"]),
    ]:
        columns, _ = run(cluster, sql)
        assert columns == [(name, "varchar") for name in names], sql
    columns, rows = run(cluster, "SHOW FUNCTIONS LIKE 'coun_'")
    assert [name for name, _ in columns] == [
        "Function",
        "Return Type",
        "Argument Types",
        "Function Type",
        "Deterministic",
        "Description",
    ]
    assert {(row[0], row[1], row[3], row[4]) for row in rows} == {("count", "bigint", "aggregate", True)}


def test_show_create_table_can_be_read(cluster):
    (text,) = run(cluster, "SHOW CREATE TABLE tpch.tiny.region")[1][0]
    lines = text.splitlines()
    assert lines[0] == "CREATE TABLE tpch.tiny.region ("
    assert lines[1].startswith("   r_regionkey bigint")
    assert lines[-1] == ")"


def test_show_stats_tells_rows_and_bounds(cluster):
    columns, rows = run(cluster, "SHOW STATS FOR tpch.tiny.nation")
    assert columns == [
        ("column_name", "varchar"),
        ("data_size", "double"),
        ("distinct_values_count", "double"),
        ("nulls_fraction", "double"),
        ("row_count", "double"),
        ("low_value", "varchar"),
        ("high_value", "varchar"),
    ]
    assert [row[0] for row in rows] == ["n_nationkey", "n_name", "n_regionkey", "n_comment", None]
    assert rows[-1][4] == 25.0
    _, rows = run(cluster, "SHOW STATS FOR (SELECT n_name AS x FROM tpch.tiny.nation)")
    assert [row[0] for row in rows] == ["x", None]


def test_explain_shows_fragments(cluster):
    sql = "SELECT n_name, count(*) FROM tpch.tiny.nation JOIN tpch.tiny.customer ON c_nationkey = n_nationkey GROUP BY n_name"
    text = plan(cluster, f"EXPLAIN {sql}")
    assert "Fragment 0 [" in text
    for part in ["Output[columnNames = [n_name, _col1]]", "InnerJoin[criteria = ", "Aggregate[type = ", "TableScan["]:
        assert part in text, text
    assert "Determinacy: exact" in text
    assert "Exec" not in text, text
    assert plan(cluster, f"EXPLAIN (TYPE DISTRIBUTED, FORMAT TEXT) {sql}") == text
    limited = plan(cluster, "EXPLAIN SELECT l_comment FROM tpch.tiny.lineitem LIMIT 3")
    assert "Determinacy: indeterminate: LIMIT over rows in no total order" in limited, limited


def test_explain_has_its_other_forms(cluster):
    sql = "SELECT n_name FROM tpch.tiny.nation WHERE n_regionkey = 1 ORDER BY n_name LIMIT 3"
    text = plan(cluster, f"EXPLAIN (TYPE LOGICAL) {sql}")
    for part in ["Output[columnNames = [n_name]]", "TopN[count = 3, orderBy = [", "TableScan[table = "]:
        assert part in text, text
    tree = json.loads(plan(cluster, f"EXPLAIN (TYPE LOGICAL, FORMAT JSON) {sql}"))
    assert tree["name"] == "Output" and tree["children"][0]["name"] == "TopN"
    fragments = json.loads(plan(cluster, f"EXPLAIN (FORMAT JSON) {sql}"))
    assert fragments["0"]["name"] == "Output"
    assert plan(cluster, f"EXPLAIN (FORMAT GRAPHVIZ) {sql}").startswith("digraph logical_plan {")
    read = json.loads(plan(cluster, f"EXPLAIN (TYPE IO) {sql}"))
    table = read["inputTableColumnInfos"][0]["table"]
    assert table == {"catalog": "tpch", "schemaTable": {"schema": "tiny", "table": "nation"}}
    assert run(cluster, f"EXPLAIN (TYPE VALIDATE) {sql}") == ([("Valid", "boolean")], [[True]])


def test_explain_fails_as_the_statement_does(cluster):
    for options in ["", "(TYPE VALIDATE) ", "(TYPE IO) ", "ANALYZE "]:
        failure = error(cluster, f"EXPLAIN {options}SELECT nope FROM tpch.tiny.nation")
        assert failure.error_name == "COLUMN_NOT_FOUND"
        assert f"line 1:{16 + len(options)}: " in failure.message
    assert error(cluster, "EXPLAIN (TYPE NOPE) SELECT 1").error_name == "SYNTAX_ERROR"
    assert error(cluster, "EXPLAIN SELECT FROM WHERE").error_name == "SYNTAX_ERROR"


def test_explain_analyze_runs_the_query(cluster):
    sql = "SELECT l_returnflag, count(*) FROM tpch.tiny.lineitem GROUP BY l_returnflag"
    text = plan(cluster, f"EXPLAIN ANALYZE {sql}")
    assert "Input: 60175 rows" in text, text
    assert "Output: 3 rows" in text, text
    assert "CPU: " in text and "Peak memory: " in text
    assert "output_rows=" not in text
    verbose = plan(cluster, f"EXPLAIN ANALYZE VERBOSE {sql}")
    assert "output_rows=" in verbose, verbose
    assert "Output: 1 rows" in plan(cluster, "EXPLAIN ANALYZE SELECT 1")
    failure = error(cluster, "EXPLAIN ANALYZE SELECT 1 / (n_nationkey - n_nationkey) FROM tpch.tiny.nation")
    assert failure.error_name == "DIVISION_BY_ZERO"


def test_drivers_read_their_tables(cluster):
    _, rows = run(
        cluster,
        "SELECT TABLE_CAT, TABLE_SCHEM, TABLE_NAME, TABLE_TYPE FROM system.jdbc.tables "
        "WHERE TABLE_CAT = 'tpch' AND TABLE_SCHEM LIKE 'tiny' ESCAPE '\\' AND TABLE_NAME LIKE 'n%' ESCAPE '\\' "
        "ORDER BY TABLE_TYPE, TABLE_CAT, TABLE_SCHEM, TABLE_NAME",
    )
    assert rows == [["tpch", "tiny", "nation", "TABLE"]]
    columns, rows = run(
        cluster,
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_SIZE, DECIMAL_DIGITS, ORDINAL_POSITION FROM system.jdbc.columns "
        "WHERE TABLE_CAT = 'tpch' AND TABLE_SCHEM = 'tiny' AND TABLE_NAME = 'lineitem' AND COLUMN_NAME = 'l_quantity'",
    )
    assert [kind for _, kind in columns] == ["varchar", "bigint", "bigint", "bigint", "bigint"]
    assert rows == [["l_quantity", 3, 12, 2, 5]]
    _, rows = run(cluster, "SELECT count(*) FROM system.jdbc.types")
    assert rows[0][0] > 20
    _, tables = run(cluster, "SHOW TABLES FROM system.jdbc")
    for (table,) in tables:
        run(cluster, f"SELECT * FROM system.jdbc.{table} WHERE 1 = 0")


def test_runtime_tables_have_trinos_types(cluster):
    columns, rows = run(cluster, "SELECT * FROM system.runtime.queries WHERE state = 'RUNNING'")
    types = dict(columns)
    assert types["created"] == "timestamp(3) with time zone"
    assert types["resource_group_id"] == "array(varchar)"
    assert list(types)[:5] == ["query_id", "state", "user", "source", "query"]
    columns, rows = run(cluster, "SELECT * FROM system.runtime.nodes WHERE coordinator")
    assert [name for name, _ in columns] == ["node_id", "http_uri", "node_version", "coordinator", "state"]
    assert len(rows) == 1 and rows[0][4] == "active"


def test_hidden_columns_are_not_in_a_star(cluster):
    columns, _ = run(cluster, "SELECT * FROM tpch.information_schema.columns WHERE table_schema = 'tiny'")
    assert "comment" not in [name for name, _ in columns]
    columns, _ = run(cluster, "SELECT column_name, comment FROM tpch.information_schema.columns WHERE table_schema = 'tiny'")
    assert [name for name, _ in columns] == ["column_name", "comment"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("query_id => '{}', message => 'Query cancelled by Superset'", "Query killed. Message: Query cancelled by Superset"),
        ("'{}', 'enough'", "Query killed. Message: enough"),
        ("'{}'", "Query killed. No message provided."),
    ],
)
def test_kill_query_ends_another_query(cluster, arguments, message):
    failures = []
    cursor = cluster.connect().cursor()

    def victim():
        try:
            cursor.execute(LONG).fetchall()
        except TrinoQueryError as failure:
            failures.append(failure)

    thread = threading.Thread(target=victim)
    thread.start()
    eventually(lambda: cursor.query_id is not None, 20, "the victim has no id")
    query_id = cursor.query_id
    sql = f"SELECT state FROM system.runtime.queries WHERE query_id = '{query_id}'"
    eventually(lambda: run(cluster, sql)[1] == [["RUNNING"]], 20, "the victim does not run")
    killer = cluster.connect().cursor()
    killer.execute(f"CALL system.runtime.kill_query({arguments.format(query_id)})")
    killer.fetchall()
    assert killer.update_type == "CALL"
    thread.join(20)
    assert not thread.is_alive()
    assert (failures[0].error_name, failures[0].error_code, failures[0].message) == (
        "ADMINISTRATIVELY_KILLED",
        38,
        message,
    )
    again = error(cluster, f"CALL system.runtime.kill_query('{query_id}')")
    assert again.error_name == "NOT_SUPPORTED" and "is not running" in again.message


def test_procedures_refuse_what_they_do_not_know(cluster):
    for sql, name in [
        ("CALL system.runtime.nope()", "PROCEDURE_NOT_FOUND"),
        ("CALL system.runtime.kill_query(NULL)", "INVALID_PROCEDURE_ARGUMENT"),
        ("CALL system.runtime.kill_query('20200101_000000_00000_aaaaa')", "NOT_FOUND"),
        ("CALL nope.runtime.kill_query('x')", "CATALOG_NOT_FOUND"),
    ]:
        assert error(cluster, sql).error_name == name, sql
