"""The scene of the approval proof: a catalog whose one act is asked about, ledgers of its own, processes."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, cast

from magsag.adapters.proofs import processes
from magsag.adapters.proofs.bench import Ledgers
from magsag.adapters.proofs.boundaries import kill_own_process
from magsag.domain.closure import Closure, Course
from magsag.domain.errors import Invalid, MagsagError
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

    def __init__(self, build: Callable[[Path, Store], ClosableDesk], ledgers: Ledgers) -> None:
        if not hasattr(os, "fork"):
            raise Invalid("an approval proof forks processes, which this system cannot: run it on Linux or macOS")
        self._build = build
        self._ledgers = ledgers
        self._places: dict[str, Path] = {}
        self._batches = 0

    def __enter__(self) -> "ForkScene":
        self._folder = Path(tempfile.mkdtemp(prefix="magsag-proof-"))
        for path, text in _FILES.items():
            file = self._folder / "catalog" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("{effects!r}", repr(str(self._effects))), encoding="utf-8")
        self.ledger = self._made("first")
        return self

    def __exit__(self, *_: object) -> None:
        for ledger in self._places:
            with suppress(MagsagError):
                self._ledgers.drop(ledger)
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
        store = self._ledgers.open(ledger, self._places[ledger])
        desk = self._build(self._folder, store if altered is None else cast(Store, _Altered(store, altered)))
        try:
            yield desk
        finally:
            desk.close()

    def copies(self, count: int) -> list[str]:
        """Put into fresh ledgers piece by piece, as a move does; in another process, for the sake of its threads."""
        made = [self._made(f"copy-{number}") for number in range(count)]
        (filled,) = self.each([lambda: self._filled(made)])
        if filled.code != 0:
            raise Invalid(f"the ledger of the proof could not be copied: {filled.why}")
        return made

    def _filled(self, made: Sequence[str]) -> Said:
        with closing(self._ledgers.open(self.ledger, self._places[self.ledger])) as source:
            pieces = list(source.pieces())
        filling = Closure(Course.FILLING, "the ledger of the proof", 1)
        for ledger in made:
            with closing(self._ledgers.open(ledger, self._places[ledger])) as copy:
                copy.set_closure(filling, None)
                copy.fill(pieces)
                copy.set_closure(None, filling)
        return {}

    def _made(self, name: str) -> str:
        folder = self._folder / name
        folder.mkdir()
        ledger = self._ledgers.make(folder)
        self._places[ledger] = folder
        return ledger

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
