"""Nodes that are drained, taken back and told to end: no task is lost, and nothing is left."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from trino.exceptions import TrinoQueryError

from chaos import Query, same
from cluster import binary, eventually, new_secret
from conftest import need
from peer import Peer
from test_failures import start_and_wait_until_all_workers_are_busy
from test_retries import LONG, attempts, files, retrying, rows_of  # noqa: F401 (a fixture)

SHORT = "SELECT count(*) FROM tpch.tiny.nation n JOIN tpch.tiny.region r ON n.n_regionkey = r.r_regionkey"
# Not one failure may count.
NO_BUDGET = {"task-retry-attempts-per-task": 0}
STATE = "/v1/info/state"


def state_of(node):
    return node.get(STATE)


def put_state(node, state, address="127.0.0.1", headers=None):
    """Asks the HTTP port to change the state; status and text."""
    request = urllib.request.Request(
        f"http://{address}:{node.http}{STATE}",
        data=json.dumps(state).encode(),
        method="PUT",
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def becomes(node, state, seconds=3):
    eventually(lambda: state_of(node) == state, seconds, f"{node.name} is {state}")


def listed(cluster, node):
    """The state in system.runtime.nodes; None when the node is not there."""
    rows = cluster.query(f"SELECT state FROM system.runtime.nodes WHERE node_id = '{node.name}'")
    return rows[0][0] if rows else None


def nodes_of(cluster, query_id):
    """The nodes that ran tasks of a query."""
    return {node for task in attempts(cluster, query_id).values() for _, _, node in task}


def is_given_tasks(cluster, node):
    """Soon a query has a task there: one with more tasks at a time than others are idle."""

    def given():
        cursor = cluster.connect().cursor()
        cursor.execute(LONG).fetchall()
        return node.name in nodes_of(cluster, cursor.query_id)

    eventually(given, 15, f"{node.name} is given tasks", interval=0.1)


def ends(node, seconds):
    """The process ends by itself within so many seconds, and well."""
    start = time.monotonic()
    try:
        code = node.process.popen.wait(seconds + 10)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{node.name} has not ended: {node.process.text()[-3000:]}")
    took = time.monotonic() - start
    assert code == 0, node.process.text()[-3000:]
    assert took < seconds, f"{node.name} took {took:.2f} s to end"


def assert_moved_and_not_failed(tasks):
    """Each task has one output, and no attempt failed by itself."""
    for name, task in tasks.items():
        states = [state for _, state, _ in task]
        assert "FAILED" not in states and "FINISHED" in states, (name, task)


# --- draining


def test_a_worker_drained_in_mid_query_under_task_loses_nothing(retrying):  # noqa: F811
    cluster = retrying(coordinator=NO_BUDGET)
    expected = cluster.query(LONG)
    victim = cluster.workers[0]
    again = 0
    for moment in (0, 0.2, 0.4):
        query = Query(cluster, LONG, "sf1")
        eventually(lambda: victim.tasks() or not query.thread.is_alive(), 20, "the worker has a task")
        time.sleep(moment)
        assert put_state(victim, "DRAINING")[0] == 200
        becomes(victim, "DRAINED", 2)
        eventually(lambda: listed(cluster, victim) == "drained", 2, "system.runtime.nodes says so")
        assert same(rows_of(query), expected)
        tasks = attempts(cluster, query.cursor.query_id)
        assert_moved_and_not_failed(tasks)
        again += sum(len(task) - 1 for task in tasks.values())
        # Nothing comes here meanwhile.
        cursor = cluster.connect().cursor()
        assert same(cursor.execute(LONG).fetchall(), expected)
        assert victim.name not in nodes_of(cluster, cursor.query_id)
        assert put_state(victim, "ACTIVE") == (200, '"ACTIVE"')
        cluster.wait_for_workers(3)
        is_given_tasks(cluster, victim)
    assert again > 0, "no task was moved: the workers were drained too late for this test"


def test_a_worker_drained_in_mid_query_under_none_ends_what_it_runs(own_cluster):
    cluster = own_cluster()
    alone = start_and_wait_until_all_workers_are_busy(cluster).wait(120)
    assert alone.rows, alone.error
    running = start_and_wait_until_all_workers_are_busy(cluster)
    victim = cluster.workers[0]
    assert put_state(victim, "DRAINING") == (200, '"DRAINING"')
    eventually(lambda: listed(cluster, victim) == "draining", 2, "system.runtime.nodes says so")
    cursor = cluster.connect().cursor()
    assert cursor.execute("SELECT count(*) FROM orders").fetchall() == [[15_000]]
    assert victim.name not in nodes_of(cluster, cursor.query_id)
    if not running.ended:
        assert state_of(victim) == "DRAINING" and victim.tasks() > 0
    running.wait(120)
    assert same(running.rows or [], alone.rows), running.error
    becomes(victim, "DRAINED", 2)
    assert put_state(victim, "ACTIVE")[0] == 200
    cluster.wait_for_workers(3)
    is_given_tasks(cluster, victim)


@contextlib.contextmanager
def short_queries(cluster, threads=3):
    """Runs short queries one after the other all the while; none may fail."""
    stop, errors, done = threading.Event(), [], []

    def run():
        while not stop.is_set():
            query = Query(cluster, SHORT, "tiny")
            query.thread.join(60)
            if query.rows == [[25]]:
                done.append(query)
            else:
                errors.append(query.error or query.rows or "it hangs")

    running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in running:
            thread.join(70)
        assert not errors, errors
        assert len(done) > threads


def test_no_query_fails_while_workers_are_drained_and_end(own_cluster):
    """Under NONE, too: a task that comes to a worker that has just begun to drain goes to another."""
    cluster = own_cluster()
    victim, other, _ = cluster.workers
    with short_queries(cluster) as done:
        for _ in range(10):
            before = len(done)
            assert put_state(victim, "DRAINING")[0] == 200
            becomes(victim, "DRAINED", 5)
            assert put_state(victim, "ACTIVE")[0] == 200
            eventually(lambda: len(done) > before + 3, 30, "queries go on")
        other.process.popen.terminate()
        ends(other, 5)
        before = len(done)
        eventually(lambda: len(done) > before + 10, 30, "queries go on")


def test_a_query_waits_while_all_workers_are_drained(own_cluster):
    cluster = own_cluster(workers_wanted=1)
    (worker,) = cluster.workers
    assert put_state(worker, "DRAINING") == (200, '"DRAINED"')
    eventually(lambda: not cluster.active_workers(), 2, "no worker is active")
    query = Query(cluster, SHORT, "tiny")
    time.sleep(1.5)
    assert query.thread.is_alive(), query.error or query.rows
    # What needs no worker does not wait.
    assert cluster.query("SELECT 1") == [[1]]
    assert put_state(worker, "ACTIVE")[0] == 200
    assert rows_of(query, 10) == [[25]]


# --- the end of workers


def test_a_worker_told_to_end_in_mid_query_under_task_goes_at_once(retrying):  # noqa: F811
    cluster = retrying(coordinator=NO_BUDGET)
    expected = cluster.query(LONG)
    victim = cluster.workers[0]
    again = 0
    for moment in (0, 0.3):
        query = Query(cluster, LONG, "sf1")
        eventually(lambda: victim.tasks() or not query.thread.is_alive(), 20, "the worker has a task")
        time.sleep(moment)
        victim.process.popen.terminate()
        ends(victim, 2)
        assert same(rows_of(query), expected)
        tasks = attempts(cluster, query.cursor.query_id)
        assert_moved_and_not_failed(tasks)
        again += sum(len(task) - 1 for task in tasks.values())
        victim.start().wait_ready()
        cluster.wait_for_workers(3)
    assert again > 0, "no task was moved: the worker ended too late for this test"


def test_a_worker_told_to_end_in_mid_query_under_none_ends_after_it(own_cluster):
    cluster = own_cluster()
    running = start_and_wait_until_all_workers_are_busy(cluster)
    victim = cluster.workers[0]
    victim.process.popen.terminate()
    becomes(victim, "SHUTTING_DOWN", 1)
    eventually(lambda: listed(cluster, victim) == "shutting_down", 2, "system.runtime.nodes says so")
    status, text = put_state(victim, "ACTIVE")
    assert status == 409 and "SHUTTING_DOWN" in text
    running.wait(120)
    assert running.rows, running.error
    ends(victim, 3)


def test_the_grace_period_is_the_longest_that_a_worker_waits(own_cluster):
    cluster = own_cluster(worker_properties={"shutdown.grace-period": "1s"})
    running = start_and_wait_until_all_workers_are_busy(cluster)
    victim = cluster.workers[0]
    victim.process.popen.terminate()
    ends(victim, 4)
    running.wait(10)
    assert isinstance(running.error, TrinoQueryError), running.error or "the query is too short for this test"
    assert running.error.error_name == "SERVER_SHUTTING_DOWN"
    assert victim.name in running.error.message


def test_a_second_sigterm_ends_a_worker_at_once(own_cluster):
    cluster = own_cluster()
    start_and_wait_until_all_workers_are_busy(cluster)
    victim = cluster.workers[0]
    victim.process.popen.terminate()
    becomes(victim, "SHUTTING_DOWN", 1)
    victim.process.popen.send_signal(signal.SIGINT)
    ends(victim, 6)


# --- the end of the others


@pytest.mark.parametrize("role", ["discovery", "coordinator", "worker"])
def test_an_idle_node_ends_within_a_second_when_it_is_asked_to(own_cluster, role):
    cluster = own_cluster(workers_wanted=1)
    node = next(node for node in cluster.nodes() if node.role == role)
    assert put_state(node, "SHUTTING_DOWN") == (200, '"SHUTTING_DOWN"')
    ends(node, 1)


def assert_failed_by_the_end_of(coordinator, query):
    query.thread.join(10)
    assert isinstance(query.error, TrinoQueryError), query.error or "the query is too short for this test"
    assert query.error.error_name == "SERVER_SHUTTING_DOWN"
    assert coordinator.name in query.error.message


def test_a_coordinator_told_to_end_under_task_leaves_no_task_and_no_file(retrying):  # noqa: F811
    cluster = retrying()
    query = Query(cluster, LONG, "sf1")
    eventually(lambda: files(cluster.spool) and any(worker.tasks() for worker in cluster.workers), 20, "it spools")
    cluster.coordinator.process.popen.terminate()
    ends(cluster.coordinator, 3.5)
    assert_failed_by_the_end_of(cluster.coordinator, query)
    # Long before task.client.timeout, and nobody is left who would sweep.
    assert list(cluster.spool.glob("*/*/*")) == [], "no folder of a query is left"
    eventually(lambda: not any(worker.tasks() for worker in cluster.workers), 1, "no task is left")


def test_a_coordinator_told_to_end_under_none_leaves_no_task(own_cluster):
    cluster = own_cluster()
    running = start_and_wait_until_all_workers_are_busy(cluster)
    cluster.coordinator.process.popen.terminate()
    ends(cluster.coordinator, 3.5)
    assert_failed_by_the_end_of(cluster.coordinator, running)
    eventually(lambda: not any(worker.tasks() for worker in cluster.workers), 1, "no task is left")


# --- who may do that


def own_address():
    """An address of this machine that is not loopback's. Nothing is sent."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as udp:
        with contextlib.suppress(OSError):
            udp.connect(("198.51.100.1", 9))
            return udp.getsockname()[0]
    return None


def test_only_the_own_machine_changes_the_state_on_the_http_port(own_cluster):
    address = own_address()
    need(address and not address.startswith("127."), "this machine has an address that is not loopback's")
    cluster = own_cluster(workers_wanted=1, worker_properties={"node.bind-ip": "0.0.0.0"})
    (worker,) = cluster.workers
    status, text = put_state(worker, "DRAINING", address)
    assert status == 403 and "own machine" in text
    for headers in ({"X-Forwarded-For": "192.0.2.7"}, {"Forwarded": "for=192.0.2.7"}, {"Host": "rebound.example"}):
        assert put_state(worker, "DRAINING", headers=headers)[0] == 403, headers
    assert state_of(worker) == "ACTIVE"
    assert put_state(worker, "DRAINING")[0] == 200


@pytest.mark.parametrize("role", ["discovery", "coordinator"])
def test_only_workers_drain(cluster, role):
    node = getattr(cluster, role)
    status, text = put_state(node, "DRAINING")
    assert status == 409 and f"a {role} runs no tasks" in text
    for state in ["DRAINED", "GONE", {"state": "ACTIVE"}]:
        assert put_state(node, state)[0] == 400
    assert state_of(node) == "ACTIVE"


def test_an_operator_changes_states_and_nothing_else(own_cluster, tmp_path):
    cluster = own_cluster(workers_wanted=1)
    (worker,) = cluster.workers
    operator = Peer(cluster.secret, tmp_path, role="operator")

    def ask(peer, node, path, method="GET", body=None):
        token = peer.token(peer.claims(f"test/{node.role}"))
        return peer.ask(node.https, path, token, method=method, body=body)

    assert ask(operator, worker, STATE, "PUT", b'"DRAINING"') == (200, '"DRAINED"')
    assert ask(operator, worker, STATE) == (200, '"DRAINED"')
    assert ask(operator, worker, STATE, "PUT", b'"ACTIVE"') == (200, '"ACTIVE"')
    assert ask(operator, cluster.discovery, "/v1/nodes")[0] == 200
    task = "/v1/task/20261122_020500_00000_ab2cd.0.0.0"
    refused = [
        (worker, task, "POST", b"{}"),
        (worker, task, "DELETE", None),
        (worker, f"{task}/status", "GET", None),
        (worker, f"{task}/results/0/0/0", "GET", None),
        (cluster.discovery, f"/v1/announce/{worker.name}?incarnation=0000000000000001", "DELETE", None),
    ]
    for node, path, method, body in refused:
        status, text = ask(operator, node, path, method, body)
        assert status in (401, 403) and text, (path, status)
    for role in ["coordinator", "worker", "discovery"]:
        peer = Peer(cluster.secret, tmp_path, role=role)
        status, text = ask(peer, worker, STATE, "PUT", b'"DRAINING"')
        assert status in (401, 403) and text, role
    assert state_of(worker) == "ACTIVE"


# --- the commands


def command(node, *arguments, timeout=60):
    """An operator's command with the configuration of this node."""
    name, *rest = arguments
    line = [binary(), name, "--etc-dir", node.etc, *rest]
    return subprocess.run([str(part) for part in line], capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("https", [True, False])
def test_the_commands_drain_take_back_and_end_nodes(own_cluster, https):
    cluster = own_cluster(workers_wanted=2, https=https)
    first, second = cluster.workers
    drained = command(cluster.coordinator, "drain", "--node", first.name, second.name, "--wait")
    assert drained.returncode == 0, drained.stderr
    assert drained.stdout.splitlines() == ["worker-1: DRAINED", "worker-2: DRAINED"]
    assert state_of(first) == state_of(second) == "DRAINED"
    back = command(cluster.coordinator, "drain", "--undo", "--node", first.name, "--node", second.name)
    assert back.returncode == 0, back.stderr
    assert back.stdout.splitlines() == ["worker-1: ACTIVE", "worker-2: ACTIVE"]
    cluster.wait_for_workers(2)
    assert cluster.query(SHORT) == [[25]]
    gone = command(cluster.coordinator, "shutdown", "--node", second.name, "--wait")
    assert gone.returncode == 0, gone.stderr
    assert gone.stdout.splitlines() == ["worker-2: SHUTTING_DOWN", "worker-2: gone"]
    ends(second, 1)
    for node in (cluster.coordinator, cluster.discovery):
        told = command(first, "shutdown", "--node", node.name)
        assert (told.returncode, told.stdout) == (0, f"{node.name}: SHUTTING_DOWN\n"), told.stderr
        ends(node, 1)


def test_drain_waits_for_the_last_task(own_cluster):
    cluster = own_cluster()
    running = start_and_wait_until_all_workers_are_busy(cluster)
    victim = cluster.workers[0]
    drained = command(victim, "drain", "--node", victim.name, "--wait", timeout=120)
    assert drained.returncode == 0, drained.stderr
    assert drained.stdout.splitlines() == ["worker-1: DRAINING", "worker-1: DRAINED"]
    assert victim.tasks() == 0
    running.wait(60)
    assert running.rows, running.error


def test_commands_say_what_is_wrong(own_cluster):
    cluster = own_cluster(workers_wanted=1)
    (worker,) = cluster.workers
    unknown = command(worker, "drain", "--node", worker.name, "worker-9")
    assert unknown.returncode == 1 and unknown.stdout == ""
    for part in ("'worker-9'", "worker-1 (worker)", "coordinator-1 (coordinator)", "discovery-1 (discovery)"):
        assert part in unknown.stderr, unknown.stderr
    # One that is unknown: nothing was done.
    assert state_of(worker) == "ACTIVE"
    for node in (cluster.discovery, cluster.coordinator):
        refused = command(worker, "drain", "--node", node.name)
        assert refused.returncode == 1 and f"a {node.role} runs no tasks" in refused.stderr, refused.stderr
    other = f"internal-communication.shared-secret={new_secret()}"
    stranger = command(worker, "drain", "--node", worker.name, "-D", other)
    assert stranger.returncode == 1
    assert "internal-communication.shared-secret" in stranger.stderr, stranger.stderr
    nobody = command(worker, "drain", "--node", worker.name, "-D", "discovery.uri=https://127.0.0.1:1")
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr, nobody.stderr
    unset = subprocess.run([str(binary()), "shutdown", "--node", "x"], capture_output=True, text=True, timeout=20)
    assert unset.returncode == 1 and "discovery.uri" in unset.stderr, unset.stderr
    assert state_of(worker) == "ACTIVE"
    cluster.discovery.process.kill()
    away = command(worker, "drain", "--node", worker.name)
    assert away.returncode == 1 and "no discovery answers" in away.stderr, away.stderr
