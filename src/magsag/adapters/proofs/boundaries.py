"""Boundaries of a process that is to be killed: each is noted in a file as it is crossed, and at one the process dies.

It dies by a real SIGKILL, from whichever thread comes there first.
"""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from magsag.domain.effects import Level
from magsag.domain.ids import RunId
from magsag.ports.ledger import Declined, Lease, Occupied, Store, Write, Written
from magsag.services.proofs.points import Boundary, Place, Side, What


def kill_own_process() -> NoReturn:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process went on after SIGKILL")


class Boundaries:
    """The boundaries of this process."""

    def __init__(self, notes: Path, stop_at: Place | None, die: Callable[[], object] = kill_own_process) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stop_at = stop_at
        self._die = die
        self._lock = threading.Lock()
        self._seen: Counter[tuple[What, str]] = Counter()

    def count(self, what: What, names: Sequence[str]) -> tuple[str, ...]:
        """The names with a count behind those that came up before in this process."""
        with self._lock:
            counted: list[str] = []
            for name in names:
                self._seen[what, name] += 1
                seen = self._seen[what, name]
                counted.append(name if seen == 1 else f"{name} #{seen}")
            return tuple(counted)

    def cross(self, boundary: Boundary) -> None:
        """Note it, and die here if this is the place."""
        line = {
            "what": boundary.what,
            "side": boundary.side,
            "names": boundary.names,
            "effect": boundary.effect,
            "target": boundary.target,
            "is_real": boundary.is_real,
            "output": boundary.output,
        }
        with self._lock:
            os.write(self._notes, json.dumps(line, default=str).encode() + b"\n")
            if self._stop_at is not None and boundary.is_at(self._stop_at):
                self._die()


def read_notes(notes: Path) -> list[Boundary]:
    """What a process noted; the last line may be cut short."""
    found: list[Boundary] = []
    for line in notes.read_text(encoding="utf-8").splitlines():
        try:
            one: dict[str, Any] = json.loads(line)
        except ValueError:
            break
        names = tuple(one.pop("names"))
        found.append(Boundary(What(one.pop("what")), Side(one.pop("side")), names, **one))
    return found


class WatchedStore:
    """Passes everything on to a store; commits, leases and bundles are boundaries."""

    def __init__(self, store: Store, boundaries: Boundaries) -> None:
        self._store = store
        self._boundaries = boundaries

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        names = self._boundaries.count(What.COMMIT, [name for item in writes for name in _names(item)])
        self._cross(What.COMMIT, Side.BEFORE, names)
        answers = self._store.write(writes, level)
        self._cross(What.COMMIT, Side.AFTER, names)
        return answers

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        names = self._boundaries.count(What.LEASE, [root])
        self._cross(What.LEASE, Side.BEFORE, names)
        answer = self._store.acquire(root, owner, seconds)
        self._cross(What.LEASE, Side.AFTER, names)
        return answer

    def put_bundle(self, hash: str, body: bytes) -> None:
        names = self._boundaries.count(What.BUNDLE, ["bundle"])
        self._cross(What.BUNDLE, Side.BEFORE, names)
        self._store.put_bundle(hash, body)
        self._cross(What.BUNDLE, Side.AFTER, names)

    def _cross(self, what: What, side: Side, names: tuple[str, ...]) -> None:
        self._boundaries.cross(Boundary(what, side, names))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def watched(store: Store, boundaries: Boundaries) -> Store:
    """The same store, with boundaries."""
    return cast(Store, WatchedStore(store, boundaries))


def _names(item: Write) -> list[str]:
    """Each fact by run, kind and step; a write without facts by what it changes."""
    if not item.facts:
        return [f"{item.run} {item.change.status if item.change is not None else 'nothing'}"]
    steps = [json.loads(fact.body).get("step") for fact in item.facts]
    return [f"{item.run} {fact.kind} {step or ''}".rstrip() for fact, step in zip(item.facts, steps, strict=True)]
