"""Legs of one run in one process: whoever asks, and how often, the run is driven once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.app import App
from magsag.domain.facts import RunStatus
from magsag.services.runs import Order
from magsag.testing.project import build_app

FILES = {
    "agents/main/marker/agent.yaml": """
        kind: agent
        schema: 1
        slug: marker
        version: 0.1.0
        role: main
        entrypoint: agent.py:run
        uses: [skill:mark]
    """,
    "agents/main/marker/agent.py": """
        async def run(payload, ctx):
            return [await ctx.skill("mark", {"file": payload["file"], "n": n}) for n in range(3)]
    """,
    "skills/mark/skill.yaml": """
        kind: skill
        schema: 1
        slug: mark
        version: 0.1.0
        entrypoint: skill.py:run
        effect: unrepeatable
    """,
    "skills/mark/skill.py": """
        import asyncio

        async def run(payload):
            await asyncio.sleep(0.01)
            with open(payload["file"], "a", encoding="utf-8") as file:
                file.write(f"{payload['n']}\\n")
            return payload["n"]
    """,
    "policies/marks.yaml": """
        kind: policy
        schema: 1
        rules:
          - {id: marks-are-fine, on: ["skill:mark"], verdict: allow}
    """,
}


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    app = build_app(tmp_path, FILES, store=MemoryStore() if request.param == "memory" else None)
    yield app
    app.close()


def test_the_same_run_asked_for_several_times_at_once_acts_once(app: App, tmp_path: Path) -> None:
    order = Order("agent:marker", {"file": str(tmp_path / "marks")}, run_id="same")

    async def at_once() -> list[tuple[RunStatus, object]]:
        results = await asyncio.gather(*(app.runs.run(order) for _ in range(4)))
        return [(result.status, result.output) for result in results]

    assert asyncio.run(at_once()) == [(RunStatus.SUCCEEDED, [0, 1, 2])] * 4
    assert (tmp_path / "marks").read_text().split() == ["0", "1", "2"]
    assert app.store.check() == []


def test_a_run_resumed_several_times_at_once_acts_once(app: App, tmp_path: Path) -> None:
    async def at_once() -> set[RunStatus]:
        run = await app.runs.start(Order("agent:marker", {"file": str(tmp_path / "marks")}))
        return {result.status for result in await asyncio.gather(*(app.runs.resume(run) for _ in range(3)))}

    assert asyncio.run(at_once()) == {RunStatus.SUCCEEDED}
    assert (tmp_path / "marks").read_text().split() == ["0", "1", "2"]
    assert app.store.check() == []


def test_two_runs_act_twice(app: App, tmp_path: Path) -> None:
    order = Order("agent:marker", {"file": str(tmp_path / "marks")})

    async def two() -> None:
        await asyncio.gather(app.runs.run(order), app.runs.run(order))

    asyncio.run(two())
    assert sorted((tmp_path / "marks").read_text().split()) == ["0", "0", "1", "1", "2", "2"]
