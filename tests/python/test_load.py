"""32 clients at once: small queries of all kinds, no error, and nothing left behind."""

import os
import random
import threading
import time

from cluster import eventually

CLIENTS = 32
# A minute by hand: LOAD_SECONDS=60.
SECONDS = float(os.environ.get("LOAD_SECONDS", "10"))

# A query, its parameters and its rows.
QUERIES = [
    ("SELECT 1", None, [[1]]),
    ("SELECT count(*) FROM nation", None, [[25]]),
    ("SELECT n_name FROM nation WHERE n_nationkey = ?", [3], [["CANADA"]]),
    ("SELECT count(*), min(o_orderkey) FROM orders", None, [[15000, 1]]),
    (
        "SELECT r_name, count(*) FROM nation JOIN region ON n_regionkey = r_regionkey GROUP BY 1 ORDER BY 1 LIMIT 1",
        None,
        [["AFRICA", 5]],
    ),
    ("SHOW SCHEMAS LIKE 'tiny'", None, [["tiny"]]),
    ("SELECT l_linenumber FROM lineitem ORDER BY l_orderkey, l_linenumber LIMIT 2", None, [[1], [2]]),
]


def test_32_clients_with_mixed_queries(cluster):
    until = time.monotonic() + SECONDS
    times, failures = [], []

    def one(number):
        choice = random.Random(number)
        connection = cluster.connect(source=f"load-{number}")
        while time.monotonic() < until and not failures:
            sql, parameters, expected = choice.choice(QUERIES)
            start = time.monotonic()
            try:
                rows = connection.cursor().execute(sql, parameters).fetchall()
                if rows != expected:
                    failures.append((sql, rows))
            except Exception as error:  # reported below, with its query
                failures.append((sql, error))
            times.append(time.monotonic() - start)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    times.sort()
    assert len(times) > CLIENTS
    print(f"{len(times)} queries, median {times[len(times) // 2]:.3f} s, p99 {times[len(times) * 99 // 100]:.3f} s")
    eventually(lambda: all(worker.tasks() == 0 for worker in cluster.workers), 10, "no task is left")
    eventually(lambda: all(worker.memory() == 0 for worker in cluster.workers), 10, "no memory is held")
    running = "SELECT count(*) FROM system.runtime.queries WHERE state NOT IN ('FINISHED', 'FAILED')"
    assert cluster.query(running) == [[1]]
