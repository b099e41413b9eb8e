"""Markers, hypothesis profiles, whose processes are measured, and what happens to a test whose program is missing.

Refuses nothing else.
"""

import logging
import os
from collections.abc import Generator, Iterator
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from magsag.testing.postgres import Cluster, private_cluster
from ops.tools.needs import NEEDS, works

_SLOW_MACHINES: Final[dict[str, Any]] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=50, **_SLOW_MACHINES)
settings.register_profile("ci", max_examples=50, derandomize=True, print_blob=True, **_SLOW_MACHINES)
settings.register_profile("slow", max_examples=2000, **_SLOW_MACHINES)
settings.load_profile("ci" if os.environ.get("CI") else "default")

_MEASURING: Final = "COVERAGE_PROCESS_CONFIG"
"""the variable by which coverage follows into processes"""
_measuring: Final[dict[str, str]] = {}
_left_out: Final[dict[str, list[str]]] = {}


_SCHEMAS: Final = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The Postgres server of this session; with xdist each worker has its own."""
    with private_cluster() as running:
        yield running


@pytest.fixture
def dsn(cluster: Cluster) -> str:
    """A ledger of its own in that server."""
    return cluster.dsn(f"test_{next(_SCHEMAS)}")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets logging up for itself; the next test may not feel it."""
    root = logging.getLogger()
    handlers, level, raises = list(root.handlers), root.level, logging.raiseExceptions
    yield
    root.setLevel(level)
    logging.raiseExceptions = raises
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes long; run by `make test-slow`")
    config.addinivalue_line("markers", "prove: a proof with full counts; run by `make prove`")
    config.addinivalue_line("markers", "measured(yes=True): the processes it starts count for coverage")
    config.addinivalue_line("markers", f"needs(program): runs where the program works: {', '.join(NEEDS)}")
    if (told := os.environ.pop(_MEASURING, None)) is not None:
        _measuring[_MEASURING] = told


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Follow into processes only where a test says so: measuring is slow, and breaks under failing disks."""
    marker = item.get_closest_marker("measured")
    if marker is not None and marker.args != (False,):
        os.environ.update(_measuring)
    try:
        return (yield)
    finally:
        os.environ.pop(_MEASURING, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests whose program is missing; the summary names them, and in CI the run fails."""
    wanted = {name for item in items for name in _needed(item)}
    absent = {name for name in wanted if not works(NEEDS[name])}
    lacking = {item: absent.intersection(_needed(item)) for item in items}
    for item, names in lacking.items():
        for name in names:
            _left_out.setdefault(name, []).append(item.nodeid)
    items[:] = [item for item in items if not lacking[item]]
    config.hook.pytest_deselected(items=[item for item, names in lacking.items() if names])


def _needed(item: pytest.Item) -> Iterator[str]:
    return (name for marker in item.iter_markers("needs") for name in marker.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, tests in sorted(_left_out.items()):
        terminalreporter.write_line(f"did not run, for {name} does not work here:", yellow=True)
        for test in tests:
            terminalreporter.write_line(f"  {test}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    workeroutput = getattr(session.config, "workeroutput", None)
    if workeroutput is not None:
        workeroutput["left_out"] = _left_out
    elif _left_out and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """With xdist the workers collect; what one left out, all did."""
    _left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}))
