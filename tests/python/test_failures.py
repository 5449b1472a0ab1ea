"""Nodes that die: what is left behind, what the client is told, and how soon."""

import time

import pytest
from trino.exceptions import TrinoQueryError

from chaos import Query
from cluster import eventually, new_secret

# Long enough to be killed in, small enough for a test machine's memory.
LONG = """SELECT o_orderpriority, count(*), sum(l_extendedprice) FROM tpch.sf10.lineitem
          JOIN tpch.sf1.orders ON l_orderkey % 6000000 = o_orderkey GROUP BY 1 ORDER BY 1"""


class Running(Query):
    """A query in a thread: its rows or its error, and when it ended."""

    def __init__(self, cluster, sql):
        super().__init__(cluster, sql, "tiny")

    @property
    def ended(self):
        return None if self.seconds is None else self.started + self.seconds

    def wait(self, seconds):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"the query has not ended after {seconds} s"
        return self


def busy(cluster):
    return all(worker.tasks() for worker in cluster.workers)


def start_and_wait_until_all_workers_are_busy(cluster):
    running = Running(cluster, LONG)
    eventually(lambda: running.ended or busy(cluster), 30, "every worker has a task")
    assert not running.ended, running.error or "the query is too short for this test"
    return running


def test_workers_are_free_10_s_after_their_coordinators_death(own_cluster):
    cluster = own_cluster()
    start_and_wait_until_all_workers_are_busy(cluster)
    cluster.coordinator.process.kill()

    def free():
        return all(worker.tasks() == 0 and worker.memory() == 0 for worker in cluster.workers)

    # 9 s without a poll (task.client.timeout), and time to look around.
    eventually(free, 10, "no worker has a task or memory", interval=0.1)
    assert all(worker.process.running() for worker in cluster.workers)


def test_a_killed_workers_query_fails_at_once_with_its_name(own_cluster):
    cluster = own_cluster()
    running = start_and_wait_until_all_workers_are_busy(cluster)
    victim, *others = cluster.workers
    killed = time.monotonic()
    victim.process.kill()
    running.wait(10)
    assert isinstance(running.error, TrinoQueryError), running.error or running.rows
    assert running.ended - killed < 2, "the bar; the aim is 1 s"
    assert victim.name in running.error.message
    assert running.error.error_type == "INTERNAL_ERROR"
    left = running.ended + 1 - time.monotonic()
    eventually(lambda: not any(node.tasks() for node in others), left, "no other task of the query is alive")
    # The cluster goes on without it.
    eventually(lambda: victim.name not in cluster.active_workers(), 5, "the dead worker is no longer active")
    assert cluster.query("SELECT count(*) FROM orders") == [[15_000]]


def test_a_restarted_discovery_harms_no_query(own_cluster):
    cluster = own_cluster()
    alone = Running(cluster, LONG).wait(120)
    assert alone.rows, alone.error
    running = start_and_wait_until_all_workers_are_busy(cluster)
    cluster.discovery.process.kill()
    # While it is away, and longer than a lease: new queries are placed on the last view.
    assert cluster.query("SELECT count(*) FROM orders") == [[15_000]]
    time.sleep(3.5)
    assert cluster.query("SELECT count(*) FROM orders") == [[15_000]]
    cluster.discovery.start().wait_ready()
    running.wait(120)
    assert running.rows == alone.rows, running.error
    assert len(cluster.active_workers()) == 3
    # A newcomer is found by the new discovery.
    newcomer = cluster.add_worker()
    eventually(lambda: newcomer.name in cluster.active_workers(), 10, "the newcomer is active")


def test_a_worker_of_another_secret_never_appears_and_says_why(own_cluster):
    cluster = own_cluster(workers_wanted=1)
    start = time.monotonic()
    stranger = cluster.add_worker(secret=new_secret())
    said = "internal-communication.shared-secret"
    eventually(lambda: said in stranger.process.text(), 3, f"the stranger's log names {said}")
    while time.monotonic() < start + 4:
        assert stranger.name not in cluster.active_workers()
        assert stranger.process.running(), "it goes on trying"
        time.sleep(0.2)
    assert cluster.secret not in stranger.process.text()


def test_a_new_worker_is_seen_soon(own_cluster):
    """The best of three: other work on the machine is not the product's."""
    cluster = own_cluster(workers_wanted=1)
    took = []
    for _ in range(3):
        start = time.monotonic()
        worker = cluster.add_worker()
        eventually(lambda: worker.name in cluster.active_workers(), 10, f"{worker.name} is active", interval=0.005)
        took.append(time.monotonic() - start)
    assert min(took) < 0.3, took


@pytest.mark.parametrize("role", ["discovery", "coordinator", "worker"])
def test_sigterm_ends_an_idle_node_soon(own_cluster, role):
    cluster = own_cluster(workers_wanted=1)
    node = next(node for node in cluster.nodes() if node.role == role)
    start = time.monotonic()
    node.process.popen.terminate()
    assert node.process.popen.wait(10) == 0
    assert time.monotonic() - start < 1
