"""Moves a run from one ledger to another, in one file (`services.recording.parcel`).

Nothing is written before everything was verified. No field that a contract marks `x-redact` may hold a value, on the
way out or on the way in; and on the way out none may hold a secret that the run used.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from magsag.catalog.bundle import Bundle
from magsag.domain.budget import Budget, Reserve, Settle
from magsag.domain.effects import Level
from magsag.domain.errors import Broken, Invalid, Refused, StoreBroken
from magsag.domain.facts import ENDS, RunStatus, StepStatus
from magsag.domain.ids import RunId, StepId, is_given_run_id
from magsag.domain.large import lowered
from magsag.domain.puts import IMPORTED
from magsag.domain.sealed import Stored
from magsag.domain.values import decode
from magsag.engine.chain import unseal, verify
from magsag.engine.charging import Charges
from magsag.engine.run import Run
from magsag.ports.ledger import Change, Declined, Lease, Record, RunQuery, Store, Write
from magsag.ports.secrets import Secrets
from magsag.services.keeping.open_secrets import require_no_secret
from magsag.services.past.difference import difference
from magsag.services.programs.detached import waits_for_detached
from magsag.services.recording.known import known_row
from magsag.services.recording.parcel import Parcel, faults, folded, marks, pack, payloads, unpack
from magsag.services.steps.beginnings import new_run, started_of

_SHOWN: Final = 5
_IMPORT: Final = StepId("import")
_LEASE_SECONDS: Final = 10.0
_GOOD: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.PARTIAL})


class Parcels:
    """Exports from a store, and imports into it."""

    def __init__(self, store: Store, thaw: Callable[[bytes], Bundle], secrets: Secrets) -> None:
        self._store = store
        self._thaw = thaw
        self._secrets = secrets
        self._known: dict[tuple[str, bytes], Bundle] = {}

    def export(self, run: RunId) -> str:
        """The file's text. Raises Invalid for a run that is not there or under way, Refused for an open secret."""
        row = known_row(self._store, run)
        if row.parent is not None and row.root == run:
            raise Invalid(f"run {run} is a detached child run: export {row.parent}, which holds what became of it")
        if row.parent is not None:
            raise Invalid(f"run {run} is a child run: export {row.root}, which takes it along")
        return pack(self.parcel(run))

    def parcel(self, run: RunId) -> Parcel:
        """A tree that is at rest, looked through for open secrets. Raises as `export`."""
        row = known_row(self._store, run)
        if row.status is RunStatus.RUNNING:
            raise Invalid(f"run {run} is under way: export it when it has ended or parked")
        bundle = self._store.bundle(row.bundle)
        if bundle is None:
            raise Broken(f"bundle {row.bundle[:12]} is not in the store: restore a backup that has it")
        rows = self._store.rows(RunQuery(root=run, roots_only=False, limit=None))
        runs = {one.run: self._store.read(one.run) for one in rows}
        _require_whole(runs)
        if row.status not in ENDS and any(_waits(one, recorded) for one, recorded in runs.items()):
            raise Invalid(f"run {run} waits for a detached child run, which would stay behind: export it afterwards")
        if row.status not in ENDS:
            self._require_its_own_costs(run, runs)
        wanted = marks(data for recorded in runs.values() for data in payloads(recorded))
        blobs: dict[str, bytes] = {}
        while left := wanted - blobs.keys():
            blobs |= {id: self._store.blob(run, id) for id in left}
            wanted |= marks(blobs.values())
        parcel = Parcel(run, row.bundle, bundle, runs, blobs)
        self.require_closed(parcel)
        return parcel

    def _require_its_own_costs(self, root: RunId, runs: Mapping[RunId, list[Stored]]) -> None:
        """What detached child runs took of its budgets stands in their facts, which stay behind. Raises Invalid."""
        charges = _charges(runs)
        held = sum((Counter({id: amount}) for (_, _, id), amount in charges.held.items()), Counter[str]())
        for row in self._store.budgets(list(runs)):
            if row.run in runs and (row.spent > charges.spent[row.id] or row.reserved > held[row.id]):
                said = f"detached child runs have taken a part of its budget {row.id}, and would stay behind"
                raise Invalid(f"run {root} goes on, and {said}: export it when it has ended")

    def require_closed(self, parcel: Parcel) -> None:
        """Raises Refused for an open secret in it, Broken or Invalid where nobody can tell."""
        self._require_redacted(parcel)
        self.require_no_secret(parcel)

    def require_no_secret(self, parcel: Parcel) -> None:
        """Raises Refused when it holds a secret that its runs used."""
        require_no_secret(parcel, self._secrets)

    def take_in(self, data: bytes, name: str) -> RunId:
        """Put an exported run into the ledger. Raises Invalid for a file or id that cannot be, Refused for secrets."""
        parcel = unpack(data, name)
        found = faults(parcel)
        if parcel.root not in parcel.runs or not is_given_run_id(parcel.root):
            raise Invalid(f"{name} does not hold the run {parcel.root!r} that it is about")
        if found:
            listed = "; ".join(f"{fault.where}: {fault.what}" for fault in found[:_SHOWN])
            raise Invalid(f"{name} is not as it was exported: {listed}")
        taken = next((run for run in parcel.runs if self._store.row(run) is not None), None)
        if taken is not None:
            raise Invalid(f"run {taken} is in this ledger already: nothing was imported")
        self._require_redacted(parcel)
        self._write(parcel)
        return parcel.root

    def _write(self, parcel: Parcel) -> None:
        """All or nothing; the lease of the new tree holds its runs together."""
        lease = Lease(parcel.root, self._store.owner(), 1)
        self._store.put_bundle(parcel.bundle_hash, parcel.bundle)
        order = sorted(parcel.runs, key=lambda run: (run != parcel.root, len(run)))
        writes = [self._one(parcel, run, lease) for run in order]
        last = unseal(parcel.runs[parcel.root][-1])
        for write in writes:
            write.records = [Record(IMPORTED, write.run, b"%d" % len(parcel.runs[write.run]), last.at)]
        writes += _spent(parcel, lease)
        answers = self._store.write(writes, Level.SYNCED)
        if any(isinstance(answer, Declined) for answer in answers):
            raise Invalid(f"run {parcel.root} is in this ledger already: nothing was imported")
        self._store.release(lease)

    def _one(self, parcel: Parcel, id: RunId, lease: Lease) -> Write:
        run, recorded = folded(id, parcel.runs[id]), parcel.runs[id]
        started, is_root = started_of(run), id == parcel.root
        create = new_run(started, parcel.root, lease.owner if is_root else None, _LEASE_SECONDS)
        change = None
        if run.status in ENDS:
            change = Change(run.status, updated=run.at)
        elif run.parked is not None:
            change = Change(RunStatus.PARKED, run.parked.on, run.parked.due, run.at)
        blobs = parcel.blobs if is_root else {}
        return Write(id, parcel.root, recorded, None if is_root else lease, create, change, blobs=blobs)

    def _require_redacted(self, parcel: Parcel) -> None:
        bundle = self._thawed(parcel)
        for id, recorded in parcel.runs.items():
            _Secrets(bundle, parcel, folded(id, recorded)).require_none()

    def _thawed(self, parcel: Parcel) -> Bundle:
        frozen = (parcel.bundle_hash, parcel.bundle)
        if (known := self._known.get(frozen)) is not None:
            return known
        try:
            bundle = self._thaw(parcel.bundle)
        except Broken as error:
            raise Invalid(f"the bundle of run {parcel.root} cannot be read: {error}") from error
        if bundle.hash != parcel.bundle_hash:
            raise Invalid(f"the bundle of run {parcel.root} does not match its hash: it was changed")
        self._known = {frozen: bundle}
        return bundle


def _require_whole(runs: Mapping[RunId, list[Stored]]) -> None:
    """No other ledger would take it. Raises StoreBroken."""
    for run, recorded in runs.items():
        for fault in verify(run, recorded):
            raise StoreBroken(f"{fault.where}: {fault.what}; run `magsag data check`")


def _waits(run: RunId, recorded: list[Stored]) -> bool:
    return any(waits_for_detached(step) for step in folded(run, recorded).steps.values())


def _charges(runs: Mapping[RunId, list[Stored]]) -> Charges:
    charges = Charges()
    for run, recorded in runs.items():
        charges.add(run, [unseal(stored) for stored in recorded])
    return charges


def _spent(parcel: Parcel, lease: Lease) -> list[Write]:
    """What its runs have spent of their own budgets counts on; those that runs share stay where they were."""
    charges = _charges(parcel.runs)
    taken: list[Reserve] = []
    for id, amount in sorted(charges.spent.items()):
        scope, _, rest = id.partition("/")
        owner, _, unit = rest.rpartition("/")
        taken.append(Reserve(_IMPORT, Budget(id, scope, unit, amount, RunId(owner)), amount))
    if not taken:
        return []
    back = [Settle(_IMPORT, one.budget.id, one.amount) for one in taken]
    root = parcel.root
    return [Write(root, root, [], lease, reserves=taken), Write(root, root, [], lease, settles=back)]


class _Secrets:
    """Fields of one run that are marked `x-redact`."""

    def __init__(self, bundle: Bundle, parcel: Parcel, run: Run) -> None:
        self._bundle = bundle
        self._parcel = parcel
        self._run = run

    def require_none(self) -> None:
        """Raises Refused, with field and step, when one holds a value."""
        run, started = self._run, started_of(self._run)
        ended = run.ended.output if run.ended is not None and run.status in _GOOD else None
        self._look(started.program, None, started.input, ended)
        for step in run.steps.values():
            if step.proposal is not None:
                output = step.output if step.status is StepStatus.SUCCEEDED else None
                self._look(step.proposal.target, step.id, step.input, output)

    def _look(self, ref: str, step: str | None, input: bytes | None, output: bytes | None) -> None:
        try:
            contracts = self._bundle.find(ref).manifest.contracts
        except (Invalid, AttributeError):
            return
        for name, what, data in ((contracts.input, "input", input), (contracts.output, "output", output)):
            if name is None or data is None or not (contract := self._bundle.contract(name)).redacts:
                continue
            value = self._value(data)
            if (pointer := difference(contract.redact(value), value)) is not None:
                where = f"run {self._run.id}" + (f", step {step}" if step is not None else "")
                raise Refused(
                    f"{where}: {pointer} of its {what} is marked x-redact in contract {name} and holds a value; "
                    "a run with an open secret is not moved"
                )

    def _value(self, data: bytes) -> Any:
        return lowered(decode(data), lambda id: self._value(self._parcel.blobs[id]))
