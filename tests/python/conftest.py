"""The cluster that most suites share, and the rule that nothing is skipped unseen."""

import os

import pytest

from cluster import Cluster

_alive = []


def need(condition, reason):
    """Skips a test that cannot run here; in CI that is a failure."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; with CI=true a skip is a failure")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Discovery, a coordinator and three workers; no test may harm it."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        _alive.append(made)
        yield made
        _alive.remove(made)


@pytest.fixture
def own_cluster(tmp_path):
    """Makes clusters that the test may harm."""
    made = []

    def make(**options):
        one = Cluster(tmp_path / f"cluster-{len(made)}", **options)
        made.append(one)
        _alive.append(one)
        return one.__enter__()

    yield make
    for one in made:
        _alive.remove(one)
        one.__exit__()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for one in _alive:
            report.sections.append(("logs of the cluster's nodes", one.logs()))
