"""The facts of a process in the order in which it believed them, and the ledger as it stood after any of them.

A process can die between any two facts: what a commit holds depends on the machine, so every prefix is possible.
"""

import re
from dataclasses import replace
from typing import Final

from magsag.adapters.store.memory import MemoryStore
from magsag.app import App
from magsag.domain.effects import Level
from magsag.domain.facts import Fact, RunEnded, RunParked, RunStarted, RunStatus, StepFailed, StepSucceeded
from magsag.domain.ids import RunId
from magsag.domain.wire import payloads_of
from magsag.engine.chain import seal
from magsag.ports.ledger import Change, Write, Written
from magsag.services.steps.beginnings import new_run

_BLOB: Final = re.compile(rb'\{"\\u0000blob":"([0-9a-f-]+)"\}')


class History:
    """Listens to an app from now on."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.facts: list[tuple[RunId, Fact]] = []
        app.recorder.heard = lambda run, fact: self.facts.append((run, fact))

    def cut(self, count: int) -> MemoryStore:
        """A ledger that holds the first `count` facts, in a process of its own."""
        store = MemoryStore()
        roots: dict[RunId, RunId] = {}
        ends: dict[RunId, str] = {}
        for number, (run, fact) in enumerate(self.facts[:count]):
            create = None
            if isinstance(fact, RunStarted):
                is_below = fact.parent is not None and fact.lineage is None
                roots[run] = roots[fact.parent] if is_below and fact.parent is not None else run
                create = new_run(fact, roots[run])
                store.put_bundle(fact.bundle, self._app.store.bundle(fact.bundle) or b"")
            blobs = self._blobs(roots[run], fact)
            sealed = seal(_retold(run, fact, ends), number.to_bytes(16, "big"))
            (answer,) = store.write(
                [Write(run, roots[run], [sealed], None, create, _change(fact), blobs=blobs)], Level.SYNCED
            )
            if isinstance(fact, RunEnded) and isinstance(answer, Written):
                ends[run] = answer.head.hex()
        return store

    def _blobs(self, root: RunId, fact: Fact) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        waiting = [data for data in payloads_of(fact) if data is not None]
        while waiting:
            for name in _BLOB.findall(waiting.pop()):
                id = name.decode()
                found[id] = self._app.store.blob(root, id)
                waiting.append(found[id])
        return found


def _retold(run: RunId, fact: Fact, ends: dict[RunId, str]) -> Fact:
    """The chains of this ledger have salts of their own, and so other heads."""
    if not isinstance(fact, StepSucceeded | StepFailed) or fact.child_head is None:
        return fact
    child = f"{run}.{fact.step}"
    heads = [head for id, head in ends.items() if id == child or id.startswith(f"{child}~")]
    return replace(fact, child_head=heads[-1]) if heads else fact


def _change(fact: Fact) -> Change | None:
    match fact:
        case RunEnded():
            return Change(fact.status, updated=fact.at)
        case RunParked():
            return Change(RunStatus.PARKED, fact.on, fact.due, fact.at)
        case _:
            return None
