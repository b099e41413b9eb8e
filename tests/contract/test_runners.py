"""The runners under the suite that each adapter passes, and runners that must not pass it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.postgres.store import PostgresStore
from magsag.app import App
from magsag.domain.ids import RunId
from magsag.engine.table import Illegal
from magsag.ports.ledger import Store
from magsag.ports.runner import Told
from magsag.testing import forgetful
from magsag.testing.runner_suite import Carry, Place, RunnerSuite


def locally(app: App, runs: Sequence[RunId]) -> None:
    async def carry() -> None:
        await asyncio.gather(*(app.runs.resume(run) for run in runs))

    asyncio.run(carry())


def as_a_worker(app: App, runs: Sequence[RunId]) -> None:
    failed: list[Exception] = []

    def told(run: RunId, told: Told | Exception) -> None:
        if isinstance(told, Exception):
            failed.append(told)

    asyncio.run(app.worker("test", 4, told).serve(once=True))
    if failed:
        raise failed[0]


class TestLocal(RunnerSuite):
    @pytest.fixture
    def carry(self) -> Carry:
        return locally


class TestWorker(RunnerSuite):
    @pytest.fixture
    def carry(self) -> Carry:
        return as_a_worker


@pytest.mark.needs("postgres")
class TestWorkerOnPostgres(TestWorker):
    @pytest.fixture
    def place(self, tmp_path: Path, dsn: str) -> Iterator[Place]:
        class InPostgres(Place):
            def store(self) -> Store:
                return PostgresStore(dsn, tmp_path)

        with closing(InPostgres(tmp_path)) as place:
            yield place


def test_a_runner_that_drives_nothing_fails(tmp_path: Path) -> None:
    with closing(Place(tmp_path)) as place, pytest.raises(AssertionError):
        TestLocal().test_a_run_that_is_submitted_twice_acts_once(place, lambda app, runs: None)


class Forgetting(Place):
    """Intents never reach the ledger."""

    def store(self) -> Store:
        return forgetful(super().store())


def test_a_store_that_lets_intents_go_fails(tmp_path: Path) -> None:
    def everywhere() -> None:
        for number in range(1, 8):
            with closing(Forgetting(tmp_path / str(number))) as place:
                TestLocal().test_a_leg_that_broke_at_any_commit_is_finished_by_another_process(place, locally, number)

    with pytest.raises((AssertionError, Illegal)):
        everywhere()
