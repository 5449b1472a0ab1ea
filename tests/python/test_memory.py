"""The catalog `memory`: tables, rows and views that clients make."""

import threading
import time

import pytest
import trino
from trino.exceptions import TrinoExternalError, TrinoQueryError, TrinoUserError

from cluster import TPCH

FILES = {"tpch": TPCH, "memory": {"connector.name": "memory"}}


@pytest.fixture(scope="module")
def writable(tmp_path_factory):
    from cluster import Cluster

    with Cluster(tmp_path_factory.mktemp("memory"), catalogs=FILES) as made:
        yield made


@pytest.fixture
def run(writable):
    """Runs statements in a schema that is gone after the test."""
    schema = f"s{time.monotonic_ns()}"
    connection = writable.connect(catalog="memory", schema=schema)

    def run(sql):
        cursor = connection.cursor()
        cursor.execute(sql)
        rows = cursor.fetchall()
        run.cursor = cursor
        return rows

    run.schema = schema
    run.connection = connection
    run(f"CREATE SCHEMA {schema}")
    yield run
    run(f"DROP SCHEMA {schema} CASCADE")


def refused(run, sql, name, message=None):
    with pytest.raises(TrinoQueryError) as caught:
        run(sql)
    assert caught.value.error_name == name, caught.value
    if message:
        assert message in caught.value.message
    return caught.value


def test_rows_go_in_and_come_out(run):
    assert run("CREATE TABLE t (a bigint, b varchar(3) COMMENT 'text', c decimal(10,2) NOT NULL)") == []
    run("INSERT INTO t VALUES (1, 'abc', 1.50), (2, NULL, 2.25)")
    assert run.cursor.rowcount == 2
    assert run("INSERT INTO t (c, a) SELECT CAST(3 AS decimal(10,2)), 3") == [[1]]
    assert [d[:2] for d in run.cursor.description] == [("rows", "bigint")]
    rows = run("SELECT a, b, CAST(c AS double) FROM t ORDER BY a")
    assert rows == [[1, "abc", 1.5], [2, None, 2.25], [3, None, 3.0]]
    assert run("DESCRIBE t") == [
        ["a", "bigint", "", ""],
        ["b", "varchar(3)", "", "text"],
        ["c", "decimal(10,2)", "", ""],
    ]
    assert run("DELETE FROM t") == [[3]]
    assert run("SELECT count(*) FROM t") == [[0]]
    run("TRUNCATE TABLE t")
    run("DROP TABLE t")
    run("DROP TABLE IF EXISTS t")
    assert run("SHOW TABLES") == []


def test_create_table_as_joins_and_counts(run):
    assert run("CREATE TABLE n AS SELECT * FROM tpch.tiny.nation") == [[25]]
    assert run.cursor.rowcount == 25
    assert run("SELECT count(*), sum(n_nationkey), max(n_name) FROM n") == [[25, 300, "VIETNAM"]]
    joined = run("SELECT count(*) FROM n JOIN tpch.tiny.customer ON n_nationkey = c_nationkey")
    assert joined == [[1500]]
    assert run("CREATE TABLE e (x, y) AS SELECT n_name, n_nationkey FROM n WITH NO DATA") == [[0]]
    assert [row[0] for row in run("DESCRIBE e")] == ["x", "y"]
    assert run("INSERT INTO e (y, x) SELECT n_nationkey, n_name FROM n WHERE n_nationkey < 2") == [[2]]
    assert run("SELECT * FROM e ORDER BY y") == [["ALGERIA", 0], ["ARGENTINA", 1]]
    assert run("CREATE TABLE IF NOT EXISTS e AS SELECT 1 AS x") == [[0]]
    # A table may be read and written by one statement: it reads what was there before.
    assert run("INSERT INTO e SELECT * FROM e") == [[2]]
    assert run("SELECT count(*) FROM e") == [[4]]


def test_a_large_table_is_read_whole(run):
    # More than travels as one partition.
    assert run("CREATE TABLE o AS SELECT * FROM tpch.tiny.lineitem") == [[60175]]
    counts = "SELECT count(*), sum(l_orderkey), max(l_comment) FROM {}"
    assert run(counts.format("o")) == run(counts.format("tpch.tiny.lineitem"))
    join = "SELECT count(*), sum(l_orderkey) FROM {} JOIN tpch.tiny.orders ON l_orderkey = o_orderkey"
    assert run(join.format("o")) == run(join.format("tpch.tiny.lineitem"))


def test_errors_have_trinos_names_and_places(run):
    run("CREATE TABLE t (a bigint, b varchar(2))")
    s = run.schema
    for sql, name, message in [
        ("CREATE TABLE t (a bigint)", "TABLE_ALREADY_EXISTS", f"line 1:1: Table 'memory.{s}.t' already exists"),
        (f"CREATE SCHEMA {s}", "SCHEMA_ALREADY_EXISTS", f"line 1:1: Schema 'memory.{s}' already exists"),
        (f"DROP SCHEMA {s}", "SCHEMA_NOT_EMPTY", f"Cannot drop non-empty schema '{s}'"),
        ("DROP SCHEMA nowhere", "SCHEMA_NOT_FOUND", "line 1:1: Schema 'memory.nowhere' does not exist"),
        ("CREATE TABLE nowhere.x (a bigint)", "SCHEMA_NOT_FOUND", "Schema 'nowhere' does not exist"),
        ("CREATE TABLE nocat.s.x (a bigint)", "CATALOG_NOT_FOUND", "Catalog 'nocat' not found"),
        ("CREATE TABLE x (a bigint, A bigint)", "DUPLICATE_COLUMN_NAME", "Column name 'a' specified more than once"),
        ("CREATE TABLE x (a text)", "TYPE_NOT_FOUND", "line 1:19: Unknown type: text"),
        ("CREATE TABLE x AS SELECT 1", "MISSING_COLUMN_NAME", "Column name not specified at position 1"),
        ("CREATE TABLE x AS SELECT 1 a, 2 a", "DUPLICATE_COLUMN_NAME", "Column name 'a' specified more than once"),
        ("CREATE TABLE x AS SELECT NULL a", "COLUMN_TYPE_UNKNOWN", "Column type is unknown at position 1"),
        ("CREATE TABLE x (a, b) AS SELECT 1", "MISMATCHED_COLUMN_ALIASES", "Column alias list has 2 entries but relation has 1 columns"),
        ("DROP TABLE x", "TABLE_NOT_FOUND", f"line 1:1: Table 'memory.{s}.x' does not exist"),
        ("INSERT INTO x VALUES (1)", "TABLE_NOT_FOUND", f"line 1:1: Table 'memory.{s}.x' does not exist"),
        ("INSERT INTO t (c) VALUES (1)", "COLUMN_NOT_FOUND", "Insert column name does not exist in target table: c"),
        ("INSERT INTO t (a, a) VALUES (1, 1)", "DUPLICATE_COLUMN_NAME", "Insert column name is specified more than once: a"),
        ("INSERT INTO t (a) VALUES ('x')", "TYPE_MISMATCH", "Insert query has mismatched column types: Table: [bigint], Query: [varchar"),
        ("INSERT INTO t (a) VALUES (1, 2)", "TYPE_MISMATCH", "Insert query has mismatched column types: Table: [bigint], Query: ["),
        ("INSERT INTO t (b) VALUES ('abc')", "INVALID_CAST_ARGUMENT", "Cannot truncate non-space characters when casting from varchar(3) to varchar(2) on INSERT"),
        ("DELETE FROM t WHERE a = 1", "NOT_SUPPORTED", "This connector does not support modifying table rows"),
        ("CREATE OR REPLACE TABLE t (a bigint)", "NOT_SUPPORTED", "This connector does not support replacing tables"),
        ("ALTER TABLE t DROP COLUMN a", "NOT_SUPPORTED", "This connector does not support dropping columns"),
        ("CREATE TABLE tpch.tiny.x (a bigint)", "NOT_SUPPORTED", "This connector does not support creating tables"),
        ("CREATE TABLE tpch.tiny.x AS SELECT 1 a", "NOT_SUPPORTED", "This connector does not support creating tables with data"),
        ("INSERT INTO tpch.tiny.region SELECT * FROM tpch.tiny.region", "NOT_SUPPORTED", "This connector does not support inserts"),
        ("DROP TABLE tpch.tiny.nation", "NOT_SUPPORTED", "This connector does not support dropping tables"),
        ("CREATE VIEW tpch.tiny.v AS SELECT 1 a", "NOT_SUPPORTED", "This connector does not support creating views"),
        ("DELETE FROM system.runtime.nodes", "NOT_SUPPORTED", "This connector does not support modifying table rows"),
        ("CREATE SCHEMA system.x", "NOT_SUPPORTED", "This connector does not support creating schemas"),
    ]:
        refused(run, sql, name, message)
    assert run("SHOW TABLES") == [["t"]]
    assert run("SELECT count(*) FROM t") == [[0]]


def test_a_table_can_be_altered(run):
    run("CREATE TABLE t AS SELECT BIGINT '1' AS a")
    run("ALTER TABLE t ADD COLUMN b varchar COMMENT 'later'")
    run("ALTER TABLE t RENAME COLUMN a TO k")
    run("INSERT INTO t VALUES (2, 'x')")
    assert run("SELECT k, b FROM t ORDER BY k") == [[1, None], [2, "x"]]
    run("COMMENT ON TABLE t IS 'about'")
    run("COMMENT ON COLUMN t.k IS 'key'")
    assert run("DESCRIBE t") == [["k", "bigint", "", "key"], ["b", "varchar", "", "later"]]
    run("ALTER TABLE t RENAME TO u")
    refused(run, "SELECT * FROM t", "TABLE_NOT_FOUND")
    assert run("SELECT count(*) FROM u") == [[2]]
    refused(run, "ALTER TABLE u RENAME COLUMN x TO y", "COLUMN_NOT_FOUND", "Column 'x' does not exist")
    refused(run, "ALTER TABLE u ADD COLUMN k bigint", "COLUMN_ALREADY_EXISTS", "Column 'k' already exists")
    run("ALTER TABLE u RENAME COLUMN IF EXISTS x TO y")
    run("ALTER TABLE IF EXISTS x RENAME TO y")


def test_views_are_what_their_text_says(run, writable):
    run("CREATE TABLE t AS SELECT n_nationkey AS k, n_name AS name FROM tpch.tiny.nation")
    run("CREATE VIEW v COMMENT 'few' AS SELECT k * 2 AS \"K2\", name FROM t WHERE k < 3")
    assert run("SELECT * FROM v ORDER BY 1") == [[0, "ALGERIA"], [2, "ARGENTINA"], [4, "BRAZIL"]]
    # Names inside are those of the session that made it, wherever it is read from.
    other = writable.connect(catalog="tpch", schema="tiny").cursor()
    other.execute(f"SELECT max(k2), count(*) FROM memory.{run.schema}.v x WHERE x.name <> 'BRAZIL'")
    assert other.fetchall() == [[2, 2]]
    run("CREATE VIEW w AS SELECT a.name FROM v a JOIN v b ON a.k2 = b.k2")
    assert run("SELECT count(*) FROM w") == [[3]]
    run("CREATE OR REPLACE VIEW v AS SELECT k AS k2, name FROM t WHERE k < 2")
    assert run("SELECT count(*) FROM w") == [[2]]
    refused(run, "CREATE VIEW v AS SELECT 1 AS a", "TABLE_ALREADY_EXISTS")
    refused(run, "CREATE OR REPLACE VIEW v AS SELECT name FROM w", "VIEW_IS_RECURSIVE")
    refused(run, "DROP TABLE v", "TABLE_NOT_FOUND", "but a view with that name exists")
    refused(run, "INSERT INTO v VALUES (1, 'x')", "NOT_SUPPORTED", "Inserting into views is not supported")
    refused(run, "DELETE FROM v", "NOT_SUPPORTED", "Deleting from views is not supported")
    run("ALTER VIEW w RENAME TO w2")
    run("CREATE OR REPLACE VIEW v AS SELECT k AS k2, k AS name FROM t")
    refused(run, "SELECT * FROM w2", "VIEW_IS_STALE" )
    run("DROP VIEW v")
    failure = refused(run, "SELECT * FROM w2", "INVALID_VIEW", "does not exist")
    assert failure.error_location == (1, 15)
    run("DROP VIEW w2")
    assert run("SHOW TABLES") == [["t"]]


def test_what_does_not_end_leaves_nothing(run, own_cluster):
    refused(run, "CREATE TABLE t AS SELECT 1 / (n_nationkey - 24) AS x FROM tpch.tiny.nation", "DIVISION_BY_ZERO")
    refused(run, "SELECT * FROM t", "TABLE_NOT_FOUND")
    run("CREATE TABLE t (x bigint)")
    cursor = run.connection.cursor()
    endless = "INSERT INTO t SELECT l_orderkey FROM tpch.sf1000.lineitem"
    writer = threading.Thread(target=lambda: pytest.raises(TrinoUserError, cursor.execute, endless))
    writer.start()
    time.sleep(1.5)
    cursor.cancel()
    writer.join(10)
    assert not writer.is_alive()
    assert run("SELECT count(*) FROM t") == [[0]]


def test_readers_see_one_state_while_others_write(run, writable):
    run("CREATE TABLE t (x bigint)")
    seen, stop = [], threading.Event()

    def read():
        cursor = writable.connect(catalog="memory", schema=run.schema).cursor()
        while not stop.is_set():
            cursor.execute("SELECT count(*), (SELECT count(*) FROM t) FROM t")
            seen.extend(cursor.fetchall())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        run("INSERT INTO t SELECT n_nationkey FROM tpch.tiny.nation")
    stop.set()
    reader.join(10)
    assert seen and all(a == b and a % 25 == 0 for a, b in seen), seen
    assert run("SELECT count(*) FROM t") == [[250]]


def test_the_limit_is_kept(own_cluster):
    limited = {"connector.name": "memory", "memory.max-data-per-node": "100kB"}
    made = own_cluster(catalogs={"tpch": TPCH, "memory": limited})
    cursor = made.connect(catalog="memory", schema="default").cursor()
    for _ in range(2):
        with pytest.raises((TrinoExternalError, TrinoQueryError)) as caught:
            cursor.execute("CREATE TABLE o AS SELECT * FROM tpch.tiny.orders").fetchall()
        assert caught.value.message == "Memory limit [102400] for memory connector exceeded"
    cursor.execute("CREATE TABLE o AS SELECT * FROM tpch.tiny.nation").fetchall()
    cursor.execute("SELECT count(*) FROM o")
    assert cursor.fetchall() == [[25]]
