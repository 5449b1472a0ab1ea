"""Real faults in real processes: TPC-H queries while workers are killed, stand still and come back,
coordinator and discovery stand still or die, spooled files are damaged and a disk is full. Rows must
be those of an undisturbed run, and after each fault nothing may be left of the query.

    python chaos.py --policy TASK --faults 300 --seed 1

Each kind of fault comes once before any comes again. Ends with a table, and with 1 if an answer was
wrong, a query failed or hung, a node that only stood behind another's standstill was lost, or anything
was left. Under NONE there is no spool to damage, and a query may fail with an error.
"""

import argparse
import collections
import contextlib
import ctypes
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
PROCESS_FAULTS = [
    "kill",
    "kill_two",
    "restart",
    "stop",
    "stop_coordinator",
    "stop_discovery",
    "kill_discovery",
    "kill_coordinator",
]
SPOOL_FAULTS = ["flip", "truncate", "delete", "full"]
# A coordinator or discovery stands still for so long.
STANDSTILL = 5
# A worker that is silent for 3 s is lost; some more, until everybody has heard of it.
KNOWN = 5
# What a query leaves is deleted at its end, and once more a lease later.
CLEAN = 15
# What a dead coordinator's queries hold on workers, and leave in the spool, is gone so soon.
FREED, SWEPT = 10, 60
# Of a worker (task.max-spooled-tasks).
PLACES = 2
# Connections come and go with other nodes' restarts.
MORE_DESCRIPTORS = 40
# Of the base directory that fills up: a query's outputs fit by far.
DISK_MEGABYTES = {"tiny": 64, "sf1": 1024}


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


def files(folder):
    """All files below, whatever comes and goes meanwhile."""
    return [pathlib.Path(found, name) for found, _, names in os.walk(folder) for name in names]


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """A filesystem of its own at a folder. Only this thread and what it starts see it, and it ends with
    them. Gives why there is none, where mounting is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, recursive_private, detach = 0x2_0000, 0x4_4000, 2
    folder.mkdir(parents=True)

    def mount(source, target, kind, flags, options):
        return libc.mount(source, target, kind, ctypes.c_ulong(flags), options) == 0

    mounted = (
        libc.unshare(new_namespace) == 0
        and mount(None, b"/", None, recursive_private, None)
        and mount(b"tmpfs", bytes(folder), b"tmpfs", 0, f"size={megabytes}m".encode())
    )
    reason = "" if mounted else f"a filesystem cannot be mounted: {os.strerror(ctypes.get_errno())}"
    try:
        yield reason
    finally:
        if mounted:
            libc.umount2(bytes(folder), detach)


@contextlib.contextmanager
def full(folder):
    """Keeps the filesystem of a folder full: what others free meanwhile is taken as well."""
    ended = threading.Event()
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:

        def fill():
            while not ended.is_set():
                try:
                    file.write(bytes(1 << 20))
                except OSError:
                    ended.wait(0.001)

        thread = threading.Thread(target=fill, daemon=True)
        thread.start()
        try:
            eventually(lambda: os.statvfs(folder).f_bavail == 0, 30, f"{folder} is full", interval=0.001)
            yield
        finally:
            ended.set()
            thread.join()
            ballast.unlink()


@contextlib.contextmanager
def frozen(node):
    """SIGSTOP, and at the end SIGCONT."""
    os.kill(node.process.popen.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.process.popen.pid, signal.SIGCONT)


def lost_nodes(coordinator, since=0):
    """What the coordinator has logged of workers that it has lost, after so many characters."""
    return [line for line in coordinator.process.text()[since:].splitlines() if "worker is lost" in line]


def busy(nodes):
    """Tasks and memory of nodes that run."""
    found = []
    for node in nodes:
        status = node.get("/v1/status")
        tasks, memory = status["tasks"], status["memoryInfo"]["pool"]["reservedBytes"]
        if tasks or memory:
            found.append(f"{node.name}: {tasks} tasks, {memory} bytes")
    return found


class Traces:
    """What queries may leave behind, seen from outside: objects and folders of the spool, temporary
    files, tasks, memory, open requests and descriptors; and, by asking for them, places in the scheduler."""

    def __init__(self, cluster, spools):
        self.cluster, self.spools = cluster, spools
        # By role.
        self.descriptors, self.requests = collections.Counter(), collections.Counter()

    def nodes(self):
        return [self.cluster.coordinator, *self.cluster.workers]

    def start(self):
        """Notes what is there when all queries have run once and nothing is running."""
        for node in self.nodes():
            self.descriptors[node.role] = max(self.descriptors[node.role], len(self._descriptors(node)))
            self.requests[node.role] = max(self.requests[node.role], self._requests(node))

    def found(self):
        """What is there and should not be; the nodes are all running."""
        found = busy(self.nodes())
        for spool in self.spools:
            found += map(str, files(spool))
            found += [f"{folder} (a folder)" for folder in spool.glob("waterbear-*/*/*")]
        for node in self.nodes():
            spill = node.folder / "data" / f"{node.role}-{node.name}" / "spill"
            assert spill.is_dir(), f"{spill} is not where operators spill"
            found += map(str, files(spill))
            if (requests := self._requests(node)) > self.requests[node.role]:
                found.append(f"{node.name}: {requests} requests are open")
            descriptors = self._descriptors(node)
            folders = [str(folder) for folder in (*self.spools, spill)]
            found += [f"{node.name} has {path} open" for path in descriptors if path.startswith(tuple(folders))]
            most = self.descriptors[node.role] + MORE_DESCRIPTORS
            if len(descriptors) > most:
                found.append(f"{node.name}: {len(descriptors)} descriptors, at the start {most - MORE_DESCRIPTORS}")
        return found

    def after(self, seconds):
        """What is still there after so many seconds."""
        until = time.monotonic() + seconds
        while True:
            found = self.found()
            if not found or time.monotonic() > until:
                return found
            time.sleep(0.1)

    def places(self):
        """Workers of which the scheduler does not use all places, in queries of many tasks."""
        most = collections.Counter()
        for _ in range(20):
            cursor = self.cluster.connect().cursor()
            cursor.execute("SELECT l_returnflag, sum(l_quantity) FROM tpch.sf1.lineitem GROUP BY 1").fetchall()
            info = self.cluster.coordinator.get(f"/v1/query/{cursor.query_id}", headers={"X-Trino-User": "test"})
            for worker in self.cluster.workers:
                ran = [task["stats"] for task in info["tasks"] if task["nodeId"] == worker.name]
                for one in ran:
                    at = one["created_ms"]
                    overlap = sum(other["created_ms"] <= at < other["ended_ms"] for other in ran)
                    most[worker.name] = max(most[worker.name], overlap)
            short = [worker.name for worker in self.cluster.workers if most[worker.name] < PLACES]
            if not short:
                break
        return [f"{name}: {most[name]} of {PLACES} places are used" for name in short]

    def _descriptors(self, node):
        """What a process has open."""
        folder = pathlib.Path(f"/proc/{node.process.popen.pid}/fd")
        opened = []
        for descriptor in folder.iterdir():
            with contextlib.suppress(OSError):
                opened.append(os.readlink(descriptor))
        return opened

    def _requests(self, node):
        """Requests that a node has not yet answered."""
        gauge = "waterbear_http_requests_in_flight"
        lines = [line for line in node.text("/metrics").splitlines() if line.startswith(gauge)]
        return sum(float(line.split()[-1]) for line in lines)


class Chaos:
    def __init__(self, cluster, spools, disk, arguments):
        self.cluster, self.spools, self.disk = cluster, spools, disk
        self.schema, self.policy = arguments.schema, arguments.policy
        self.random = random.Random(arguments.seed)
        self.traces = Traces(cluster, spools)
        self.kinds, self.deck = arguments.kinds, []
        self.counts, self.errors = collections.Counter(), collections.Counter()
        self.wrong, self.failed, self.hung, self.lost, self.left = [], [], [], [], []
        self.expected, self.undisturbed = {}, {}
        self.slower, self.freed, self.swept = [], [], []
        self.known = 0

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
        self.traces.start()

    def next_fault(self):
        if not self.deck:
            self.deck = self.random.sample(self.kinds, len(self.kinds))
        return self.deck.pop()

    def restart(self, node):
        node.start()
        node.wait_ready()

    def damage(self, how):
        """Damages a file of the spool, once there is one."""
        until = time.monotonic() + 2
        while time.monotonic() < until:
            found = [path for spool in self.spools for path in files(spool)]
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
        workers, coordinator, discovery = self.cluster.workers, self.cluster.coordinator, self.cluster.discovery
        if fault in ("kill", "kill_two", "restart"):
            victims = self.random.sample(workers, 2 if fault == "kill_two" else 1)
            for worker in victims:
                worker.process.kill()
            time.sleep(0 if fault == "restart" else self.random.uniform(0, 2))
            for worker in victims:
                self.restart(worker)
        elif fault == "stop":
            with frozen(self.random.choice(workers)):
                time.sleep(self.random.choice([1, 5, 8]))
        elif fault in ("stop_coordinator", "stop_discovery"):
            with frozen(coordinator if fault == "stop_coordinator" else discovery):
                time.sleep(STANDSTILL)
        elif fault == "kill_discovery":
            discovery.process.kill()
            time.sleep(self.random.uniform(0, 4))
            self.restart(discovery)
        elif fault == "kill_coordinator":
            coordinator.process.kill()
            killed = time.monotonic()
            with contextlib.suppress(AssertionError):  # said with what is left
                eventually(lambda: not busy(workers), FREED + 5, "tasks and memory are freed")
            self.freed.append(time.monotonic() - killed)
            self.restart(coordinator)
        elif fault == "full":
            with full(self.disk):
                time.sleep(self.random.uniform(0.2, 2))
        else:
            self.damage(fault)

    def round(self, index):
        fault = self.next_fault()
        innocent = fault in ("stop_coordinator", "stop_discovery", "kill_discovery")
        if innocent:
            # What was done to workers before is known.
            time.sleep(max(0, self.known - time.monotonic()))
        number = self.random.randrange(1, 23)
        sql, expected = self.expected[number]
        undisturbed = self.undisturbed[number]
        logged = len(self.cluster.coordinator.process.text())
        query = Query(self.cluster, sql, self.schema)
        self.disturb(fault, undisturbed)
        disturbed = time.monotonic()
        query.thread.join(DEADLINE)
        self.counts[fault] += 1
        what = f"{index}: q{number} with {fault}, {query.cursor.query_id}"
        if query.thread.is_alive():
            self.hung.append(what)
        elif query.error is not None:
            self.errors[fault] += 1
            # The client of a dead coordinator is told so.
            if self.policy == "TASK" and fault != "kill_coordinator":
                self.failed.append(f"{what}: {query.error}")
        elif not same(query.rows, expected):
            self.wrong.append(what)
        else:
            self.slower.append((fault, query.seconds / undisturbed, query.seconds - undisturbed))
        eventually(lambda: len(self.cluster.active_workers()) == len(self.cluster.workers), 20, "all workers are active")
        if innocent:
            self.lost += [f"{what}: {line}" for line in lost_nodes(self.cluster.coordinator, logged)]
        elif fault not in SPOOL_FAULTS:
            self.known = time.monotonic() + KNOWN
        traces = self.traces.places() if self.policy == "TASK" else []
        traces += self.traces.after(SWEPT if fault == "kill_coordinator" else CLEAN)
        self.left += [f"{what} has left {trace}" for trace in traces]
        if fault == "kill_coordinator":
            self.swept.append(time.monotonic() - disturbed)
            if self.freed[-1] > FREED:
                self.left.append(f"{what}: workers have freed all after {self.freed[-1]:.1f} s")

    def run(self, faults):
        for index in range(faults):
            self.round(index)
            if self.left:
                # What is there now would be found after each fault that follows.
                break

    def bad(self):
        return [*self.wrong, *self.failed, *self.hung, *self.lost, *self.left]

    def table(self):
        print(f"{'fault':17} {'count':>5} {'errors':>6} {'time/undisturbed p50':>22} {'lost s p50':>10} {'max':>6}")
        for fault in self.kinds:
            ratios = [ratio for other, ratio, _ in self.slower if other == fault]
            lost = [seconds for other, _, seconds in self.slower if other == fault]
            line = f"{fault:17} {self.counts[fault]:5} {self.errors[fault]:6}"
            if ratios:
                line += f" {statistics.median(ratios):22.2f} {statistics.median(lost):10.2f} {max(lost):6.2f}"
            print(line)
        if self.freed:
            print(
                f"coordinator killed {self.counts['kill_coordinator']} times: workers free after at most "
                f"{max(self.freed):.1f} s, all swept at most {max(self.swept):.1f} s after its restart"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", choices=["TASK", "NONE"], default="TASK")
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schema", choices=DISK_MEGABYTES, default="sf1")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kinds", type=lambda text: text.split(","), help="faults, separated by commas; all if absent")
    arguments = parser.parse_args()
    known = PROCESS_FAULTS + (SPOOL_FAULTS if arguments.policy == "TASK" else [])
    arguments.kinds = arguments.kinds or known
    if unknown := set(arguments.kinds) - set(known):
        parser.error(f"--kinds: {', '.join(sorted(unknown))}; under {arguments.policy} there are {', '.join(known)}")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        disk = folder / "small"
        reason = stack.enter_context(small_disk(disk, DISK_MEGABYTES[arguments.schema]))
        spools = [folder / "spool", *([] if reason else [disk])]
        if reason and "full" in arguments.kinds:
            print(f"no disk is filled: {reason}")
            arguments.kinds.remove("full")
        exchange = {"exchange-manager.name": "filesystem", "exchange.base-directories": ",".join(map(str, spools))}
        options = {
            "coordinator_properties": {"retry-policy": arguments.policy},
            "worker_properties": {"task.max-spooled-tasks": PLACES},
            "exchange": exchange,
        }
        cluster = stack.enter_context(Cluster(folder, workers_wanted=arguments.workers, **options))
        chaos = Chaos(cluster, spools, disk, arguments)
        chaos.learn()
        chaos.run(arguments.faults)
        chaos.table()
        for bad in chaos.bad():
            print("BAD", bad)
    print(
        f"{sum(chaos.counts.values())} faults under {arguments.policy}, seed {arguments.seed}: {len(chaos.wrong)} wrong, "
        f"{len(chaos.failed)} failed, {len(chaos.hung)} hung, {len(chaos.lost)} nodes lost without reason, "
        f"{len(chaos.left)} leaks"
    )
    return 1 if chaos.bad() else 0


if __name__ == "__main__":
    sys.exit(main())
