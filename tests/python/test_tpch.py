"""All 22 TPC-H queries at scale 0.01, through Trino's own client, on three worker processes."""

import pytest

import compare
from cluster import ROOT

TPCH = ROOT / "tests/tpch"


def run_and_check(cluster, number):
    """Runs a query, compares its rows with the right ones; its cursor."""
    sql = (TPCH / f"queries/q{number}.sql").read_text()
    cursor = cluster.connect().cursor()
    rows = cursor.execute(sql).fetchall()
    names = [column.name for column in cursor.description]
    types = [column.type_code for column in cursor.description]
    compare.check(number, names, types, rows, TPCH / f"answers-sf0.01/q{number}.csv")
    return cursor


@pytest.mark.parametrize("number", range(1, 23))
def test_tpch(cluster, number):
    run_and_check(cluster, number)


def test_all_workers_take_part(cluster):
    """Without this the suite could pass on one worker alone."""
    cursor = cluster.connect(schema="sf1").cursor()
    sql = "SELECT l_returnflag, count(*) FROM lineitem GROUP BY l_returnflag ORDER BY 1"
    rows = cursor.execute(sql).fetchall()
    assert [tuple(row) for row in rows] == [("A", 1478493), ("N", 3043852), ("R", 1478870)]
    tasks = f"SELECT DISTINCT node_id FROM system.runtime.tasks WHERE query_id = '{cursor.query_id}'"
    nodes = {row[0] for row in cluster.query(tasks)}
    assert {worker.name for worker in cluster.workers} <= nodes
