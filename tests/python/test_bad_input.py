"""Bad input: one clear error that names it, no hang, no panic, no effect on others."""

import json
import socket
import subprocess
import time
import http.client
import urllib.error
import urllib.request

import pytest

from cluster import TPCH, Process, binary, eventually, free_ports, new_secret, write_properties


class Setup:
    """A folder that a coordinator could start from, for a test to spoil."""

    def __init__(self, folder):
        self.folder = folder
        self.etc = folder / "etc"
        self.port, discovery = free_ports(2)
        self.config = {
            "coordinator": "true",
            "http-server.http.port": self.port,
            "discovery.uri": f"https://127.0.0.1:{discovery}",
            "internal-communication.shared-secret": new_secret(),
        }
        self.node = {
            "node.environment": "test",
            "node.id": "coordinator-1",
            "node.internal-address": "127.0.0.1",
            "node.data-dir": folder / "data",
        }
        self.catalog = dict(TPCH)

    def write(self):
        (self.folder / "data").mkdir(exist_ok=True)
        write_properties(self.etc / "config.properties", self.config)
        write_properties(self.etc / "node.properties", self.node)
        write_properties(self.etc / "catalog/tpch.properties", self.catalog)

    def refused(self, *arguments):
        """What a start says that must fail, in time, with a non-zero exit."""
        self.write()
        command = [binary(), "coordinator", "--etc-dir", self.etc, *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=15)
        assert ended.returncode not in (0, 101), f"exit {ended.returncode}: {ended.stderr}"
        assert "panicked" not in ended.stderr
        return ended.stderr


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def test_a_typo_in_a_catalog_file(setup):
    setup.catalog["tpch.colum-naming"] = setup.catalog.pop("tpch.column-naming")
    said = setup.refused()
    assert "tpch.colum-naming" in said
    assert "tpch.column-naming" in said, "the nearest known name"
    assert "tpch.properties" in said, "the file"


def test_an_unknown_connector(setup):
    setup.catalog = {"connector.name": "tpcj"}
    said = setup.refused()
    assert "tpcj" in said and "connector.name" in said


def test_an_unknown_property(setup):
    setup.config["discovery.urj"] = "x"
    said = setup.refused()
    assert "discovery.urj" in said and "discovery.uri" in said and "config.properties" in said


def test_all_problems_are_said_at_once(setup):
    setup.config["no.such-property"] = "1"
    setup.config["http-server.http.port"] = "eighty"
    setup.node["node.environment"] = "Not Valid"
    setup.catalog["tpch.double-type-mapping"] = "FLOAT"
    said = setup.refused("-D", "another.unknown=2")
    for name in [
        "no.such-property",
        "http-server.http.port",
        "node.environment",
        "tpch.double-type-mapping",
        "another.unknown",
    ]:
        assert name in said


def test_a_short_secret_is_refused_and_not_printed(setup):
    setup.config["internal-communication.shared-secret"] = "hunter2hunter2"
    said = setup.refused()
    assert "internal-communication.shared-secret" in said
    assert "hunter2" not in said


def test_a_port_in_use(setup):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", setup.port))
        taken.listen()
        said = setup.refused()
    assert str(setup.port) in said and "http-server.http.port" in said


def test_a_data_folder_that_is_a_file(setup):
    place = setup.folder / "not-a-folder"
    place.write_text("")
    setup.node["node.data-dir"] = place
    said = setup.refused()
    assert "node.data-dir" in said and str(place) in said


def test_a_folder_without_configuration(tmp_path):
    command = [binary(), "worker", "--etc-dir", tmp_path / "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=15)
    assert ended.returncode not in (0, 101)
    assert "nowhere" in ended.stderr or "node.environment" in ended.stderr


def test_an_unreachable_discovery_is_named_and_does_not_hold_up_the_end(setup):
    setup.write()
    process = Process(setup.folder / "node.log", "coordinator", "--etc-dir", setup.etc)
    try:
        address = setup.config["discovery.uri"].removeprefix("https://")
        eventually(lambda: address in process.text(), 5, "the log names the discovery that does not answer")
        assert process.running(), process.text()
        process.popen.terminate()
        process.popen.wait(5)
    finally:
        process.stop()


def test_an_unknown_command_line_is_refused():
    ended = subprocess.run([binary(), "wroker"], capture_output=True, text=True, timeout=15)
    assert ended.returncode not in (0, 101)
    assert "wroker" in ended.stderr


def post(port, body, headers=None, path="/v1/statement"):
    """Status and text of one POST."""
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, data=body, headers=headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def test_statements_that_are_none(cluster):
    port, user = cluster.coordinator.http, {"X-Trino-User": "test"}
    assert post(port, b"", user)[0] == 400
    assert post(port, b"SELECT 1")[0] == 401, "no user"
    assert post(port, b"\xff\xfe\x00garbage", user)[0] in (200, 400)
    assert post(port, b"SELECT 1", {**user, "X-Trino-Session": "no equals sign"})[0] == 400
    assert post(port, b"SELECT 1", {**user, "X-Trino-Schema": "tiny"})[0] == 400, "a schema without catalog"
    assert 400 <= post(port, b"x" * 64, user, "/v1/no/such/path")[0] < 500
    assert list(cluster.query("SELECT 1")[0]) == [1]


def test_a_statement_of_many_megabytes_is_refused(cluster):
    body = b"SELECT '" + b"x" * (40 << 20) + b"'"
    try:
        status, _ = post(cluster.coordinator.http, body, {"X-Trino-User": "test"})
        assert status in (400, 413)
    except (urllib.error.URLError, ConnectionError):
        pass  # refused before the body was read
    assert list(cluster.query("SELECT 1")[0]) == [1]


def test_a_deep_expression_fails_alone(cluster):
    sql = "SELECT " + "(" * 5_000 + "1" + ")" * 5_000
    status, text = post(cluster.coordinator.http, sql.encode(), {"X-Trino-User": "test"})
    deadline = time.monotonic() + 30
    answer = json.loads(text) if status == 200 else {}
    while "nextUri" in answer and time.monotonic() < deadline:
        with urllib.request.urlopen(answer["nextUri"], timeout=10) as page:
            answer = json.load(page)
    assert status >= 400 or "error" in answer or answer.get("stats", {}).get("state") == "FINISHED"
    assert list(cluster.query("SELECT 1")[0]) == [1]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 4096,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/statement HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x41" * 512,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 512,
    ],
)
def test_garbage_on_every_port_harms_nothing(cluster, garbage):
    for node in cluster.nodes():
        for port in {node.http, node.https} if node.role != "coordinator" else {node.http}:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
                stream.settimeout(2)
                try:
                    stream.sendall(garbage)
                    stream.shutdown(socket.SHUT_WR)
                    while stream.recv(4096):
                        pass
                except OSError:
                    pass  # cut off, or left waiting: both are an answer to garbage
    assert all(node.process.running() for node in cluster.nodes())
    assert cluster.query("SELECT count(*) FROM nation") == [[25]]


def test_internal_routes_refuse_a_stranger(cluster):
    """The HTTP ports serve no internal route, and the internal ports no plain HTTP."""
    for node in cluster.workers:
        for path in ["/v1/task/x.0.0.0", "/v1/task"]:
            assert post(node.http, b"{}", path=path)[0] in (401, 403, 404, 405)
            with pytest.raises((urllib.error.URLError, OSError, http.client.HTTPException)):
                post(node.https, b"{}", path=path)
