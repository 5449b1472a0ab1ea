"""`waterbear sql` at a terminal: prompt, history, completion, progress, pager, Ctrl-C."""

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from cluster import binary, eventually

ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>78])")


class Terminal:
    """The client on a terminal of its own."""

    def __init__(self, cluster, folder, *arguments, pager=""):
        self.seen = ""
        self.raw = ""
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "HOME": str(folder), "TRINO_PAGER": pager, "COLUMNS": "120"}
        server = ["sql", f"http://127.0.0.1:{cluster.coordinator.http}/tpch/tiny", *arguments]
        self.process = subprocess.Popen(
            [str(binary()), *server],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )
        os.close(slave)

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                part = os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                break
            self.raw += part
            self.seen = ESCAPES.sub("", self.raw)
        return self.seen

    def expect(self, pattern, seconds=20):
        """Waits for a pattern after what was expected before."""

        def found():
            return re.search(pattern, self.read(), re.S)

        match = eventually(found, seconds, f"{pattern!r} in {self.seen[-500:]!r}")
        self.raw = self.seen = self.seen[match.end() :]
        return match

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        os.close(self.master)


@pytest.fixture
def terminal(cluster, tmp_path):
    made = []

    def make(*arguments, **options):
        made.append(Terminal(cluster, tmp_path, *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


PROMPT = r"waterbear:tpch\.tiny> "


def test_statements_of_several_lines_and_their_summary(terminal):
    screen = terminal()
    screen.expect(PROMPT)
    screen.type("SELECT r_name\r")
    screen.expect(r"-> ")
    screen.type("FROM region ORDER BY 1;\r")
    screen.expect(r"r_name\s+\r?\n-+\r?\n AFRICA\s+\r?\n AMERICA.*\(5 rows\)")
    screen.expect(r"Query \d+_\d+_\d+_\w+, FINISHED, \d nodes?\r?\nSplits: \d+ total, \d+ done \(100.00%\)")
    screen.expect(PROMPT)
    screen.type("quit\r")
    assert screen.process.wait(10) == 0


def test_errors_show_their_place_and_the_prompt_goes_on(terminal):
    screen = terminal()
    screen.expect(PROMPT)
    screen.type("SELECT nosuch FROM region;\r")
    screen.expect(r"Column 'nosuch' cannot be resolved\r?\nLINE 1: SELECT nosuch FROM region\r?\n {15}\^")
    screen.expect(PROMPT)
    screen.type("USE sf1;\r")
    screen.expect(r"waterbear:tpch\.sf1> ")
    screen.type("\x04")
    assert screen.process.wait(10) == 0


def test_names_are_completed_and_history_is_kept(terminal):
    screen = terminal()
    screen.expect(PROMPT)

    def completed():
        screen.type("select count(*) from partsu\t")
        done = "partsupp" in screen.read(0.3)
        screen.type("\x15")  # Ctrl-U: the line is gone
        screen.read(0.1)
        screen.raw = screen.seen = ""
        return done

    eventually(completed, 20, "a table's name is completed", interval=0.5)
    screen.type("sel\t")
    screen.expect(r"select")
    screen.type(" 42 AS answer;\r")
    screen.expect(r"42.*\(1 row\)")
    screen.expect(PROMPT)
    screen.type("quit\r")
    assert screen.process.wait(10) == 0
    again = terminal()
    again.expect(PROMPT)
    again.type("\x1b[A")  # up
    again.expect(r"select 42 AS answer;")


def test_ctrl_c_cancels_the_query_and_progress_is_shown_until_then(terminal, cluster):
    screen = terminal()
    screen.expect(PROMPT)
    screen.type("SELECT count(*), sum(l_extendedprice), max(l_comment) FROM tpch.sf100.lineitem;\r")
    screen.expect(r"\d:\d\d RUNNING .*stages \d+/\d+ .*splits \d+/\d+ .*\[[^]]* rows, [^]]*\]", 30)
    started = time.monotonic()
    screen.type("\x03")
    screen.expect(r"Query aborted by user")
    screen.expect(PROMPT)
    assert time.monotonic() - started < 5
    eventually(lambda: all(worker.tasks() == 0 for worker in cluster.workers), 10, "no task is left")
    sql = "SELECT state FROM system.runtime.queries WHERE query LIKE 'SELECT count(*), sum%sf100%'"
    assert cluster.query(sql) == [["FAILED"]]


def test_rows_go_through_the_pager(terminal):
    screen = terminal(pager="sed s/^/paged:/")
    screen.expect(PROMPT)
    screen.type("SELECT 7 AS seven;\r")
    screen.expect(r"paged: seven.*paged:     7")
    screen.expect(PROMPT)
    # A pager that is left early ends the query, not the client.
    screen.type("quit\r")
    early = terminal(pager="head -n 3")
    early.expect(PROMPT)
    early.type("SELECT l_orderkey FROM tpch.sf1.lineitem;\r")
    early.expect(r"orderkey")
    early.expect(PROMPT, 30)
