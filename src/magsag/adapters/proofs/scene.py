"""The scene of the approval proof: a catalog whose one act is asked about, ledgers of its own, processes."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, cast

from magsag.adapters.proofs import processes
from magsag.adapters.proofs.boundaries import kill_own_process
from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.ports.ledger import Store, Stored
from magsag.services.proofs.approval import APPROVERS, QUORUM, REQUESTER, Desk
from magsag.services.proofs.bench import Ended, Said

LIMIT_SECONDS: Final = 300
_FILES: Final = {
    "agents/main/asker-mag/agent.yaml": (
        "kind: agent\nschema: 1\nslug: asker-mag\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
        "uses: [skill:act]\n"
    ),
    "agents/main/asker-mag/agent.py": ('async def run(payload, ctx):\n    return await ctx.skill("act", payload)\n'),
    "skills/act/skill.yaml": (
        "kind: skill\nschema: 1\nslug: act\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: unrepeatable\n"
    ),
    "skills/act/skill.py": (
        "def run(payload, ctx):\n    with open({effects!r}, 'a') as file:\n"
        "        file.write(ctx.idempotency_key + '\\n')\n"
        "    return payload\n"
    ),
    "policies/ask.yaml": (
        "kind: policy\nschema: 1\nrules:\n"
        f"  - {{id: many-look, on: ['skill:act'], verdict: ask, approval: {{quorum: {QUORUM}, roles: [approver]}}}}\n"
    ),
    "people.yaml": "kind: people\nschema: 1\npeople:\n"
    + "".join(f"  - {{id: {name}, roles: [approver], proof: os_user}}\n" for name in (*APPROVERS, REQUESTER)),
}


class ClosableDesk(Desk, Protocol):
    """A desk that holds something open."""

    def close(self) -> None: ...


class ForkScene:
    """A scene (`services.proofs.approval`). Use it with `with`; all of it is gone afterwards."""

    def __init__(self, build: Callable[[Path, Store], ClosableDesk], open_store: Callable[[str], Store]) -> None:
        if not hasattr(os, "fork"):
            raise Invalid("an approval proof forks processes, which this system cannot: run it on Linux or macOS")
        self._build = build
        self._open_store = open_store
        self._batches = 0
        self._copies = 0

    def __enter__(self) -> "ForkScene":
        self._folder = Path(tempfile.mkdtemp(prefix="magsag-proof-"))
        for path, text in _FILES.items():
            file = self._folder / "catalog" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("{effects!r}", repr(str(self._effects))), encoding="utf-8")
        (self._folder / "first").mkdir()
        self.ledger = str(self._folder / "first" / "ledger.db")
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def each(self, works: Sequence[Callable[[], Said]]) -> list[Ended]:
        """All at once, each in a process of its own."""
        self._batches += 1
        folder = self._folder / f"batch-{self._batches}"
        folder.mkdir()
        found = {
            index: Ended(*processes.told(code, place))
            for index, code, place in processes.each(works, folder, len(works), LIMIT_SECONDS)
        }
        return [found[index] for index in range(len(works))]

    @contextmanager
    def desk(self, ledger: str, altered: int | None = None) -> Iterator[Desk]:
        """Open a ledger in this process."""
        store = self._open_store(ledger)
        desk = self._build(self._folder, store if altered is None else cast(Store, _Altered(store, altered)))
        try:
            yield desk
        finally:
            desk.close()

    def copy(self) -> str:
        """Nobody has the ledger open now, so its files are all of it."""
        self._copies += 1
        copy = self._folder / f"copy-{self._copies}"
        shutil.copytree(Path(self.ledger).parent, copy)
        return str(copy / "ledger.db")

    def effects(self) -> int:
        """Each act has left a line."""
        return len(self._effects.read_text(encoding="utf-8").splitlines()) if self._effects.exists() else 0

    def die(self) -> NoReturn:
        """Here and now."""
        kill_own_process()

    @property
    def _effects(self) -> Path:
        return self._folder / "effects"


class _Altered:
    """A store in which somebody has altered one byte of every recorded input."""

    def __init__(self, store: Store, at: int) -> None:
        self._store = store
        self._at = at

    def read(self, run: RunId, after: int = 0) -> list[Stored]:
        return [replace(fact, input=self._otherwise(fact.input)) for fact in self._store.read(run, after)]

    def _otherwise(self, data: bytes | None) -> bytes | None:
        if data is None or self._at >= len(data):
            return data
        return data[: self._at] + bytes([data[self._at] ^ 1]) + data[self._at + 1 :]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
