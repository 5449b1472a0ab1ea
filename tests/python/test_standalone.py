"""What a person types: standalone, sql, health, secret."""

import csv
import os
import re
import signal
import stat
import subprocess
import time

import pytest

from cluster import Process, binary, eventually, free_ports


def run(*arguments, timeout=60):
    return subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


def rows_of(text):
    return list(csv.reader(text.splitlines()))


def test_execute_prints_the_rows_alone():
    ended = run("standalone", "--execute", "SELECT name, nationkey FROM tpch.tiny.nation ORDER BY 2 LIMIT 2")
    assert ended.returncode == 0, ended.stderr
    assert rows_of(ended.stdout) == [["ALGERIA", "0"], ["ARGENTINA", "1"]]


def test_execute_joins_over_two_workers():
    sql = """SELECT r.name, count(*) FROM tpch.tiny.nation n JOIN tpch.tiny.region r ON n.regionkey = r.regionkey
             GROUP BY r.name ORDER BY 1"""
    ended = run("standalone", "--workers", 2, "--execute", sql)
    assert ended.returncode == 0, ended.stderr
    assert rows_of(ended.stdout) == [[name, "5"] for name in ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]]


def test_a_failed_query_exits_1_and_says_why_on_stderr():
    ended = run("standalone", "--execute", "SELECT nosuch FROM tpch.tiny.nation")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "Column 'nosuch' cannot be resolved" in ended.stderr


def test_two_standalones_run_side_by_side():
    command = [binary(), "standalone", "--execute", "SELECT count(*) FROM tpch.tiny.orders"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        stdout, stderr = one.communicate(timeout=60)
        assert (one.returncode, rows_of(stdout)) == (0, [["15000"]]), stderr


@pytest.fixture(scope="module")
def standalone(tmp_path_factory):
    """A standalone cluster that serves, and its port."""
    (port,) = free_ports(1)
    process = Process(tmp_path_factory.mktemp("standalone") / "log", "standalone", "--port", port)

    def healthy():
        assert process.running(), process.text()
        return run("health", "--url", f"http://127.0.0.1:{port}").returncode == 0

    eventually(healthy, 30, "a healthy standalone", interval=0.1)
    yield process, port
    process.stop()


def test_start_says_where_it_listens(standalone):
    process, port = standalone
    assert re.search(rf"http://(127\.0\.0\.1|localhost):{port}", process.text())


def test_sql_asks_a_server(standalone):
    _, port = standalone
    server = ["sql", "--server", f"http://127.0.0.1:{port}", "--catalog", "tpch", "--schema", "tiny"]
    ended = run(*server, "--execute", "SELECT count(*) FROM region")
    assert (ended.returncode, rows_of(ended.stdout)) == (0, [["5"]]), ended.stderr
    ended = run(*server, "--execute", "SELECT * FROM nosuch")
    assert ended.returncode == 1 and "nosuch" in ended.stderr


def test_sql_writes_trinos_formats(standalone):
    _, port = standalone
    server = ["sql", "--server", f"http://127.0.0.1:{port}", "--execute", "SELECT 1 AS a, 'x y' AS b, NULL AS c"]
    expected = {
        "CSV": '"1","x y",""\n',
        "CSV_HEADER": '"a","b","c"\n"1","x y",""\n',
        "CSV_UNQUOTED": "1,x y,\n",
        "TSV": "1\tx y\t\n",
        "JSON": '{"a":1,"b":"x y","c":null}\n',
    }
    for name, text in expected.items():
        ended = run(*server, "--output-format", name)
        assert (ended.returncode, ended.stdout) == (0, text), (name, ended.stderr)


def test_health_says_no_where_nothing_is():
    (port,) = free_ports(1)
    ended = run("health", "--url", f"http://127.0.0.1:{port}", timeout=15)
    assert ended.returncode != 0
    assert str(port) in ended.stderr


def test_sigterm_ends_an_idle_cluster_soon():
    (port,) = free_ports(1)
    process = subprocess.Popen([binary(), "standalone", "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: run("health", "--url", url).returncode == 0, 30, "healthy", interval=0.1)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - start < 5
    finally:
        process.kill()


def test_secrets_are_random_and_long():
    one, other = (run("secret", "generate").stdout.strip() for _ in range(2))
    assert one != other and len(one) >= 43


def test_a_secret_file_is_private_and_never_replaced(tmp_path):
    path = tmp_path / "secret"
    assert run("secret", "generate", "--output", path, "--if-absent").returncode == 0
    first = path.read_text()
    assert len(first.strip()) >= 43
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert run("secret", "generate", "--output", path, "--if-absent").returncode == 0
    assert path.read_text() == first
    ended = run("secret", "generate", "--output", path)
    assert ended.returncode != 0 and str(path) in ended.stderr
    assert path.read_text() == first
