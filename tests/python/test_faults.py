"""retry-policy TASK while others than workers fail: the coordinator and the discovery die or stand still,
a disk is full, storage is not what it seems. Deaths and standstills of workers are in test_retries.py."""

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from trino.exceptions import TrinoQueryError

from chaos import Query, Traces, busy, files, frozen, full, lost_nodes, same, small_disk
from cluster import Cluster, binary, eventually
from conftest import need
from test_retries import LONG, rows_of

# A task of it takes far longer than anybody waits.
ENDLESS = """SELECT count(*) FROM tpch.sf1.lineitem a JOIN tpch.tiny.lineitem b ON a.l_orderkey < b.l_partkey
             WHERE a.l_comment < b.l_comment"""
TASK = {"retry-policy": "TASK", "retry-initial-delay": "10ms"}


@pytest.fixture
def faulty(own_cluster, tmp_path):
    """A cluster under TASK; at its end nothing is left of its queries."""
    made = []

    def make(spools=None, **options):
        spools = spools or [tmp_path / "spool"]
        exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": ",".join(map(str, spools))}
        cluster = own_cluster(coordinator_properties=TASK, exchange=exchange, **options)
        cluster.spool = spools[0]
        cluster.query(LONG)
        traces = Traces(cluster, spools)
        eventually(lambda: not traces.found(), 15, "nothing is left of the first query", interval=0.1)
        traces.start()
        made.append(traces)
        return cluster

    yield make
    for traces in made:
        assert traces.after(15) == []


def ask(uri):
    """Status and text of an answer, whatever the status."""
    request = urllib.request.Request(uri, headers={"X-Trino-User": "test"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def submit(cluster, sql):
    """A query that runs, and the nextUri that its client has."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{cluster.coordinator.http}/v1/statement",
        data=sql.encode(),
        headers={"X-Trino-User": "test"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        page = json.load(answer)
    for _ in range(2):
        _, text = ask(page["nextUri"])
        page = json.loads(text)
    return page["id"], page["nextUri"]


def busy_workers(cluster):
    return {worker.name for worker in cluster.workers if worker.tasks()}


def test_a_dead_coordinator_is_survived_by_nothing_of_its_queries(faulty):
    cluster = faulty()
    expected = cluster.query(LONG)
    query_id, next_uri = submit(cluster, ENDLESS)
    eventually(lambda: busy_workers(cluster) and files(cluster.spool), 20, "tasks run, and some have spooled")
    cluster.coordinator.process.kill()
    killed = time.monotonic()
    eventually(lambda: not busy(cluster.workers), 20, "workers free tasks and memory")
    freed = time.monotonic() - killed
    assert files(cluster.spool), "the spool has nothing that could be swept"

    cluster.coordinator.start()
    cluster.coordinator.wait_ready()
    started = time.monotonic()
    status, text = ask(next_uri)
    cluster.wait_for_workers(3)
    assert same(cluster.query(LONG), expected)
    eventually(lambda: not files(cluster.spool), 60, f"what is left of {query_id} is swept", interval=0.2)
    print(f"freed after {freed:.1f} s, swept {time.monotonic() - started:.1f} s after the restart")
    assert freed < 10, f"{freed:.1f} s"
    assert status in (404, 410) or "error" in json.loads(text), text
    assert "coordinator" in text.lower(), f"the answer does not say why the query is gone: {status} {text}"


@pytest.mark.parametrize("moment", [0.1, 0.5, 0.9])
def test_the_discovery_is_killed_and_starts_again(faulty, moment):
    cluster = faulty()
    expected = cluster.query(LONG)
    query = Query(cluster, LONG, "sf1")
    time.sleep(moment)
    cluster.discovery.process.kill()
    assert same(rows_of(query), expected)
    # Without it: nodes that are known stay known.
    assert same(cluster.query(LONG), expected)
    cluster.discovery.start()
    cluster.discovery.wait_ready()
    assert same(cluster.query(LONG), expected)
    time.sleep(4)
    assert cluster.active_workers() == {worker.name for worker in cluster.workers}
    assert not lost_nodes(cluster.coordinator)


@pytest.mark.parametrize("role", ["coordinator", "discovery"])
def test_however_long_coordinator_or_discovery_stand_still_no_node_is_lost(faulty, role):
    """5 s are in test_retries.py. The lease is 3 s: the standstill itself must not count, however its
    end falls between two questions."""
    cluster = faulty()
    expected = cluster.query(LONG)
    for seconds in (3.1, 3.5, 4, 7):
        query = Query(cluster, LONG, "sf1")
        time.sleep(0.3)
        with frozen(getattr(cluster, role)):
            time.sleep(seconds)
        assert same(rows_of(query), expected)
    time.sleep(4)
    assert not lost_nodes(cluster.coordinator)
    assert cluster.active_workers() == {worker.name for worker in cluster.workers}


def test_an_idle_cluster_whose_coordinator_stood_still_has_lost_no_node(faulty):
    cluster = faulty()
    for seconds in (3.5, 5):
        with frozen(cluster.coordinator):
            time.sleep(seconds)
        time.sleep(4)
    assert not lost_nodes(cluster.coordinator)
    assert cluster.active_workers() == {worker.name for worker in cluster.workers}


def tasks_of(cluster, query_id):
    headers = {"X-Trino-User": "test"}
    return cluster.coordinator.get(f"/v1/query/{query_id}", headers=headers)["tasks"]


def test_a_worker_that_stood_still_for_eight_seconds_goes_on_as_the_same(faulty):
    """It is lost after 3 s, and its process is given tasks again, without a restart."""
    cluster = faulty()
    expected = cluster.query(LONG)
    start = time.monotonic()
    assert same(cluster.query(LONG), expected)
    undisturbed = time.monotonic() - start
    victim = cluster.workers[0]
    query = Query(cluster, LONG, "sf1")
    time.sleep(0.3)
    with frozen(victim):
        time.sleep(8)
    assert same(rows_of(query), expected)
    lost = query.seconds - undisturbed
    assert lost < 8, f"{lost:.1f} s"
    eventually(lambda: victim.name in cluster.active_workers(), 5, "it is active again")

    def is_given_tasks():
        cursor = cluster.connect().cursor()
        assert same(cursor.execute(LONG).fetchall(), expected)
        return any(task["nodeId"] == victim.name for task in tasks_of(cluster, cursor.query_id))

    eventually(is_given_tasks, 15, "it is given tasks again")
    joined = [line for line in cluster.discovery.process.text().splitlines() if f"node={victim.name} " in line]
    assert len(set(re.findall(r"incarnation=(\w+)", " ".join(joined)))) == 1, joined


def test_an_idle_worker_that_is_killed_is_soon_known(faulty):
    """The next query does not pay for it."""
    cluster = faulty()
    expected = cluster.query(LONG)
    victim = cluster.workers[1]
    victim.process.kill()
    killed = time.monotonic()
    eventually(lambda: victim.name not in cluster.active_workers(), 3, "it is not active any more")
    print(f"known after {time.monotonic() - killed:.2f} s")
    cursor = cluster.connect().cursor()
    assert same(cursor.execute(LONG).fetchall(), expected)
    assert all(task["nodeId"] != victim.name for task in tasks_of(cluster, cursor.query_id))
    victim.start()
    victim.wait_ready()
    cluster.wait_for_workers(3)


def test_one_of_two_base_directories_is_full(faulty, tmp_path):
    disk = tmp_path / "small"
    with small_disk(disk, 256) as reason:
        need(not reason, reason)
        cluster = faulty([tmp_path / "spool", disk])
        expected = cluster.query(LONG)
        assert eventually_used(cluster, disk), "nothing is ever written to the small disk"
        for _ in range(3):
            with full(disk):
                cursor = cluster.connect().cursor()
                assert same(cursor.execute(LONG).fetchall(), expected)
        assert same(cluster.query(LONG), expected)


def eventually_used(cluster, folder):
    """Whether a query writes to a base directory."""
    query = Query(cluster, LONG, "sf1")
    used = False
    while query.thread.is_alive():
        used = used or bool(files(folder))
        time.sleep(0.005)
    return used


def test_the_only_base_directory_is_full(faulty, tmp_path):
    """For a moment: the rows are right, or one clear error. For long: one clear error."""
    disk = tmp_path / "small"
    with small_disk(disk, 256) as reason:
        need(not reason, reason)
        cluster = faulty([disk])
        expected = cluster.query(LONG)
        query = Query(cluster, LONG, "sf1")
        time.sleep(0.2)
        with full(disk):
            time.sleep(0.5)
        query.thread.join(60)
        assert not query.thread.is_alive()
        assert query.rows is None or same(query.rows, expected)
        for error in [query.error] if query.rows is None else []:
            assert is_no_space(error, disk), error
        with full(disk):
            started = time.monotonic()
            with pytest.raises(TrinoQueryError) as caught:
                cluster.query(LONG)
            assert is_no_space(caught.value, disk), caught.value
            assert time.monotonic() - started < 60
        assert same(cluster.query(LONG), expected)


def is_no_space(error, disk):
    return "no space left" in error.message.lower() and str(disk) in error.message


def test_a_spool_of_another_format_version_is_one_clear_error(tmp_path):
    """What workers have committed is changed before the coordinator, which stands still, looks at it."""
    spool = tmp_path / "spool"
    exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": spool}
    coordinator = {**TASK, "task-retry-attempts-per-task": 0}
    with Cluster(tmp_path / "cluster", coordinator_properties=coordinator, exchange=exchange) as cluster:
        query = Query(cluster, LONG, "sf1")
        eventually(lambda: busy_workers(cluster), 10, "tasks run")
        with frozen(cluster.coordinator):
            eventually(lambda: not busy_workers(cluster), 20, "the first tasks have committed")
            records = [path for path in files(spool) if path.name == "committed"]
            assert records, "nothing is committed"
            for record in records:
                with open(record, "r+b") as file:
                    header = file.read(8)
                    assert header == b"WBSPOOL\x01", header
                    file.seek(7)
                    file.write(b"\x09")
        query.thread.join(60)
        assert isinstance(query.error, TrinoQueryError), (query.rows, query.error)
        message = query.error.message
        assert "version 9 of the spool's format" in message and "reads version 1" in message, message
        assert str(spool) in message, message
        eventually(lambda: not files(spool), 15, "nothing is left")
        assert not lost_nodes(cluster.coordinator)


@pytest.mark.parametrize("retries", [4, 0])
def test_a_worker_with_a_disk_of_its_own_under_the_same_name(tmp_path, monkeypatch, retries):
    """As in containers without a shared volume: all are configured alike, and one sees another storage. Its
    attempts run again elsewhere; without retries the error names it."""
    spool = tmp_path / "spool"
    exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": spool}
    coordinator = {**TASK, "task-retry-attempts-per-task": retries}
    with Cluster(tmp_path / "cluster", workers_wanted=1, coordinator_properties=coordinator, exchange=exchange) as cluster:
        expected = cluster.query(LONG)
        wrapper = tmp_path / "waterbear"
        wrapper.write_text(
            f"""#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs none {spool} && exec {binary()} "$@"' sh "$@"
"""
        )
        wrapper.chmod(0o755)
        with monkeypatch.context() as patched:
            patched.setenv("WATERBEAR_BIN", str(wrapper))
            worker = cluster.add_worker()
        cluster.wait_for_workers(2)
        inside = Path(f"/proc/{worker.process.popen.pid}/root{spool}")
        need(not files(inside) and inside.stat().st_dev != spool.stat().st_dev, "a filesystem cannot be mounted")
        if retries:
            assert same(cluster.query(LONG), expected)
        else:
            with pytest.raises(TrinoQueryError) as caught:
                cluster.query(LONG)
            assert caught.value.error_name == "CONFIGURATION_INVALID"
            for part in (worker.name, str(spool), "exchange.base-directories"):
                assert part in caught.value.message, caught.value.message
        eventually(lambda: not files(spool), 15, "neither objects nor probes stay")
