"""Real faults in real processes: TPC-H queries under retry-policy TASK while workers are killed,
stand still and come back, and spooled files are damaged. Rows must be those of an undisturbed run.

    python chaos.py --faults 300 --seed 1

Ends with a table, and with 1 if an answer was wrong, a query failed or hung, or anything was left.
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import statistics
import sys
import tempfile
import threading
import time

from trino.exceptions import Error

from cluster import ROOT, Cluster, eventually

QUERIES = ROOT / "tests/tpch/queries"
# A query that takes so long hangs.
DEADLINE = 90
FAULTS = ["kill", "kill_two", "stop", "restart", "flip", "truncate", "delete"]


class Query:
    """A query in a thread."""

    def __init__(self, cluster, sql, schema):
        self.rows = self.error = None
        self.started = time.monotonic()
        self.seconds = None
        self.cursor = cluster.connect(max_attempts=1, schema=schema).cursor()
        self.thread = threading.Thread(target=self._run, args=(sql,), daemon=True)
        self.thread.start()

    def _run(self, sql):
        try:
            self.rows = self.cursor.execute(sql).fetchall()
        except (Error, OSError) as error:
            self.error = error
        self.seconds = time.monotonic() - self.started


def close(a, b):
    """Equal, but for the last digits of a double: sums hang on the order of their input."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    return a == b


def same(rows, expected):
    if len(rows) != len(expected):
        return False
    return all(len(a) == len(b) and all(map(close, a, b)) for a, b in zip(rows, expected))


class Chaos:
    def __init__(self, cluster, spool, seed, schema):
        self.cluster, self.spool, self.schema = cluster, spool, schema
        self.random = random.Random(seed)
        self.counts = collections.Counter()
        self.wrong, self.failed, self.hung = [], [], []
        self.expected, self.undisturbed = {}, {}
        self.slower = []

    def learn(self):
        for number in range(1, 23):
            sql = (QUERIES / f"q{number}.sql").read_text()
            times = []
            for _ in range(2):
                query = Query(self.cluster, sql, self.schema)
                query.thread.join(DEADLINE)
                assert query.rows is not None, f"q{number} undisturbed: {query.error}"
                times.append(query.seconds)
            self.expected[number] = (sql, query.rows)
            self.undisturbed[number] = min(times)

    def restart(self, worker):
        worker.start()
        worker.wait_ready()

    def files(self):
        """All files of the spool, whatever comes and goes meanwhile."""
        return [pathlib.Path(found, name) for found, _, names in os.walk(self.spool) for name in names]

    def damage(self, how):
        """Damages a file of the spool, once there is one."""
        until = time.monotonic() + 2
        while time.monotonic() < until:
            found = self.files()
            if found:
                path = self.random.choice(found)
                try:
                    size = path.stat().st_size
                    if how == "delete":
                        path.unlink()
                    elif how == "truncate":
                        os.truncate(path, self.random.randrange(size))
                    else:
                        with open(path, "r+b") as file:
                            at = self.random.randrange(size)
                            file.seek(at)
                            byte = file.read(1)[0]
                            file.seek(at)
                            file.write(bytes([byte ^ (1 << self.random.randrange(8))]))
                    return
                except (OSError, IndexError, ValueError):
                    continue
            time.sleep(0.01)

    def disturb(self, fault, undisturbed):
        time.sleep(self.random.uniform(0, undisturbed))
        workers = self.cluster.workers
        if fault in ("kill", "kill_two", "restart"):
            victims = self.random.sample(workers, 2 if fault == "kill_two" else 1)
            for worker in victims:
                worker.process.kill()
            time.sleep(0 if fault == "restart" else self.random.uniform(0, 2))
            for worker in victims:
                self.restart(worker)
        elif fault == "stop":
            worker = self.random.choice(workers)
            os.kill(worker.process.popen.pid, signal.SIGSTOP)
            time.sleep(self.random.choice([1, 5, 8]))
            os.kill(worker.process.popen.pid, signal.SIGCONT)
        else:
            self.damage(fault)

    def round(self, index):
        fault = self.random.choice(FAULTS)
        number = self.random.randrange(1, 23)
        sql, expected = self.expected[number]
        undisturbed = self.undisturbed[number]
        query = Query(self.cluster, sql, self.schema)
        self.disturb(fault, undisturbed)
        query.thread.join(DEADLINE)
        self.counts[fault] += 1
        what = f"{index}: q{number} with {fault}, {query.cursor.query_id}"
        if query.thread.is_alive():
            self.hung.append(what)
        elif query.error is not None:
            self.failed.append(f"{what}: {query.error}")
        elif not same(query.rows, expected):
            self.wrong.append(what)
        else:
            self.slower.append((fault, query.seconds / undisturbed, query.seconds - undisturbed))
        eventually(lambda: len(self.cluster.active_workers()) == len(self.cluster.workers), 20, "all workers are active")

    def left(self):
        """What is still there some time after the last query."""
        deadline = time.monotonic() + 15
        while True:
            found = [str(path) for path in self.files()]
            for worker in self.cluster.workers:
                if worker.tasks() or worker.memory():
                    found.append(f"{worker.name}: {worker.tasks()} tasks, {worker.memory()} bytes")
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    def table(self):
        print(f"{'fault':10} {'count':>5} {'time/undisturbed p50':>22} {'lost s p50':>10} {'max':>6}")
        for fault in FAULTS:
            ratios = [ratio for other, ratio, _ in self.slower if other == fault]
            lost = [seconds for other, _, seconds in self.slower if other == fault]
            if ratios:
                print(
                    f"{fault:10} {self.counts[fault]:5} {statistics.median(ratios):22.2f} "
                    f"{statistics.median(lost):10.2f} {max(lost):6.2f}"
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schema", default="sf1")
    parser.add_argument("--workers", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        spool = folder / "spool"
        exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": spool}
        options = {"coordinator_properties": {"retry-policy": "TASK"}, "exchange": exchange}
        with Cluster(folder, workers_wanted=arguments.workers, **options) as cluster:
            chaos = Chaos(cluster, spool, arguments.seed, arguments.schema)
            chaos.learn()
            for index in range(arguments.faults):
                chaos.round(index)
            left = chaos.left()
            chaos.table()
            for bad in (*chaos.wrong, *chaos.failed, *chaos.hung, *left):
                print("BAD", bad)
    print(
        f"{arguments.faults} faults, seed {arguments.seed}: {len(chaos.wrong)} wrong, "
        f"{len(chaos.failed)} failed, {len(chaos.hung)} hung, {len(left)} leaks"
    )
    return 1 if left or chaos.wrong or chaos.failed or chaos.hung else 0


if __name__ == "__main__":
    sys.exit(main())
