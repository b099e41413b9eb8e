"""Ends doubts: a person has looked outside and says whether an act happened.

What a person says goes on record under the lease of the tree, so that two people cannot say two things. Driving the
run on is the caller's next step.
"""

import asyncio
from typing import Any, Final

from magsag.catalog.contracts import Contract
from magsag.domain import facts
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, Invalid, StepFailed
from magsag.domain.facts import StepStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId, child_run_id
from magsag.domain.manifests import Skill
from magsag.domain.values import decode
from magsag.engine.chain import seal, unseal
from magsag.engine.run import Run, Step
from magsag.ports.clock import Clock
from magsag.ports.ledger import Declined, Lease, Occupied, Store, Write
from magsag.services.gate.given import encoded, fitting
from magsag.services.gate.outcomes import error_bytes
from magsag.services.gate.untold import Untold
from magsag.services.recording.known import known_row, unknown_run
from magsag.services.recording.large import plain, set_apart
from magsag.services.steps.beginnings import read_run, started_of
from magsag.services.steps.bundles import Bundles

_LOOK_SECONDS: Final = 0.2


@frozen
class Doubt:
    """A step of which nobody knows whether it acted, with what is known."""

    run: RunId
    root: RunId
    step: StepId
    target: str
    key: str
    input: Any
    reason: str
    said: str
    """what the act or its lookup said, in its words; empty when it said nothing"""
    since: int
    late: tuple[Any, ...]
    """outcomes that came after the step was given up"""


@frozen
class Said:
    """How a person says that a doubt ends."""

    how: StepStatus
    """succeeded, failed or waiting: try again"""
    by: str
    output: Any = None
    """of a step that succeeded"""


class Doubts:
    """What waits for a person to look outside."""

    def __init__(self, store: Store, bundles: Bundles, clock: Clock, lease_seconds: float, untold: Untold) -> None:
        self._store = store
        self._bundles = bundles
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._untold = untold

    def find(self, run: RunId, path: str) -> Doubt:
        """The doubt of a step; `path` may lead into child runs: `step/child-step`. Raises Invalid."""
        owner, step = self._step(run, path)
        row = known_row(self._store, owner.id)
        stored = [unseal(fact) for fact in self._store.read(owner.id)]
        doubts = [fact for fact in stored if isinstance(fact, facts.StepInDoubt) and fact.step == step.id]
        late = [fact for fact in stored if isinstance(fact, facts.LateOutcome) and fact.step == step.id]
        value = [plain(self._store, row.root, data) for data in (step.input, *(fact.output for fact in late))]
        target = step.proposal.target if step.proposal else step.id
        last = doubts[-1]
        error: Any = decode(last.output or b"{}")
        said = str(error.get("message", ""))
        about = (owner.id, row.root, step.id, target, step.key, value[0], last.reason, said)
        return Doubt(*about, last.at, tuple(value[1:]))

    async def resolve(self, run: RunId, path: str, said: Said) -> RunId:
        """Put on record how a doubt ends; the root run, which can be driven on then.

        Raises Invalid for a step that is not in doubt and for an output that its contract does not take.
        """
        root = known_row(self._store, self._step(run, path)[0].id).root
        while isinstance(lease := self._store.acquire(root, self._store.owner(), self._lease_seconds), Occupied):
            self._step(run, path)
            await asyncio.sleep(min(_LOOK_SECONDS, lease.seconds))
        try:
            owner, step = self._step(run, path)
            self._write(root, owner, step, said, lease)
        finally:
            self._store.release(lease)
        return known_row(self._store, run).root

    def _write(self, root: RunId, owner: Run, step: Step, said: Said, lease: Lease) -> None:
        blobs: dict[str, bytes] = {}
        output: bytes | None = None
        if said.how is StepStatus.SUCCEEDED:
            output, blobs = set_apart(self._output(owner, step, said.output), self._clock)
        elif said.how is StepStatus.FAILED:
            error = StepFailed(ErrorType.RAISED, f"it did not happen, says {said.by}", step=step.id)
            output = error_bytes(error)
        fact = facts.StepResolved(at=self._clock.now(), step=step.id, how=said.how, by=said.by, output=output)
        # Due from now on: whoever said it may be gone before the run was driven on.
        write = Write(owner.id, root, [seal(fact, self._clock.chance(16))], lease, blobs=blobs, wake=fact.at)
        (answer,) = self._store.write([write], Level.SYNCED)
        if isinstance(answer, Declined):
            raise Invalid(f"run {root} was taken by another process meanwhile: try again")

    def _output(self, owner: Run, step: Step, output: Any) -> bytes:
        """What the step is said to have given, as its contract wants it."""
        what = f"output of step {step.id}"
        data, value = encoded(output, what)
        self._untold.require(started_of(owner).bundle, value, what)
        return fitting(data, value, self._contract(owner, step), what, ErrorType.OUTPUT_CONTRACT)[0]

    def _contract(self, owner: Run, step: Step) -> Contract | None:
        if step.proposal is None or step.proposal.call != "skill":
            return None
        bundle = self._bundles.find(started_of(owner).bundle)
        manifest = bundle.find(step.proposal.target).manifest
        name = manifest.contracts.output if isinstance(manifest, Skill) else None
        return bundle.contract(name) if name is not None else None

    def _step(self, run: RunId, path: str) -> tuple[Run, Step]:
        """The step that is meant, in its own run. Raises Invalid when it is not in doubt."""
        found = self._followed(run, path)
        root = read_run(self._store, known_row(self._store, run).root)
        if root is not None and root.ended is not None:
            raise Invalid(f"run {root.id} has ended already: {root.ended.status}")
        if found is None:
            raise Invalid(f"run {run} has no step {path!r}; {self._open(run)}")
        owner, step = found
        if step.status is not StepStatus.IN_DOUBT:
            raise Invalid(f"step {path} of run {run} is not in doubt, it is {step.status}; {self._open(run)}")
        return owner, step

    def _followed(self, id: RunId, path: str) -> tuple[Run, Step] | None:
        """Step ids may hold slashes, so the longest beginning that is a step with a child run is gone into."""
        run = read_run(self._store, id)
        if run is None:
            raise unknown_run(id)
        if (step := run.steps.get(StepId(path))) is not None:
            return run, step
        for step in sorted(run.steps.values(), key=lambda step: -len(step.id)):
            child = child_run_id(run.id, step.id, max(1, step.attempt))
            if path.startswith(f"{step.id}/") and self._store.row(child) is not None:
                found = self._followed(child, path[len(step.id) + 1 :])
                if found is not None:
                    return found
        return None

    def _open(self, run: RunId) -> str:
        """Which steps do wait for a person."""
        parked = read_run(self._store, run)
        waiting = [reason.step for reason in parked.reasons if reason.on is facts.ParkedOn.DOUBT] if parked else []
        return f"in doubt: {', '.join(waiting)}" if waiting else "nothing in it is in doubt"
