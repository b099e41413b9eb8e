"""The audit proof: a ledger that real runs wrote, tampered with in many ways, one after the other; all must be seen.

Twice each time: by the product's own judgement, and by the verifier that goes with an export and shares no code with
it. And nothing may be seen where nothing was done: in the ledger as it was written, after a person's data was erased,
after old runs were vacuumed, and once every tampering was undone.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from magsag.domain.frozen import frozen
from magsag.ports.auditing import Evidence, Verified
from magsag.services.keeping.audit_export import lines_of
from magsag.services.keeping.verify_export import judged
from magsag.services.proofs.edits import Edit, Grounds
from magsag.services.proofs.tampering import tamperings

_SHOWN: Final = 20


class Trial(Protocol):
    """A ledger in which rows are changed, looked at, and changed back."""

    def tampered(self, edits: Sequence[Edit]) -> tuple[int, Verified, list[Evidence]]:
        """How many rows the edits changed, what the product finds then, and what an export would tell."""


class Scene(Protocol):
    """Real runs on a ledger of the proof's own."""

    def stages(self) -> Iterable[str]:
        """Write, then erase, then vacuum; what was done last is told each time."""

    def trial(self) -> Trial:
        """The ledger as it stands."""


@frozen
class Asked:
    """How hard it is tried."""

    mutations: int = 1000
    seed: int = 0


@dataclass(slots=True)
class Tally:
    """What came out."""

    mutations: int
    found: int = 0
    """by the product"""
    found_alone: int = 0
    """by the verifier of an export"""
    copies: int = 0
    """ledgers with which nobody tampered"""
    false_alarms: int = 0
    runs: int = 0
    facts: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all of it is as promised."""
        return not self.wrong and self.found == self.found_alone == self.mutations and not self.false_alarms


class AuditProof:
    """Proves the audit on one scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def prove(self, asked: Asked) -> Tally:
        """Raises Invalid when the scene cannot be set."""
        tally = Tally(asked.mutations)
        for stage in self.scene.stages():
            self._untouched(self.scene.trial(), stage, tally)
        trial = self.scene.trial()
        _, verified, evidence = trial.tampered(())
        tally.runs, tally.facts = len(verified.reaches), sum(reach.facts for reach in verified.reaches)
        if any(reach.anchored < reach.facts for reach in verified.reaches):
            tally.wrong.append("the anchors do not reach as far as the facts, so rewritten ones could not be seen")
        kinds: Counter[str] = Counter()
        for one in tamperings(Grounds(evidence), asked.mutations, asked.seed):
            kinds[one.kind] += 1
            changed, verified, left = trial.tampered(one.edits)
            alone = alone_on(left)
            tally.found += bool(changed and verified.faults)
            tally.found_alone += bool(changed and alone)
            if len(tally.wrong) < _SHOWN:
                tally.wrong += _missed(one.what, changed, bool(verified.faults), bool(alone))
        tally.kinds = dict(kinds)
        self._untouched(trial, "after all was undone", tally)
        return tally

    def _untouched(self, trial: Trial, stage: str, tally: Tally) -> None:
        _, verified, evidence = trial.tampered(())
        tally.copies += 1
        said = [f"{fault.where}: {fault.what}" for fault in verified.faults]
        said += [f"run {run}: {what}, says the verifier of an export" for run, _, what in alone_on(evidence)]
        tally.false_alarms += bool(said)
        tally.wrong += [f"{stage}: {one}" for one in said[:_SHOWN]]


def alone_on(evidence: Sequence[Evidence]) -> list[tuple[Any, Any, str]]:
    """What the verifier of an export finds, given only what stands in its files."""
    anchors: bytes | None = next((one.values["lines"] for one in evidence if one.sort == "anchors"), None)
    return judged(json.loads(json.dumps(list(lines_of(evidence)))), anchors)[0]


def _missed(what: str, changed: int, is_found: bool, is_found_alone: bool) -> list[str]:
    if not changed:
        return [f"{what}: it changed nothing"]
    missed = [] if is_found else ["audit verify"]
    missed += [] if is_found_alone else ["the verifier of an export"]
    return [f"{what}: not found by {' and '.join(missed)}"] if missed else []
