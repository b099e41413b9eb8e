"""The product as the benchmarks drive it: through `app.build`, the way every surface does."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from magsag.adapters.store.memory import MemoryStore
from magsag.app import App, build
from magsag.domain.facts import RunStatus
from magsag.domain.settings import Limits, Settings
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order

CATALOG = Path(__file__).parent / "catalog"


def app(
    folder: str | None,
    durability: str = "governed",
    model: str | None = None,
    ledger: str | None = None,
    catalog: str | Path = CATALOG,
) -> App:
    """An app on a ledger in `folder`, or at `ledger`, or in memory; `model` is what its one model always answers."""
    if model is not None:
        (Path(folder or ".") / "replies.yaml").write_text(f"replies: [{{text: {model}}}]\n", encoding="utf-8")
    settings = Settings(
        project=folder or ".",
        catalog=str(catalog),
        ledger=ledger or str(Path(folder or ".") / "ledger.db"),
        actor="bench",
        durability=durability,
        limits=Limits(children=1_000_000),
        models={} if model is None else {"fast": "scripted:replies.yaml"},
    )
    return build(settings, store=None if folder else MemoryStore())


def folder() -> str:
    """A fresh folder on the disk that the tree is on, so that syncs are real."""
    return tempfile.mkdtemp(prefix="bench-", dir=Path(__file__).parent / "ledgers")


async def once(running: App, program: str, payload: object, wanted: RunStatus = RunStatus.SUCCEEDED) -> RunResult:
    """One run; it must end, or park, as it is to."""
    result = await running.runs.run(Order(program, payload))
    if result.status is not wanted:
        raise SystemExit(f"{program} ended {result.status}: {result.error}")
    return result


class Loop:
    """One event loop for all rounds, as a server has it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)
