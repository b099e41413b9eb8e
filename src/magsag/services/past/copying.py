"""Copies runs of a tree under the name of another root: the same facts, under new salts, in chains of their own."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from magsag.domain import facts
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, child_run_id
from magsag.domain.large import LARGE_BYTES, MARK_BYTES
from magsag.domain.values import decode
from magsag.engine.chain import link, seal
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.ports.clock import Clock
from magsag.ports.ledger import Change, Lease, Sealed, Store, Write
from magsag.services.recording.driven import Tree
from magsag.services.recording.large import Values, plain
from magsag.services.recording.notebook import Notebook
from magsag.services.steps.beginnings import new_run

_ENDS_A_DELEGATION: Final = (facts.StepSucceeded, facts.StepFailed)


@frozen
class _Copy:
    run: RunId
    started: facts.RunStarted
    facts: list[Sealed]
    change: Change | None


class Copies:
    """The runs of one new tree. Child runs are added before the runs that started them."""

    def __init__(self, store: Store, clock: Clock, old: RunId, new: RunId, lease_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._old = old
        self._lease = Lease(new, store.owner(), 1)
        self._lease_seconds = lease_seconds
        self._notebook = Notebook(store, clock)
        self._values = Values(self._notebook, store, clock)
        self._tree = Tree(new, self._lease)
        self._copies: list[_Copy] = []

    def add(self, run: RunId, found: Iterable[facts.Fact], change: Change | None) -> None:
        """Copy a run."""
        copy = Run(self._named(run))
        sealed, head = [], b""
        for fact in found:
            renewed = self._renewed(copy, fact)
            evolve(copy, renewed)
            one = seal(renewed, self._clock.chance(16))
            head = link(head, one.digest)
            sealed.append(one)
        assert copy.started is not None
        self._tree.heads[copy.id] = head
        self._copies.append(_Copy(copy.id, copy.started, sealed, change))

    def writes(self) -> list[Write]:
        """What puts them into the ledger, the root first, all under the lease of the new tree."""
        root, owner = self._tree.root, self._lease.owner
        found = []
        for copy in reversed(self._copies):
            is_root = copy.run == root
            create = new_run(copy.started, root, owner if is_root else None, self._lease_seconds)
            blobs = self._notebook.blobs if is_root else {}
            lease = None if is_root else self._lease
            found.append(Write(copy.run, root, copy.facts, lease, create, copy.change, blobs=blobs))
        return found

    def _named(self, run: RunId) -> RunId:
        return RunId(self._tree.root + run.removeprefix(self._old))

    def _renewed(self, copy: Run, fact: facts.Fact) -> facts.Fact:
        if isinstance(fact, facts.RunStarted) and fact.parent is not None:
            fact = replace(fact, parent=self._named(fact.parent))
        if isinstance(fact, _ENDS_A_DELEGATION) and fact.child_head is not None:
            step = copy.steps[fact.step]
            head = self._tree.heads.get(child_run_id(copy.id, step.id, max(1, step.attempt)))
            fact = replace(fact, child_head=head.hex() if head is not None else fact.child_head)
        if isinstance(fact, facts.StepSucceeded):
            fact = replace(fact, input=None)  # the records are the other run's
        changed: dict[str, Any] = {}
        for name in ("input", "output"):
            data = getattr(fact, name, None)
            if data is not None and (MARK_BYTES in data or len(data) > LARGE_BYTES):
                changed[name] = self._large(copy, data)
        return replace(fact, **changed) if changed else fact

    def _large(self, copy: Run, data: bytes) -> bytes:
        """Large values get names of their own: they die with the tree that they belong to."""
        value = plain(self._store, self._old, data) if MARK_BYTES in data else decode(data)
        return self._values.known(self._tree, copy, value)[0]
