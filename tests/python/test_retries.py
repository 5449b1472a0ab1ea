"""retry-policy TASK: workers die, stand still and come back; the rows are right, and nothing stays."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trino.exceptions import TrinoQueryError, TrinoUserError

from chaos import Query, same
from cluster import ROOT, TPCH, Cluster, binary, eventually
from test_tpch import run_and_check

# A join and an aggregation of sf1, in many tasks.
LONG = """SELECT o_orderpriority, count(*) c, sum(l_quantity) q FROM tpch.sf1.lineitem
          JOIN tpch.sf1.orders ON l_orderkey = o_orderkey GROUP BY 1 ORDER BY 1"""


def files(folder):
    """All files below, whatever comes and goes meanwhile."""
    return [Path(found, name) for found, _, names in os.walk(folder) for name in names]


@pytest.fixture
def retrying(own_cluster, tmp_path):
    """A cluster under TASK; nothing is left of its queries at its end."""
    spool = tmp_path / "spool"
    made = []

    def make(**options):
        coordinator = {"retry-policy": "TASK", **options.pop("coordinator", {})}
        exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": spool}
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
    cursor = run_and_check(cluster, number)
    states = {state for task in attempts(cluster, cursor.query_id).values() for _, state, _ in task}
    assert states == {"FINISHED"}


@pytest.fixture(scope="module")
def shared_retrying(tmp_path_factory):
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


def rows_of(query, seconds=60):
    """The rows of a query that runs in a thread."""
    query.thread.join(seconds)
    assert not query.thread.is_alive(), f"the query has not ended after {seconds} s"
    assert query.error is None, query.error
    return query.rows


def test_a_killed_worker_costs_its_tasks_and_nothing_else(retrying):
    cluster = retrying()
    expected = cluster.query(LONG)
    again = 0
    for moment in (0.1, 0.4, 0.7):
        victim = cluster.workers[0]
        query = Query(cluster, LONG, "sf1")
        time.sleep(moment)
        victim.process.kill()
        assert same(rows_of(query), expected)
        for task in attempts(cluster, query.cursor.query_id).values():
            lost = [number for number, _, node in task if node == victim.name]
            # What ran elsewhere ran once.
            assert len(task) <= 1 + len(lost), task
            again += len(task) - 1
        victim.start()
        victim.wait_ready()
        cluster.wait_for_workers(3)
    assert again > 0, "no task ran again: the kills came too late for this test"


def test_two_of_three_workers_killed_at_once(retrying):
    cluster = retrying()
    expected = cluster.query(LONG)
    query = Query(cluster, LONG, "sf1")
    time.sleep(0.4)
    for worker in cluster.workers[:2]:
        worker.process.kill()
    assert same(rows_of(query), expected)


def test_a_frozen_worker_is_lost_after_its_lease_and_comes_back_as_it_was(retrying):
    cluster = retrying()
    expected = cluster.query(LONG)
    victim = cluster.workers[0]
    nodes = f"SELECT node_id, state FROM system.runtime.nodes WHERE node_id = '{victim.name}'"
    query = Query(cluster, LONG, "sf1")
    time.sleep(0.4)
    os.kill(victim.process.popen.pid, signal.SIGSTOP)
    frozen = time.monotonic()
    try:
        assert same(rows_of(query), expected)
        assert query.seconds < 9, "the lease is 3 s"
        time.sleep(max(0, frozen + 5 - time.monotonic()))
    finally:
        os.kill(victim.process.popen.pid, signal.SIGCONT)
    eventually(lambda: cluster.query(nodes) == [[victim.name, "active"]], 5, "the worker is active again")

    def is_given_tasks():
        cursor = cluster.connect().cursor()
        assert same(cursor.execute(LONG).fetchall(), expected)
        tasks = attempts(cluster, cursor.query_id).values()
        return any(node == victim.name for task in tasks for _, _, node in task)

    eventually(is_given_tasks, 15, "the same process is given tasks again")


@pytest.mark.parametrize("role", ["coordinator", "discovery"])
def test_a_coordinator_or_discovery_that_stands_still_loses_no_node(retrying, role):
    cluster = retrying()
    expected = cluster.query(LONG)
    query = Query(cluster, LONG, "sf1")
    time.sleep(0.4)
    process = getattr(cluster, role).process.popen
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(5)
    os.kill(process.pid, signal.SIGCONT)
    assert same(rows_of(query), expected)
    assert "worker is lost" not in cluster.coordinator.process.text()


def damage(path, how):
    size = path.stat().st_size
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        os.truncate(path, size // 2)
    else:
        with open(path, "r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)[0]
            file.seek(size // 2)
            file.write(bytes([byte ^ 4]))


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_damaged_outputs_are_made_again(retrying, how):
    """All data objects that a stage has left are damaged before the next one reads them."""
    cluster = retrying()
    expected = cluster.query(LONG)
    for _ in range(5):
        eventually(lambda: not files(cluster.spool), 12, "the query before has left nothing")
        query = Query(cluster, LONG, "sf1")
        damaged = set()
        while query.thread.is_alive() and len(damaged) < 4:
            for path in [path for path in files(cluster.spool) if path.name == "data"]:
                # Only what is committed is whole.
                if path not in damaged and path.with_name("committed").exists():
                    try:
                        damage(path, how)
                        damaged.add(path)
                    except (OSError, IndexError):
                        pass
        assert same(rows_of(query), expected)
        tasks = attempts(cluster, query.cursor.query_id)
        if any(len(task) > 1 for task in tasks.values()):
            return
    pytest.fail("no damage was in time to be noticed")


def test_user_errors_are_not_retried(shared_retrying):
    cursor = shared_retrying.connect().cursor()
    with pytest.raises(TrinoUserError) as caught:
        cursor.execute("SELECT sum(1 / (c_nationkey - c_nationkey)) FROM tpch.tiny.customer").fetchall()
    assert caught.value.error_name == "DIVISION_BY_ZERO"
    tasks = attempts(shared_retrying, cursor.query_id)
    assert tasks and all(len(task) == 1 for task in tasks.values())


def test_a_session_can_choose(shared_retrying):
    def policy(query_id):
        headers = {"X-Trino-User": "test"}
        return shared_retrying.coordinator.get(f"/v1/query/{query_id}", headers=headers)["retryPolicy"]

    for chosen in ("NONE", "TASK"):
        cursor = shared_retrying.connect(session_properties={"retry_policy": chosen}).cursor()
        assert cursor.execute("SELECT count(*) FROM lineitem").fetchall() == [[60_175]]
        assert policy(cursor.query_id) == chosen


def test_explain_analyze_says_what_was_spooled(shared_retrying):
    rows = shared_retrying.query("EXPLAIN ANALYZE SELECT count(*) FROM lineitem GROUP BY l_returnflag")
    assert "Spooled: " in rows[0][0] and "Tasks: " in rows[0][0]


def test_rows_are_written_once_although_a_worker_dies(retrying):
    cluster = retrying(catalogs={"tpch": TPCH, "memory": {"connector.name": "memory"}})
    source = """SELECT l_orderkey k, l_linenumber n, l_quantity q FROM tpch.sf1.lineitem
                JOIN tpch.sf1.orders ON l_orderkey = o_orderkey WHERE o_orderpriority LIKE '1%' AND l_orderkey % 20 = 0"""
    expected = cluster.query(f"SELECT count(*), sum(k), sum(n), sum(q) FROM ({source})")
    counted = "SELECT count(*), sum(k), sum(n), sum(q) FROM memory.default.t"
    again = 0
    cluster.query(f"CREATE TABLE memory.default.t AS SELECT * FROM ({source}) WHERE false")
    # Other machines are faster: sooner, until a task is met.
    for pause in (0.4, 0.2, 0.1, 0.05, 0.1):
        if again > 0:
            cluster.query("DROP TABLE memory.default.t")
            sql = f"CREATE TABLE memory.default.t AS {source}"
        else:
            cluster.query("DELETE FROM memory.default.t")
            sql = f"INSERT INTO memory.default.t {source}"
        before = again
        victim = cluster.workers[0]
        query = Query(cluster, sql, "sf1")
        time.sleep(pause)
        victim.process.kill()
        assert rows_of(query) == [[expected[0][0]]]
        assert cluster.query(counted) == expected
        again += sum(len(task) - 1 for task in attempts(cluster, query.cursor.query_id).values())
        victim.start()
        victim.wait_ready()
        cluster.wait_for_workers(3)
        if before > 0:
            break
    assert again > 0, "no task ran again: the kills came too late for this test"


def test_a_write_that_fails_leaves_nothing(retrying):
    cluster = retrying(catalogs={"tpch": TPCH, "memory": {"connector.name": "memory"}})
    with pytest.raises(TrinoUserError) as caught:
        cluster.query("CREATE TABLE memory.default.t AS SELECT 1 / (c_nationkey - 5) x FROM tpch.tiny.customer")
    assert caught.value.error_name == "DIVISION_BY_ZERO"
    assert cluster.query("SHOW TABLES FROM memory.default") == []
    with pytest.raises(TrinoUserError) as caught:
        cluster.query("INSERT INTO tpch.tiny.nation SELECT * FROM tpch.tiny.nation")
    assert caught.value.message.endswith("This connector does not support inserts")


def test_what_was_spooled_is_counted(shared_retrying):
    shared_retrying.query("SELECT count(*) FROM lineitem GROUP BY l_returnflag")
    metrics = "".join(worker.text("/metrics") for worker in shared_retrying.workers)
    values = [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("waterbear_spooled_bytes_total")]
    assert sum(values) > 0


@pytest.mark.parametrize(
    "kind, text",
    [("file", "not a directory"), ("below a file", "not a directory"), ("relative", "absolute path")],
)
def test_a_base_directory_that_cannot_be_used_stops_the_start(tmp_path, kind, text):
    file = tmp_path / "file"
    file.write_text("x")
    location = {"file": file, "below a file": file / "x", "relative": "spool"}[kind]
    arguments = ["standalone", "--execute", "SELECT 1", "--data-dir", tmp_path / "data"]
    for name, value in {"exchange-manager.name": "filesystem", "exchange.base-directories": location}.items():
        arguments += ["-D", f"{name}={value}"]
    ended = subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "exchange.base-directories" in ended.stderr and text in ended.stderr.lower(), ended.stderr
    assert "panicked" not in ended.stderr


def test_base_directories_that_differ_are_named(tmp_path):
    exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": tmp_path / "spool"}
    options = {"coordinator_properties": {"retry-policy": "TASK", "retry-initial-delay": "1ms"}, "exchange": exchange}
    with Cluster(tmp_path / "cluster", workers_wanted=0, **options) as cluster:
        cluster.exchange = {**exchange, "exchange.base-directories": tmp_path / "other"}
        cluster.add_worker()
        cluster.wait_for_workers(1)
        with pytest.raises(TrinoQueryError) as caught:
            cluster.query("SELECT n_regionkey, count(*) FROM nation GROUP BY 1")
        assert caught.value.error_name == "CONFIGURATION_INVALID"
        for part in (tmp_path / "spool", tmp_path / "other", "exchange.base-directories"):
            assert str(part) in caught.value.message, caught.value.message


def test_a_worker_without_an_exchange_manager_is_named(tmp_path):
    exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": tmp_path / "spool"}
    options = {"coordinator_properties": {"retry-policy": "TASK", "retry-initial-delay": "1ms"}, "exchange": exchange}
    with Cluster(tmp_path / "cluster", workers_wanted=0, **options) as cluster:
        cluster.exchange = None
        cluster.add_worker()
        cluster.wait_for_workers(1)
        with pytest.raises(TrinoQueryError) as caught:
            cluster.query("SELECT n_regionkey, count(*) FROM nation GROUP BY 1")
        assert caught.value.error_name == "EXCHANGE_MANAGER_NOT_CONFIGURED"
        assert "worker-1" in caught.value.message


def test_task_retries_without_an_exchange_manager_stop_the_coordinators_start(tmp_path):
    arguments = ["coordinator", "-D", "retry-policy=TASK", "-D", "coordinator=true"]
    ended = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "retry-policy: TASK needs a place" in ended.stderr, ended.stderr


def test_the_demo_shows_a_query_that_outlives_a_worker():
    ended = subprocess.run([binary(), "demo"], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "is killed (kill -9)" in ended.stdout and "and the same rows" in ended.stdout
    assert re.search(r"spooled, \d+ task retr", ended.stdout), ended.stdout
    none = subprocess.run([binary(), "demo", "--policy", "none"], capture_output=True, text=True, timeout=120)
    assert none.returncode == 0, none.stderr
    assert re.search(r"worker-\d is killed", none.stdout), none.stdout
    assert "the query fails, as it must" in none.stdout, none.stdout


def test_a_few_faults_of_every_kind():
    """`cargo xtask chaos` does hundreds at SF1."""
    arguments = ["chaos.py", "--faults", "12", "--schema", "tiny", "--seed", "7"]
    folder = ROOT / "tests/python"
    ended = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
