"""What crosses the wire between nodes cannot be read; the same check sees all where TLS is off."""

import re
import shutil
import signal
import subprocess

import pytest

from cluster import eventually
from conftest import need

MARKER = "MARKER-5d1c0ffee0"
# The marker is in the plan; the clerks' names are column values that are nowhere in the statement.
SQL = f"""SELECT concat('{MARKER}', o_clerk) AS marked, count(*) AS n, max(o_comment) FROM tpch.sf1.orders
          GROUP BY 1 HAVING count(*) > 0 ORDER BY 2, 1"""
COLUMN_VALUE = b"Clerk#00000"
# A token's first bytes, plain or as HTTP/2 compresses them ("eyJ0" and "eyJh").
TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{16,}")
TOKEN_IN_HTTP2 = re.compile(rb"\x2f\xac\xa0|\x2f\xac\xb3")


class Capture:
    """tcpdump on loopback, but for the clients' port."""

    def __init__(self, path, without_port):
        self.path = path
        command = ["tcpdump", "-i", "lo", "-n", "-U", "--immediate-mode", "-s", "0", "-B", "65536", "-w", str(path)]
        command += ["tcp", "and", "not", "port", str(without_port)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stderr.readline()
        while line and "listening on" not in line:
            line = self.process.stderr.readline()
        assert line, "tcpdump did not start"
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=20)[1]
        dropped = re.search(r"(\d+) packets? dropped by kernel", said)
        assert dropped and dropped.group(1) == "0", f"the capture is not whole: {said}"


def capture_a_query(make_cluster, path, https):
    """The bytes between the nodes of a new cluster during one query, and its own start."""
    can = shutil.which("tcpdump") and subprocess.run(["tcpdump", "-D"], capture_output=True).returncode == 0
    need(can, "tcpdump is not there, or may not capture")
    cluster = make_cluster(https=https)
    with Capture(path, cluster.coordinator.http):
        rows = cluster.query(SQL)
        assert len(rows) == 1000 and rows[0][0].startswith(MARKER + "Clerk#")
        # Announcements go on for a second or two: tokens cross the wire at each.
        eventually(lambda: cluster.query("SELECT count(*) FROM nation") == [[25]], 5, "a second query")
    return path.read_bytes()


@pytest.mark.timeout(240)
def test_nothing_can_be_read_between_nodes(own_cluster, tmp_path):
    captured = capture_a_query(own_cluster, tmp_path / "lo.pcap", https=True)
    assert len(captured) > 100_000, "the query did not cross the wire: nothing was tested"
    assert MARKER.encode() not in captured
    assert COLUMN_VALUE not in captured
    assert b"GROUP BY" not in captured
    assert not TOKEN.search(captured)


@pytest.mark.timeout(240)
def test_the_same_capture_sees_all_without_tls(own_cluster, tmp_path):
    """So the check above can fail."""
    captured = capture_a_query(own_cluster, tmp_path / "lo.pcap", https=False)
    assert MARKER.encode() in captured
    assert COLUMN_VALUE in captured
    assert TOKEN.search(captured) or TOKEN_IN_HTTP2.search(captured)
