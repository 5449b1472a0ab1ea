"""The cluster of docker-compose.yml: up, healthy, right answers, larger, down, nothing left."""

import json
import os
import shutil
import subprocess
import uuid

import pytest
import trino

import compare
from cluster import ROOT, binary, eventually, free_ports
from conftest import need

TPCH = ROOT / "tests/tpch"


def run(*command, timeout=120, check=True, **environment):
    """The output of a command; its errors are in the failure."""
    env = {**os.environ, **environment}
    ended = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout
    )
    assert not check or ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def compose_command():
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return None


class Project:
    """One run of docker-compose.yml under a name, an image and a port of its own."""

    def __init__(self):
        self.name = f"waterbear-test-{uuid.uuid4().hex[:8]}"
        self.image = f"waterbear:{self.name}"
        (self.port,) = free_ports(1)

    def compose(self, *arguments, **options):
        environment = {"WATERBEAR_IMAGE": self.image, "WATERBEAR_PORT": str(self.port)}
        return run(*compose_command(), "-p", self.name, *arguments, **environment, **options)

    def left(self, kind):
        """Names of what Docker still has of this project."""
        listing = [kind, "ls", "--quiet"] if kind != "container" else ["container", "ls", "--all", "--quiet"]
        return run("docker", *listing, "--filter", f"label=com.docker.compose.project={self.name}").split()

    def health(self):
        """How many containers there are in each state of health, but for the one that makes the secret."""
        containers = json.loads(run("docker", "inspect", *self.left("container")))
        states = [one["State"]["Health"]["Status"] for one in containers if "Health" in one["State"]]
        return {state: states.count(state) for state in states}

    def wait_healthy(self, count):
        eventually(lambda: self.health() == {"healthy": count}, 60, f"{count} healthy services", interval=0.5)

    def cursor(self):
        options = {"host": "127.0.0.1", "port": self.port, "user": "test", "request_timeout": 60}
        return trino.dbapi.connect(catalog="tpch", schema="tiny", **options).cursor()

    def workers(self):
        sql = "SELECT count(*) FROM system.runtime.nodes WHERE NOT coordinator AND state = 'active'"
        return self.cursor().execute(sql).fetchall()[0][0]


@pytest.fixture(scope="module")
def project():
    """The cluster, up with one worker; everything of it is removed in the end, whatever happens."""
    docker = shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    need(docker and compose_command(), "there is no Docker daemon, or no docker-compose")
    made = Project()
    run("deploy/build-image.sh", made.image, WATERBEAR_BIN=str(binary().resolve()))
    try:
        made.compose("up", "--detach")
        yield made
    finally:
        print(made.compose("logs", "--no-color", "--tail", "60", check=False))
        made.compose("down", "--volumes", "--timeout", "5", check=False)
        run("docker", "image", "rm", "--force", made.image, check=False)


@pytest.mark.timeout(300)
def test_it_comes_up_healthy(project):
    project.wait_healthy(3)
    eventually(lambda: project.workers() == 1, 20, "one worker", interval=0.5)


def test_the_secret_is_in_the_volume_alone(project):
    shown = project.compose("config") + run("docker", "inspect", *project.left("container"))
    assert "${FILE:/secrets/secret}" in (ROOT / "deploy/compose/etc/config.properties").read_text()
    assert "shared-secret" not in shown


@pytest.mark.parametrize("number", [1, 3, 5, 9, 18, 21])
def test_tpch(project, number):
    cursor = project.cursor()
    rows = cursor.execute((TPCH / f"queries/q{number}.sql").read_text()).fetchall()
    names = [column.name for column in cursor.description]
    types = [column.type_code for column in cursor.description]
    compare.check(number, names, types, rows, TPCH / f"answers-sf0.01/q{number}.csv")


@pytest.mark.timeout(300)
def test_three_workers_answer_a_load(project):
    project.compose("up", "--detach", "--scale", "worker=3")
    project.wait_healthy(5)
    eventually(lambda: project.workers() == 3, 20, "three workers", interval=0.5)
    table = run("loadtest/run.sh", "smoke", "--server", f"http://127.0.0.1:{project.port}", "--seconds", "5")
    print(table)
    assert " 0 wrong, 0 errors" in table


@pytest.mark.timeout(300)
def test_down_leaves_only_the_named_volume(project):
    project.compose("down", "--timeout", "10")
    assert project.left("container") == []
    assert project.left("network") == []
    assert project.left("volume") == [f"{project.name}_secrets"]
