"""Memory: limits of a query and of a node, spilling, and a worker that outlives what asks too much."""

import resource
import threading

import pytest
from trino.exceptions import TrinoQueryError

from cluster import Cluster, eventually

POOL = 192 << 20

# Needs all rows of lineitem at once: 1.5 GB at sf1.
BIG_JOIN = """SELECT count(*) FROM tpch.sf1.lineitem a JOIN tpch.sf1.lineitem b
              ON a.l_orderkey = b.l_orderkey AND a.l_comment = b.l_comment"""
BIG_SORT = "SELECT l_comment, l_orderkey FROM tpch.sf1.lineitem ORDER BY l_comment, l_orderkey, l_linenumber"
BIG_AGGREGATION = """SELECT count(*), sum(c) FROM (
    SELECT l_orderkey, l_partkey, l_suppkey, count(*) AS c FROM tpch.sf1.lineitem GROUP BY 1, 2, 3)"""


def limits(query=POOL):
    return {"memory.pool-size-per-node": f"{POOL}B", "query.max-memory-per-node": f"{query}B", "task.concurrency": 2}


class Limited(Cluster):
    """Workers whose pools are small, and whose processes may have little more than their pools."""

    query_limit = POOL
    process_limit = None

    def _find_discovery(self):
        return {**super()._find_discovery(), **limits(self.query_limit)}

    def add_worker(self, secret=None):
        worker = super().add_worker(secret)
        if self.process_limit:
            # The data segment: heap and anonymous maps, without mapped files.
            resource.prlimit(worker.process.popen.pid, resource.RLIMIT_DATA, (self.process_limit, self.process_limit))
        return worker


@pytest.fixture
def limited(tmp_path):
    made = []

    def make(**options):
        attributes = {name: options.pop(name) for name in ("query_limit", "process_limit") if name in options}
        cluster = Limited(tmp_path / f"cluster-{len(made)}", **options)
        for name, value in attributes.items():
            setattr(cluster, name, value)
        made.append(cluster)
        return cluster.__enter__()

    yield make
    for one in made:
        one.__exit__()


def assert_clean(cluster):
    def clean():
        return all(worker.tasks() == 0 and worker.memory() == 0 for worker in cluster.workers)

    eventually(clean, 10, "no task and no memory is left")


def test_a_join_that_does_not_fit_fails_with_the_numbers_and_others_go_on(limited):
    cluster = limited(workers_wanted=2, query_limit=POOL // 2)
    answers, stop = [], threading.Event()

    def small():
        while not stop.is_set():
            answers.append(cluster.query("SELECT count(*) FROM nation n JOIN region r ON n_regionkey = r_regionkey"))

    others = threading.Thread(target=small)
    others.start()
    try:
        with pytest.raises(TrinoQueryError) as failed:
            cluster.query(BIG_JOIN)
    finally:
        stop.set()
        others.join(60)
    assert failed.value.error_name == "EXCEEDED_LOCAL_MEMORY_LIMIT"
    assert failed.value.error_type == "INSUFFICIENT_RESOURCES"
    message = failed.value.message
    assert "Query exceeded per-node memory limit of 96.0 MB [Allocated: " in message, message
    assert "Delta: " in message and "Top Consumers: {" in message, message
    assert answers and all(answer == [[25]] for answer in answers)
    assert_clean(cluster)
    assert all(worker.process.running() for worker in cluster.workers)


def test_sorts_and_aggregations_spill_and_are_right(limited):
    cluster = limited(workers_wanted=2)
    assert cluster.query(BIG_AGGREGATION) == [[6001215 - duplicates(cluster), 6001215]]
    cursor = cluster.connect().cursor()
    cursor.execute(BIG_SORT)
    last, rows = "", 0
    while part := cursor.fetchmany(100_000):
        assert all(a[0] <= b[0] for a, b in zip(part, part[1:])) and last <= part[0][0]
        last, rows = part[-1][0], rows + len(part)
    assert rows == 6001215
    assert cursor.stats["spilledBytes"] > 0
    assert_clean(cluster)


def duplicates(cluster):
    """Rows of lineitem that share order, part and supplier with another: counted without memory."""
    sql = """SELECT sum(n - 1) FROM (SELECT l_orderkey, l_partkey, l_suppkey, count(*) AS n FROM tpch.sf1.lineitem
             WHERE l_orderkey BETWEEN {} AND {} GROUP BY 1, 2, 3)"""
    return sum(cluster.query(sql.format(start, start + 1_999_999))[0][0] for start in range(0, 6_000_001, 2_000_000))


def test_a_worker_survives_what_does_not_fit_in_its_process(limited):
    # 1.3 times the pool, and what an idle worker has.
    cluster = limited(workers_wanted=1, process_limit=None)
    worker = cluster.workers[0]
    idle = data_segment(worker.process.popen.pid)
    limit = idle + POOL * 13 // 10
    resource.prlimit(worker.process.popen.pid, resource.RLIMIT_DATA, (limit, limit))
    for sql in [BIG_JOIN, BIG_SORT, BIG_AGGREGATION, BIG_JOIN]:
        try:
            cluster.query(f"SELECT count(*) FROM ({sql})")
        except TrinoQueryError as error:
            assert error.error_name == "EXCEEDED_LOCAL_MEMORY_LIMIT", error
        assert worker.process.running(), worker.process.text()[-2000:]
        assert cluster.query("SELECT count(*) FROM tpch.tiny.lineitem") == [[60175]]
    assert_clean(cluster)


def data_segment(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmData")
