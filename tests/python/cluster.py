"""A real cluster of separate processes on this machine: discovery, a coordinator, workers.

Each node gets its own folder with `etc/`, `data/` and a log. A cluster ends only the processes that
it started, and they end when the test run dies.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import trino

ROOT = Path(__file__).resolve().parents[2]
TPCH = {
    "connector.name": "tpch",
    "tpch.column-naming": "STANDARD",
    "tpch.double-type-mapping": "DECIMAL",
}


def binary():
    """The release binary that the suites are about."""
    path = Path(os.environ.get("WATERBEAR_BIN", ROOT / "target/release/waterbear"))
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: `cargo xtask test` builds it and sets WATERBEAR_BIN")
    return path


def free_ports(count):
    """Ports that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def new_secret():
    """A secret as an operator makes it."""
    made = subprocess.run([binary(), "secret", "generate"], capture_output=True, text=True, timeout=20, check=True)
    return made.stdout.strip()


def eventually(condition, seconds, what, interval=0.02):
    """Waits until `condition()` is true, and gives back what it said."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(interval)


def write_properties(path, properties):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def _die_with_parent():
    """In the child: the kernel kills it when the test run ends, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """One run of the binary, its output in a file."""

    def __init__(self, log, *arguments, env=None):
        self.log = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(binary()), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                preexec_fn=_die_with_parent,
            )

    def running(self):
        return self.popen.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        """kill -9."""
        self.popen.kill()
        self.popen.wait(10)

    def stop(self):
        """SIGTERM, and -9 for one that does not listen."""
        if self.running():
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass
class Node:
    """One node: its folder, its ports and the process that runs it, if any."""

    role: str
    name: str
    folder: Path
    http: int
    https: int
    properties: dict
    process: Process = None

    @property
    def etc(self):
        return self.folder / "etc"

    @property
    def log(self):
        return self.folder / "node.log"

    def configure(self, environment, catalogs, exchange=None):
        node = {
            "node.environment": environment,
            "node.id": self.name,
            "node.data-dir": self.folder / "data",
            "node.internal-address": "127.0.0.1",
        }
        write_properties(self.etc / "node.properties", node)
        write_properties(self.etc / "config.properties", self.properties)
        if exchange:
            write_properties(self.etc / "exchange-manager.properties", exchange)
        for name, properties in catalogs.items():
            write_properties(self.etc / "catalog" / f"{name}.properties", properties)

    def start(self):
        self.process = Process(self.log, self.role, "--etc-dir", self.etc)
        return self

    def get(self, path, timeout=2, headers=None):
        """The JSON document at `path` of its HTTP port."""
        return json.loads(self.text(path, timeout, headers))

    def text(self, path, timeout=2, headers=None):
        """What is at `path` of its HTTP port."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", headers=headers or {})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read().decode()

    def status(self):
        """`/v1/status`, or None while nothing answers."""
        try:
            return self.get("/v1/status")
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def tasks(self):
        """How many tasks run here."""
        return self.get("/v1/status")["tasks"]

    def memory(self):
        """Bytes that queries have reserved here."""
        return self.get("/v1/status")["memoryInfo"]["pool"]["reservedBytes"]

    def wait_ready(self):
        def answers():
            assert self.process.running(), f"{self.name} ended at its start:\n{self.process.text()}"
            return self.status()

        eventually(answers, 30, f"{self.name} answers /v1/status")


@dataclass
class Cluster:
    """Discovery, a coordinator and workers over one secret."""

    folder: Path
    workers_wanted: int = 3
    https: bool = True
    secret: str = ""
    environment: str = "test"
    catalogs: dict = field(default_factory=lambda: {"tpch": TPCH})
    coordinator_properties: dict = field(default_factory=dict)
    worker_properties: dict = field(default_factory=dict)
    exchange: dict = None
    discovery: Node = None
    coordinator: Node = None
    workers: list = field(default_factory=list)

    def __enter__(self):
        self.secret = self.secret or new_secret()
        self.discovery = self._node("discovery", "discovery-1", {})
        self.coordinator = self._node("coordinator", "coordinator-1", self._coordinator())
        try:
            self.discovery.start()
            self.coordinator.start()
            for _ in range(self.workers_wanted):
                self.add_worker()
            for node in self.nodes():
                node.wait_ready()
            self.wait_for_workers(self.workers_wanted)
        except BaseException:
            print(self.logs())
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The coordinator first: it ends its queries, so that no worker waits for their tasks.
        for node in sorted(self.nodes(), key=lambda node: node.role != "coordinator"):
            if node.process:
                node.process.stop()

    def nodes(self):
        known = [self.discovery, self.coordinator, *self.workers]
        return [node for node in known if node]

    def add_worker(self, secret=None):
        """Starts one more worker; with its own secret where one is given."""
        name = f"worker-{len(self.workers) + 1}"
        properties = {**self._find_discovery(), **self.worker_properties}
        worker = self._node("worker", name, properties, secret)
        self.workers.append(worker)
        return worker.start()

    def connect(self, **options):
        """A connection of Trino's own client."""
        defaults = {"host": "127.0.0.1", "port": self.coordinator.http, "user": "test", "request_timeout": 60}
        return trino.dbapi.connect(**{**defaults, "catalog": "tpch", "schema": "tiny", **options})

    def query(self, sql, **options):
        """All rows of one statement."""
        with contextlib.closing(self.connect(**options)) as connection:
            return connection.cursor().execute(sql).fetchall()

    def active_workers(self):
        rows = self.query("SELECT node_id FROM system.runtime.nodes WHERE NOT coordinator AND state = 'active'")
        return {row[0] for row in rows}

    def wait_for_workers(self, count, seconds=30):
        def there():
            try:
                return len(self.active_workers()) == count
            except (OSError, trino.exceptions.Error, trino.exceptions.HttpError):
                return False

        eventually(there, seconds, f"{count} active workers in system.runtime.nodes")

    def logs(self, lines=60):
        """The ends of all logs, for a failed test."""
        parts = []
        for node in self.nodes():
            text = node.log.read_text(errors="replace") if node.log.exists() else "(no log)"
            parts.append(f"--- {node.name}\n" + "\n".join(text.splitlines()[-lines:]))
        return "\n".join(parts)

    def _node(self, role, name, properties, secret=None):
        folder = self.folder / name
        (folder / "data").mkdir(parents=True)
        secret_file = folder / "secret"
        secret_file.write_text((secret or self.secret) + "\n")
        http, https = free_ports(2)
        common = {
            "http-server.http.port": http,
            "internal-communication.shared-secret": "${FILE:%s}" % secret_file,
            "internal-communication.https.required": str(self.https).lower(),
        }
        if self.https and role != "coordinator":
            common["http-server.https.port"] = https
        node = Node(role, name, folder, http, https, {**common, **properties})
        node.configure(self.environment, self.catalogs, self.exchange)
        return node

    def _find_discovery(self):
        scheme, port = ("https", self.discovery.https) if self.https else ("http", self.discovery.http)
        return {"discovery.uri": f"{scheme}://127.0.0.1:{port}"}

    def _coordinator(self):
        return {"coordinator": "true", **self._find_discovery(), **self.coordinator_properties}
