"""What programs do with Trino's own Python client: parameters, prepared statements, transactions, sessions."""

import contextlib
import datetime
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal

import pytest
import trino
from trino.exceptions import TrinoQueryError, TrinoUserError
from trino.transaction import IsolationLevel

from cluster import eventually

LONG = (
    "SELECT count(*) FROM tpch.sf100.lineitem AS a JOIN tpch.sf1.orders AS b ON a.l_orderkey % 1499977 = b.o_orderkey"
)


@pytest.mark.parametrize("legacy", [False, True], ids=["immediate", "prepared"])
@pytest.mark.parametrize(
    "value",
    [
        1,
        -(2**40),
        1.5,
        1e10,
        True,
        None,
        "it's",
        "ünïcode 😀",
        Decimal("123.4500"),
        datetime.date(2020, 2, 29),
        b"\x00\xff",
        [1, 2, 3],
        [],
    ],
    ids=repr,
)
def test_a_parameter_comes_back_as_it_went(cluster, value, legacy):
    connection = cluster.connect(legacy_prepared_statements=legacy)
    assert connection.cursor().execute("SELECT ?", [value]).fetchall() == [[value]]


@pytest.mark.parametrize("legacy", [False, True], ids=["immediate", "prepared"])
def test_parameters_stand_where_expressions_stand(cluster, legacy):
    connection = cluster.connect(legacy_prepared_statements=legacy)
    sql = """SELECT n_name, ? || '-' || ? FROM nation
             WHERE n_nationkey BETWEEN ? AND ? AND n_name <> ? ORDER BY n_nationkey OFFSET ? LIMIT ?"""
    rows = connection.cursor().execute(sql, ["a?b", "c", 1, 5, "CANADA", 1, 2]).fetchall()
    assert rows == [["BRAZIL", "a?b-c"], ["EGYPT", "a?b-c"]]


def test_wrong_parameters_are_the_users_error(cluster):
    cursor = cluster.connect().cursor()
    with pytest.raises(TrinoUserError) as error:
        cursor.execute("SELECT ?, ?", [1])
    assert error.value.error_name == "INVALID_PARAMETER_USAGE"
    assert "Incorrect number of parameters: expected 2 but found 1" in error.value.message
    with pytest.raises(TrinoUserError) as error:
        cursor.execute("SELECT * FRMO foo WHERE x = ?", [1])
    assert error.value.error_name == "SYNTAX_ERROR"


def test_prepared_statements_live_in_the_connection(cluster):
    connection = cluster.connect()
    cursor = connection.cursor()
    cursor.execute("PREPARE q FROM SELECT n_name FROM nation WHERE n_nationkey = ?").fetchall()
    assert connection._client_session.prepared_statements
    assert cursor.execute("EXECUTE q USING 3").fetchall() == [["CANADA"]]
    described = cursor.execute("DESCRIBE OUTPUT q").fetchall()
    assert described[0][:5] == ["n_name", "tpch", "tiny", "nation", "varchar(25)"]
    cursor.execute("DEALLOCATE PREPARE q").fetchall()
    with pytest.raises(TrinoUserError) as error:
        cursor.execute("EXECUTE q USING 3").fetchall()
    assert error.value.error_name == "NOT_FOUND"


def test_long_prepared_statements_travel_compressed(cluster):
    cursor = cluster.connect().cursor()
    items = ", ".join(str(number) for number in range(2_000))
    cursor.execute(f"PREPARE long FROM SELECT count(*) FROM nation WHERE n_nationkey IN ({items})").fetchall()
    assert cursor.execute("EXECUTE long").fetchall() == [[25]]


@pytest.mark.parametrize("level", list(IsolationLevel), ids=lambda level: level.name)
def test_transactions_begin_commit_and_roll_back(cluster, level):
    if level == IsolationLevel.AUTOCOMMIT:
        assert cluster.query("SELECT 1", isolation_level=level) == [[1]]
        return
    connection = cluster.connect(isolation_level=level)
    cursor = connection.cursor()
    assert cursor.execute("SELECT count(*) FROM region").fetchall() == [[5]]
    assert connection.transaction.id
    connection.commit()
    assert connection.transaction is None
    # The next cursor begins the next transaction.
    assert connection.cursor().execute("SELECT 1").fetchall() == [[1]]
    connection.rollback()


def test_a_failed_transaction_only_rolls_back(cluster):
    connection = cluster.connect(isolation_level=IsolationLevel.READ_COMMITTED)
    cursor = connection.cursor()
    with pytest.raises(TrinoQueryError):
        cursor.execute("SELECT 1 / (n_nationkey - n_nationkey) FROM nation").fetchall()
    with pytest.raises(TrinoUserError) as error:
        cursor.execute("SELECT 1").fetchall()
    assert error.value.error_name == "TRANSACTION_ALREADY_ABORTED"
    connection.rollback()
    assert connection.cursor().execute("SELECT 1").fetchall() == [[1]]
    connection.commit()


def test_session_properties_are_set_shown_and_honoured(cluster):
    connection = cluster.connect(session_properties={"query_priority": "7"})
    cursor = connection.cursor()
    shown = "SHOW SESSION LIKE 'query\\_priority' ESCAPE '\\'"
    assert cursor.execute(shown).fetchall()[0][:3] == ["query_priority", "7", "1"]
    cursor.execute("SET SESSION query_priority = 2 * 4").fetchall()
    assert cursor.execute(shown).fetchall()[0][1] == "8"
    cursor.execute("RESET SESSION query_priority").fetchall()
    assert cursor.execute(shown).fetchall()[0][1] == "1"
    cursor.execute("SET SESSION query_max_run_time = '1s'").fetchall()
    with pytest.raises(TrinoQueryError) as error:
        cursor.execute(LONG).fetchall()
    assert error.value.error_name == "EXCEEDED_TIME_LIMIT"
    with pytest.raises(TrinoUserError) as error:
        cursor.execute("SET SESSION nope = 1").fetchall()
    assert error.value.error_name == "INVALID_SESSION_PROPERTY"


def test_use_and_time_zones_stay_with_the_connection(cluster):
    connection = cluster.connect(schema=None)
    cursor = connection.cursor()
    cursor.execute("USE tpch.tiny").fetchall()
    assert cursor.execute("SELECT count(*) FROM region").fetchall() == [[5]]
    cursor.execute("SET TIME ZONE 'Europe/Vienna'").fetchall()
    shown = cursor.execute("SHOW SESSION LIKE 'time_zone_id'").fetchall()
    assert shown[0][1] == "Europe/Vienna"
    with pytest.raises(TrinoUserError):
        cursor.execute("SET TIME ZONE 'Mars/Olympus'").fetchall()


def test_executemany_runs_each(cluster):
    """It is for statements that change something: each SET SESSION does."""
    cursor = cluster.connect().cursor()
    cursor.executemany("SET SESSION query_priority = ?", [[1], [2], [3]])
    shown = cursor.execute("SHOW SESSION LIKE 'query_priority'").fetchall()
    assert shown[0][1] == "3"


def test_a_cursor_is_cancelled(cluster):
    cursor = cluster.connect().cursor()
    running = threading.Thread(target=lambda: _quietly(cursor, LONG))
    running.start()
    eventually(lambda: cursor.query_id, 10, "the query has an id")
    time.sleep(0.5)
    cursor.cancel()
    running.join(20)
    assert not running.is_alive()
    with contextlib.closing(cluster.connect()) as connection:
        sql = "SELECT state, error_code FROM system.runtime.queries WHERE query_id = ?"
        assert connection.cursor().execute(sql, [cursor.query_id]).fetchall() == [["FAILED", "USER_CANCELED"]]


def _quietly(cursor, sql):
    with contextlib.suppress(Exception):
        cursor.execute(sql).fetchall()


def test_values_of_many_types(cluster):
    cursor = cluster.connect().cursor()
    cursor.execute(
        """SELECT 1e10, 0.1e0, CAST('NaN' AS double), CAST(1.5 AS real), DECIMAL '10.30', ARRAY[1, NULL, 3],
                  CAST(NULL AS bigint), DATE '0001-01-01', X'00FF'"""
    )
    row = cursor.fetchone()
    assert row[0] == 1e10 and row[1] == 0.1 and row[2] != row[2] and row[3] == 1.5
    assert row[4:] == [Decimal("10.30"), [1, None, 3], None, datetime.date(1, 1, 1), b"\x00\xff"]


def _request(cluster, method, path, headers=None, data=None):
    """Status, headers and body of one plain request."""
    url = path if path.startswith("http") else f"http://127.0.0.1:{cluster.coordinator.http}{path}"
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


USER = {"X-Trino-User": "test"}


def test_head_checks(cluster):
    assert _request(cluster, "HEAD", "/v1/statement", USER)[0] == 200
    assert _request(cluster, "HEAD", "/v1/statement")[0] == 401
    status, headers, _ = _request(cluster, "HEAD", "/v1/status")
    assert status == 200 and headers["content-type"] == "application/json"
    assert _request(cluster, "GET", "/v1/info/coordinator")[0] == 200


def test_answers_are_compressed_on_request(cluster):
    answer = _request(cluster, "GET", "/v1/query", {**USER, "Accept-Encoding": "gzip"})
    assert answer[1]["content-encoding"] == "gzip" and answer[2][:2] == b"\x1f\x8b"
    answer = _request(cluster, "GET", "/v1/query", {**USER, "Accept-Encoding": "identity"})
    assert answer[1]["content-encoding"] is None and answer[2][:1] == b"["


def test_bad_headers_are_bad_requests(cluster):
    for name, value in [
        ("X-Trino-Session", "oops"),
        ("X-Trino-Prepared-Statement", "p=SELEC"),
        ("X-Trino-Role", "system=x"),
        ("X-Trino-Resource-Estimate", "SPEED=1"),
        ("X-Trino-Extra-Credential", "internal$x=1"),
        ("X-Trino-Transaction-Id", "7"),
        ("X-Trino-Schema", "s"),
        ("X-Presto-User", "u"),
    ]:
        status = _request(cluster, "POST", "/v1/statement", {**USER, name: value}, b"SELECT 1")[0]
        assert status == 400, name
