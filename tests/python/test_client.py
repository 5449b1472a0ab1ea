"""What an unmodified Trino client sees: values, types, paging, errors, metadata, cancelling."""

import contextlib
import datetime
import threading
from decimal import Decimal

import pytest
import trino
from trino.exceptions import TrinoQueryError, TrinoUserError

from cluster import eventually

LONG = (
    "SELECT count(*) FROM tpch.sf100.lineitem AS a JOIN tpch.sf1.orders AS b ON a.l_orderkey % 1499977 = b.o_orderkey"
)


def values(cluster, sql):
    """The only row of a statement, and the types that its columns have."""
    cursor = cluster.connect().cursor()
    rows = cursor.execute(sql).fetchall()
    assert len(rows) == 1
    return list(rows[0]), [column.type_code for column in cursor.description]


def test_select_one(cluster):
    assert values(cluster, "SELECT 1") == ([1], ["integer"])


def test_values_arrive_as_the_types_that_they_have(cluster):
    sql = """SELECT CAST(9223372036854775807 AS bigint), 2147483647, 1.5E0, DECIMAL '12345678901234567890.10', true,
                    'ünïcode 中文 😀 ''quoted''', DATE '1998-12-01', TIMESTAMP '2001-02-03 04:05:06.789',
                    CAST(NULL AS varchar(3)), CAST('ab' AS varchar(5)), NULL"""
    row, types = values(cluster, sql)
    assert row == [
        2**63 - 1,
        2147483647,
        1.5,
        Decimal("12345678901234567890.10"),
        True,
        "ünïcode 中文 😀 'quoted'",
        datetime.date(1998, 12, 1),
        datetime.datetime(2001, 2, 3, 4, 5, 6, 789000),
        None,
        "ab",
        None,
    ]
    assert types[:5] == ["bigint", "integer", "double", "decimal(22, 2)", "boolean"]
    assert types[5:8] == ["varchar(21)", "date", "timestamp(3)"]


def test_the_description_has_names_types_precision_and_scale(cluster):
    cursor = cluster.connect().cursor()
    cursor.execute("SELECT l_orderkey, l_quantity, l_shipdate, l_comment, l_tax * 2, l_orderkey + 1 FROM lineitem LIMIT 1")
    names = [column.name for column in cursor.description]
    assert names == ["l_orderkey", "l_quantity", "l_shipdate", "l_comment", "_col4", "_col5"]
    types = [column.type_code for column in cursor.description]
    assert types[:4] == ["bigint", "decimal(12, 2)", "date", "varchar(44)"]
    assert (cursor.description[1].precision, cursor.description[1].scale) == (12, 2)


def test_names_are_as_the_select_writes_them_and_may_repeat(cluster):
    """Trino calls a column by the last part of its name as it stands in the SELECT."""
    cursor = cluster.connect().cursor()
    row = cursor.execute("SELECT N_NATIONKEY, 1 AS x, 2 AS x FROM NATION ORDER BY 1 LIMIT 1").fetchone()
    assert [column.name for column in cursor.description] == ["N_NATIONKEY", "x", "x"]
    assert list(row) == [0, 1, 2]


def test_every_row_of_a_large_result_arrives_once(cluster):
    """Order keys are sparse by the TPC-H rules: 8 of each 32, so the right answer is known."""
    cursor = cluster.connect(schema="sf1").cursor()
    cursor.execute("SELECT o_orderkey, o_orderdate FROM orders WHERE o_orderkey <= 400000")
    keys = []
    while rows := cursor.fetchmany(977):
        keys += [row[0] for row in rows]
    assert len(keys) == 100_000
    assert sorted(keys) == [(index >> 3 << 5) | (index & 7) for index in range(1, 100_001)]


def test_a_large_ordered_result_keeps_its_order(cluster):
    cursor = cluster.connect().cursor()
    rows = cursor.execute("SELECT l_orderkey, l_linenumber FROM lineitem ORDER BY 1 DESC, 2").fetchall()
    assert len(rows) == 60_175
    assert rows == sorted(rows, key=lambda row: (-row[0], row[1]))


def test_two_cursors_at_once(cluster):
    connection = cluster.connect()
    one, other = connection.cursor(), connection.cursor()
    one.execute("SELECT n_nationkey FROM nation ORDER BY 1")
    other.execute("SELECT r_name FROM region ORDER BY r_regionkey")
    pairs = [(one.fetchone()[0], other.fetchone()[0]) for _ in range(5)]
    assert pairs == list(enumerate(["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]))


def test_many_clients_at_once(cluster):
    answers, failures = [], []

    def one(number):
        try:
            answers.append((number, cluster.query(f"SELECT count(*) + {number} FROM orders")[0][0]))
        except Exception as error:  # reported below, with its thread's number
            failures.append((number, error))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert sorted(answers) == [(number, 15_000 + number) for number in range(16)]


@pytest.mark.parametrize(
    "sql, name, said",
    [
        ("SELECT 1 FRMO x", "SYNTAX_ERROR", "line 1:"),
        ("SELEC 1", "SYNTAX_ERROR", "line 1:1"),
        ("SELECT * FROM nosuchtable", "TABLE_NOT_FOUND", "Table 'tpch.tiny.nosuchtable' does not exist"),
        ("SELECT * FROM nosuchschema.t", "SCHEMA_NOT_FOUND", "Schema 'nosuchschema' does not exist"),
        ("SELECT * FROM nosuchcatalog.s.t", "CATALOG_NOT_FOUND", "Catalog 'nosuchcatalog' not found"),
        ("SELECT nosuchcolumn FROM nation", "COLUMN_NOT_FOUND", "line 1:8: Column 'nosuchcolumn' cannot be resolved"),
        ("SELECT nosuchfunction(1)", "FUNCTION_NOT_FOUND", "nosuchfunction"),
        ("SELECT 1 / (n_nationkey - n_nationkey) FROM nation", "DIVISION_BY_ZERO", "ivision by zero"),
        ("CREATE TABLE t (a bigint)", "NOT_SUPPORTED", ""),
        ("INSERT INTO nation SELECT * FROM nation", "NOT_SUPPORTED", ""),
        ("SHOW TABLES FROM nosuchschema", "SCHEMA_NOT_FOUND", "nosuchschema"),
        ("SHOW COLUMNS FROM nosuchtable", "TABLE_NOT_FOUND", "nosuchtable"),
    ],
)
def test_users_errors_have_trinos_names_and_places(cluster, sql, name, said):
    with pytest.raises(TrinoUserError) as caught:
        cluster.query(sql)
    assert caught.value.error_name == name
    assert said in caught.value.message
    assert caught.value.query_id


def test_a_place_is_of_the_clients_own_text(cluster):
    with pytest.raises(TrinoUserError) as caught:
        cluster.query("SELECT n_name,\n       nosuch\nFROM nation")
    assert caught.value.error_location == (2, 8)


def test_a_failed_query_leaves_its_connection_usable(cluster):
    cursor = cluster.connect().cursor()
    with pytest.raises(TrinoUserError):
        cursor.execute("SELECT nosuch").fetchall()
    assert [list(row) for row in cursor.execute("SELECT 2").fetchall()] == [[2]]


def test_a_retry_policy_that_does_not_exist_yet_is_refused_by_name(cluster):
    with pytest.raises(TrinoUserError) as caught:
        cluster.query("SELECT 1", session_properties={"retry_policy": "QUERY"})
    assert caught.value.error_name == "NOT_SUPPORTED"
    assert "retry_policy" in caught.value.message


def test_task_retries_without_an_exchange_manager_are_refused_before_any_work(cluster):
    with pytest.raises(TrinoQueryError) as caught:
        cluster.query("SELECT count(*) FROM nation", session_properties={"retry_policy": "TASK"})
    assert caught.value.error_name == "EXCHANGE_MANAGER_NOT_CONFIGURED"
    assert "exchange-manager.properties" in caught.value.message


def test_an_unknown_session_property_is_refused(cluster):
    with pytest.raises(TrinoUserError) as caught:
        cluster.query("SELECT 1", session_properties={"no_such_property": "1"})
    assert caught.value.error_name == "INVALID_SESSION_PROPERTY"


def column(cluster, sql):
    return [row[0] for row in cluster.query(sql)]


def test_show_catalogs_schemas_and_tables(cluster):
    assert column(cluster, "SHOW CATALOGS") == ["system", "tpch"]
    schemas = column(cluster, "SHOW SCHEMAS FROM tpch")
    assert schemas == sorted(schemas)
    assert {"information_schema", "tiny", "sf1", "sf10"} <= set(schemas)
    tables = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
    assert column(cluster, "SHOW TABLES") == tables
    assert column(cluster, "SHOW TABLES FROM tpch.sf1 LIKE 'part%'") == ["part", "partsupp"]


def test_show_columns(cluster):
    cursor = cluster.connect().cursor()
    rows = cursor.execute("SHOW COLUMNS FROM nation").fetchall()
    assert [one.name for one in cursor.description] == ["Column", "Type", "Extra", "Comment"]
    assert [list(row) for row in rows] == [
        ["n_nationkey", "bigint", "", ""],
        ["n_name", "varchar(25)", "", ""],
        ["n_regionkey", "bigint", "", ""],
        ["n_comment", "varchar(152)", "", ""],
    ]
    assert cluster.query("DESCRIBE tpch.tiny.nation") == rows
    price = dict(row[:2] for row in cluster.query("SHOW COLUMNS FROM lineitem"))["l_extendedprice"]
    assert price == "decimal(12,2)"


def test_use_changes_the_session(cluster):
    connection = cluster.connect(catalog=None, schema=None)
    cursor = connection.cursor()
    cursor.execute("USE tpch.sf1").fetchall()
    assert [list(row) for row in cursor.execute("SELECT count(*) FROM supplier").fetchall()] == [[10_000]]


def test_system_runtime_nodes(cluster):
    sql = "SELECT node_id, http_uri, node_version, coordinator, state FROM system.runtime.nodes ORDER BY node_id"
    rows = cluster.query(sql)
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("coordinator-1", True, "active"),
        ("worker-1", False, "active"),
        ("worker-2", False, "active"),
        ("worker-3", False, "active"),
    ]
    assert all(row[1].startswith(("http://", "https://")) and row[2] for row in rows)


def test_system_runtime_queries_shows_what_ran(cluster):
    with contextlib.closing(cluster.connect(user="somebody", source="a test")) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM supplier").fetchall()
        sql = f"SELECT state, \"user\", source, query, error_code FROM system.runtime.queries WHERE query_id = '{cursor.query_id}'"
        assert cluster.query(sql) == [["FINISHED", "somebody", "a test", "SELECT count(*) FROM supplier", None]]


def test_system_runtime_tasks_shows_where_it_ran(cluster):
    cursor = cluster.connect().cursor()
    cursor.execute("SELECT o_orderpriority, count(*) FROM orders GROUP BY 1").fetchall()
    sql = f"SELECT node_id, task_id, state FROM system.runtime.tasks WHERE query_id = '{cursor.query_id}'"
    tasks = cluster.query(sql)
    assert tasks
    assert {state for _, _, state in tasks} == {"FINISHED"}
    known = {node.name for node in cluster.nodes()}
    assert {node for node, _, _ in tasks} <= known
    assert all(task.startswith(cursor.query_id + ".") for _, task, _ in tasks)


def test_a_cancelled_query_ends_everywhere(cluster):
    cursor = cluster.connect().cursor()
    ended = []

    def run():
        try:
            cursor.execute(LONG).fetchall()
        except (TrinoQueryError, trino.exceptions.DatabaseError) as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: any(worker.tasks() for worker in cluster.workers), 20, "a worker has a task")
    cursor.cancel()
    thread.join(20)
    assert not thread.is_alive() and ended
    eventually(lambda: not any(worker.tasks() for worker in cluster.workers), 5, "no worker has a task")
    sql = f"SELECT state, error_code FROM system.runtime.queries WHERE query_id = '{cursor.query_id}'"
    assert cluster.query(sql) == [["FAILED", "USER_CANCELED"]]
