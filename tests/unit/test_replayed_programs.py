"""Random programs: an ended run replays to the same facts, one cut anywhere as far as its record goes."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.ids import RunId
from magsag.testing import History
from tests.unit.test_replay import FILES, Program, one_leg, programs
from tests.unit.world import WORLD, Bench


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("programs"), FILES, sound=False)


@given(program=programs(), live=st.integers(0, 1000))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_random_programs_replay(project: Bench, program: Program, live: int) -> None:
    bench = project.on(MemoryStore())
    history = History(bench.app)
    one_leg(bench, live, program)
    WORLD.calls.clear()
    everything = len(history.facts)
    for count in {everything, everything // 2, everything * 3 // 4} - {0}:
        cut = bench.on(history.cut(count))
        found = asyncio.run(cut.app.replay.replay(RunId("r")))
        assert found.difference is None, (count, everything, found)
        cut.close()
    assert not WORLD.calls
    bench.close()
