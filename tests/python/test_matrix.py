"""The failure matrix: each kind of fault, in each position of a query, in its first, middle and last
task. Under NONE the query fails with the fault's own error; under TASK it gives the right rows after
exactly one more attempt of that task (none when it had committed and only its answer was lost), and user
errors are never retried. (Trino's model is
`BaseFailureRecoveryTest`.)

The binary has fault points: `shared/faults`. A query's id is known before it starts, so each query has
rules of its own, and they run side by side. The positions, as EXPLAIN (TYPE DISTRIBUTED) shows them, are
of two queries:

- leaf: scans `orders`, and is broadcast;
- intermediate: joins it with a scan of `lineitem`, and groups in part;
- boundary: groups and sorts, for the root;
- root: merges. Under NONE it is no task: it runs on the coordinator, which reads the boundary as in Trino;
- whole: all of a small query in one task, a root that runs on a worker under both policies.

Requests are those to create a task and those for its status; results are requests for pages under NONE,
and reads of the spool *by* the task under TASK, where scans read nothing.
"""

import contextlib
import itertools
import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import Cluster, binary
from conftest import need
from test_retries import assert_clean, attempts

QUERY = """SELECT l_suppkey, count(*), sum(l_quantity), min(o_orderpriority) FROM lineitem
           JOIN orders ON l_orderkey = o_orderkey GROUP BY l_suppkey ORDER BY l_suppkey"""
SMALL = "SELECT n_name, r_name FROM nation JOIN region ON n_regionkey = r_regionkey ORDER BY n_name"
POSITIONS = {
    "leaf": (QUERY, 1),
    "intermediate": (QUERY, 2),
    "boundary": (QUERY, 3),
    "root": (QUERY, 0),
    "whole": (SMALL, 0),
}
READERS = ["intermediate", "boundary", "root"]
ERRORS = {
    "user": ("GENERIC_USER_ERROR", "USER_ERROR"),
    "internal": ("GENERIC_INTERNAL_ERROR", "INTERNAL_ERROR"),
    "resources": ("EXCEEDED_LOCAL_MEMORY_LIMIT", "INSUFFICIENT_RESOURCES"),
    "external": ("UNSUPPORTED_TABLE_TYPE", "EXTERNAL"),
}
REQUESTS = ["failure", "timeout"]
# A request that is never answered is given up after seconds: the queries of one kind wait together.
AT_ONCE = 10
DEADLINE = 60


class Faults:
    """The rules of a cluster."""

    def __init__(self, file):
        self.file, self.rules, self.lock = file, [], threading.Lock()

    def add(self, rule):
        with self.lock:
            self.rules.append(rule)
            new = self.file.with_suffix(".new")
            new.write_text("\n".join(self.rules) + "\n")
            os.replace(new, self.file)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A cluster whose tasks can be told to fail."""
    version = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=20, check=True)
    need(version.stdout.strip().endswith("+faults"), "the binary was built without fault points (CONTRIBUTING.md)")
    folder = tmp_path_factory.mktemp("matrix")
    exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": folder / "spool"}
    coordinator = {
        "fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min": "256kB",
        "task.bytes-per-partition": "64kB",
        "task.concurrency": 2,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERBEAR_FAULTS", str(folder / "faults"))
        with Cluster(folder, coordinator_properties=coordinator, exchange=exchange) as cluster:
            cluster.spool = folder / "spool"
            cluster.faults = Faults(folder / "faults")
            plain = itertools.product(("NONE", "TASK"), (QUERY, SMALL))
            cluster.plain = {which: Outcome(cluster, *which) for which in plain}
            yield cluster
            assert_clean(cluster)


class Outcome:
    """What a query with faults of its own came to."""

    def __init__(self, cluster, policy, query, rule=None):
        self.headers = {
            "X-Trino-User": "test",
            "X-Trino-Catalog": "tpch",
            "X-Trino-Schema": "tiny",
            "X-Trino-Session": f"retry_policy={policy}",
        }
        self.rows, self.error = [], None
        started = time.monotonic()
        page = self._page(f"http://127.0.0.1:{cluster.coordinator.http}/v1/statement", query.encode())
        self.id = page["id"]
        if rule:
            cluster.faults.add(f"{rule} query={self.id}")
        while "nextUri" in page:
            assert time.monotonic() < started + DEADLINE, f"{self.id} hangs: {rule}"
            page = self._page(page["nextUri"])
            self.rows += page.get("data", [])
            self.error = page.get("error")
        # By (stage, task): the numbers of its attempts.
        self.attempts = {}
        for task, found in attempts(cluster, self.id).items():
            stage, number = map(int, task.split(".")[1:])
            self.attempts[stage, number] = sorted(attempt for attempt, _, _ in found)

    def _page(self, uri, body=None):
        request = urllib.request.Request(uri, body, self.headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def tasks(self, stage):
        return sum(of == stage for of, _ in self.attempts)


def spots(cluster, policy, positions):
    """Each position's first, middle and last task."""
    for position in positions:
        query, stage = POSITIONS[position]
        tasks = cluster.plain[policy, query].tasks(stage)
        for task in sorted({0, tasks // 2, tasks - 1} if tasks else ()):
            yield position, task


@contextlib.contextmanager
def heard_of(cluster):
    """Other queries' requests are answered meanwhile: it is an attempt that is silent, not its worker."""
    stop = threading.Event()

    def ask():
        while not stop.wait(0.3):
            cluster.query("SELECT count(*) FROM lineitem", session_properties={"retry_policy": "NONE"})

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def outcomes(cluster, policy, what, positions=POSITIONS):
    """Runs one query for each spot; each must have met its fault."""

    def run(spot):
        position, task = spot
        query, stage = POSITIONS[position]
        return spot, Outcome(cluster, policy, query, f"{what} stage={stage} task={task} attempt=0")

    with heard_of(cluster), ThreadPoolExecutor(AT_ONCE) as pool:
        ran = list(pool.map(run, spots(cluster, policy, positions)))
    log = "".join(worker.process.text() for worker in cluster.workers)
    met = set(re.findall(r"fault injected .*attempt=(\S+)", log))
    for (position, task), outcome in ran:
        assert f"{outcome.id}.{POSITIONS[position][1]}.{task}.0" in met, f"{what} at {position} {task} was not met"
    return ran


def assert_failed(outcome, spot, name, kind):
    assert outcome.error, f"{spot}: {len(outcome.rows)} rows and no error"
    assert (outcome.error["errorName"], outcome.error["errorType"]) == (name, kind), (spot, outcome.error)
    assert all(numbers == [0] for numbers in outcome.attempts.values()), (spot, outcome.attempts)


def assert_right(cluster, outcome, spot, more):
    """The rows are right, and the spot's task alone had so many more attempts."""
    assert outcome.error is None, (spot, outcome.error)
    (position, task) = spot
    query, stage = POSITIONS[position]
    assert outcome.rows == cluster.plain["NONE", query].rows, spot
    again = {task: numbers for task, numbers in outcome.attempts.items() if numbers != [0]}
    assert again == ({(stage, task): list(range(more + 1))} if more else {}), (spot, again)


def test_the_queries_stand_in_all_positions(faulty):
    for (policy, query), plain in faulty.plain.items():
        assert plain.error is None and len(plain.rows) == {QUERY: 100, SMALL: 25}[query]
        assert plain.rows == faulty.plain["NONE", query].rows
    for policy, (position, (query, stage)) in itertools.product(("NONE", "TASK"), POSITIONS.items()):
        tasks = faulty.plain[policy, query].tasks(stage)
        match position:
            case "root":
                assert tasks == (1 if policy == "TASK" else 0)
            case "whole":
                assert tasks == 1
            case _:
                assert tasks >= 3, (policy, position)


@pytest.mark.parametrize("error", ERRORS)
def test_task_failure_under_none(faulty, error):
    for spot, outcome in outcomes(faulty, "NONE", f"point=task error={error}"):
        assert_failed(outcome, spot, *ERRORS[error])


@pytest.mark.parametrize("error", ERRORS)
def test_task_failure_under_task(faulty, error):
    for spot, outcome in outcomes(faulty, "TASK", f"point=task error={error}"):
        if error == "user":
            assert_failed(outcome, spot, *ERRORS[error])
        else:
            assert_right(faulty, outcome, spot, 1)


@pytest.mark.parametrize("fault", REQUESTS)
def test_request_to_create_under_none(faulty, fault):
    for spot, outcome in outcomes(faulty, "NONE", f"point=create fault={fault}"):
        assert_failed(outcome, spot, "REMOTE_TASK_ERROR", "INTERNAL_ERROR")


@pytest.mark.parametrize("fault", REQUESTS)
def test_request_to_create_under_task(faulty, fault):
    for spot, outcome in outcomes(faulty, "TASK", f"point=create fault={fault}"):
        assert_right(faulty, outcome, spot, 1)


@pytest.mark.parametrize("fault", REQUESTS)
def test_request_for_status_under_none(faulty, fault):
    """Rows do not wait for statuses: the query has ended before the silence is too long."""
    for spot, outcome in outcomes(faulty, "NONE", f"point=status fault={fault}"):
        assert_right(faulty, outcome, spot, 0)


@pytest.mark.parametrize("fault", REQUESTS)
def test_request_for_status_under_task(faulty, fault):
    """Nobody hears that the attempt has committed: the spool is asked, and nothing runs again."""
    for spot, outcome in outcomes(faulty, "TASK", f"point=status fault={fault}"):
        assert_right(faulty, outcome, spot, 0)


@pytest.mark.parametrize("fault, name", [("failure", "PAGE_TRANSPORT_ERROR"), ("timeout", "PAGE_TRANSPORT_TIMEOUT")])
def test_results_under_none(faulty, fault, name):
    for spot, outcome in outcomes(faulty, "NONE", f"point=results fault={fault}"):
        assert_failed(outcome, spot, name, "INTERNAL_ERROR")


@pytest.mark.parametrize("fault", REQUESTS)
def test_results_under_task(faulty, fault):
    for spot, outcome in outcomes(faulty, "TASK", f"point=results fault={fault}", READERS):
        assert_right(faulty, outcome, spot, 1)
