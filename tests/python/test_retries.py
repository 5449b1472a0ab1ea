"""retry-policy TASK: workers die, stand still and come back; the rows are right, and nothing stays."""

import os
import random
import signal
import threading
import time

import pytest
from trino.exceptions import Error, TrinoQueryError

import compare
from cluster import ROOT, eventually

TPCH = ROOT / "tests/tpch"

# A join and an aggregation of sf1, in many tasks.
LONG = """SELECT o_orderpriority, count(*) c, sum(l_quantity) q FROM tpch.sf1.lineitem
          JOIN tpch.sf1.orders ON l_orderkey = o_orderkey GROUP BY 1 ORDER BY 1"""


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def retrying(own_cluster, tmp_path):
    """A cluster under TASK; nothing is left of its queries at its end."""
    spool = tmp_path / "spool"
    made = []

    def make(**options):
        coordinator = {"retry-policy": "TASK", **options.pop("coordinator", {})}
        exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": spool}
        exchange |= options.pop("exchange", {})
        cluster = own_cluster(coordinator_properties=coordinator, exchange=exchange, **options)
        cluster.spool = spool
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        assert_clean(cluster)


def assert_clean(cluster):
    """No task, no memory, no file of any query."""

    def clean():
        alive = [worker for worker in cluster.workers if worker.process.running()]
        busy = [worker for worker in alive if worker.tasks() or worker.memory()]
        return not busy and not files(cluster.spool)

    eventually(clean, 12, "no task, no memory and no spooled file is left", interval=0.1)


class Running:
    """A query in a thread: its rows or its error."""

    def __init__(self, cluster, sql, **options):
        self.rows = self.error = self.ended = None
        self.started = time.monotonic()
        self.cursor = cluster.connect(max_attempts=1, **options).cursor()
        self.thread = threading.Thread(target=self._run, args=(sql,), daemon=True)
        self.thread.start()

    def _run(self, sql):
        try:
            self.rows = self.cursor.execute(sql).fetchall()
        except (Error, OSError) as error:
            self.error = error
        self.ended = time.monotonic()

    def wait(self, seconds=60):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"the query has not ended after {seconds} s"
        assert self.error is None, self.error
        return self


def attempts(cluster, query_id):
    """The numbers of the attempts of a query, by task."""
    sql = f"SELECT task_id, state, node_id FROM system.runtime.tasks WHERE query_id = '{query_id}'"
    by_task = {}
    for task_id, state, node in cluster.query(sql):
        name, number = task_id.rsplit(".", 1)
        by_task.setdefault(name, []).append((int(number), state, node))
    return by_task


@pytest.mark.parametrize("number", range(1, 23))
def test_tpch_under_task(shared_retrying, number):
    cluster = shared_retrying
    sql = (TPCH / f"queries/q{number}.sql").read_text()
    cursor = cluster.connect().cursor()
    rows = cursor.execute(sql).fetchall()
    names = [column.name for column in cursor.description]
    types = [column.type_code for column in cursor.description]
    compare.check(number, names, types, rows, TPCH / f"answers-sf0.01/q{number}.csv")
    states = {state for task in attempts(cluster, cursor.query_id).values() for _, state, _ in task}
    assert states == {"FINISHED"}


@pytest.fixture(scope="module")
def shared_retrying(tmp_path_factory):
    from cluster import Cluster

    folder = tmp_path_factory.mktemp("retrying")
    exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": folder / "spool"}
    coordinator = {
        "retry-policy": "TASK",
        "fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min": "256kB",
    }
    with Cluster(folder, coordinator_properties=coordinator, exchange=exchange) as cluster:
        cluster.spool = folder / "spool"
        yield cluster
        assert_clean(cluster)


def test_a_killed_worker_costs_its_tasks_and_nothing_else(retrying):
    cluster = retrying()
    expected = cluster.query(LONG)
    for moment in (0.05, 0.3, 0.6):
        worker = cluster.workers[-1]
        running = Running(cluster, LONG)
        time.sleep(moment)
        worker.process.kill()
        assert running.wait().rows == expected
        cluster.workers.remove(worker)
        cluster.add_worker()
        cluster.wait_for_workers(3)
