"""A run as a tree: its steps, and below a delegating step those of the child run. How it is drawn: `surfaces`.

Built from folded runs, so that the ledger (`services.insight.insight`) and a run that is just being driven
(`services.insight.watch`) show the same tree. Times are microseconds since 1970.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from magsag.domain.effects import Effect
from magsag.domain.facts import (
    ApprovalDecided,
    Decision,
    Fact,
    LateOutcome,
    ParkReason,
    Proposal,
    RunStatus,
    StandingApproved,
    StandingRevoked,
    StepFact,
    StepStatus,
    Verdict,
)
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId, child_run_id
from magsag.domain.values import decode
from magsag.domain.verdicts import is_not_performed
from magsag.engine.evolve import evolve
from magsag.engine.run import Run, Step, wake
from magsag.engine.table import ENDS
from magsag.services.insight.awaited import awaited

_FLOW_STEP: Final = re.compile(r"(?:[a-z][a-z0-9_]*\.\d+/)*([a-z][a-z0-9_]*)(?:\.\d+)?")
_SCOPES: Final = re.compile(r"(?:[gmrt]\d+(?:\.\d+)?/)*")
_MAP_ITEM: Final = re.compile(r"m\d+\.(\d+)/$")
_BUILT_IN: Final = "built-in"
_BESIDE: Final = (ApprovalDecided, StandingApproved, StandingRevoked, LateOutcome)
"""facts of a step that are appended whoever drives the run, and while nobody does"""

Value = Callable[[bytes | None], Any]
"""reads recorded bytes; the ledger's way gives large values in full"""


@frozen
class ErrorView:
    """Why something failed."""

    type: str
    message: str
    details: dict[str, Any]
    step: str | None
    """the step that it came from, where it came from one"""


@frozen
class TreeNode:
    """A run or a step, with what stands below it."""

    name: str
    kind: str
    """agent or flow for runs and the steps that start one; else the effect kind"""
    status: RunStatus | StepStatus
    run: RunId
    """the run that it is, or that the step belongs to"""
    step: StepId | None = None
    target: str | None = None
    """exact reference of what the step calls, or of the run's program"""
    child: RunId | None = None
    """the run that the step started"""
    is_partial: bool = False
    """the run that it started went on although something in it failed"""
    ms: float | None = None
    """from its start to its end, or until now; None before it started"""
    attempts: int = 0
    tokens: int = 0
    """of all model answers in it and below"""
    nano_usd: int = 0
    """what it and all below it is charged, in 1e-9 USD"""
    assumed: bool = False
    """a part of that is not known: it is the most that it can have been"""
    verdict: Verdict | None = None
    """when somebody's rule decided, or anything but allow"""
    error: ErrorView | None = None
    reasons: tuple[ParkReason, ...] = ()
    """what a parked run waits for"""
    children: tuple["TreeNode", ...] = ()


def tree_of(run: Run, child: Callable[[RunId], Run | None], value: Value, now: int | None = None) -> TreeNode:
    """The tree of a run. `child` gives a child run by its id; `now` counts the time of what has not ended."""
    return _Builder(child, value, now).run(run)


def line_of(run: Run, step: Step | None, value: Value, now: int | None = None) -> TreeNode:
    """A run, or one step of it, without what stands below."""
    builder = _Builder(lambda _: None, value, now)
    return builder.step(run.id, step) if step is not None else builder.run(run, ())


FAILURES: Final = frozenset({RunStatus.FAILED, RunStatus.DENIED, RunStatus.CANCELLED})
"""the ends of a run that carry an error instead of a result"""


def follow(run: Run, fact: Fact) -> None:
    """Fold a fact as whoever looks on does: a parked run that takes a step again is under way.

    What people say beside it wakes nobody; whoever drives it on does, and leaves a fact of a step.
    """
    if run.status is RunStatus.PARKED and isinstance(fact, StepFact) and not isinstance(fact, _BESIDE):
        wake(run)
    evolve(run, fact)


def step_name(id: StepId, proposal: Proposal | None) -> str:
    """What a step is called over all runs: the flow's step id without rounds and items, else the target's slug."""
    if match := _FLOW_STEP.fullmatch(id):
        return match[1]
    if proposal is not None:
        return proposal.target.partition("@")[0].partition(":")[2] or proposal.target
    return id


def error_of(document: object) -> ErrorView | None:
    """A recorded error as people see it."""
    if not isinstance(document, dict):
        return None
    details = document.get("details")
    step = document.get("step")
    return ErrorView(
        str(document.get("type", "raised")),
        str(document.get("message", "")),
        details if isinstance(details, dict) else {},
        step if isinstance(step, str) else None,
    )


class Usage(NamedTuple):
    """Tokens of a model's answer."""

    input: int = 0
    output: int = 0


def usage_of(step: Step, value: Value) -> Usage:
    """What a model's answer took; nothing for any other step."""
    if step.proposal is None or step.proposal.call != "model" or step.status is not StepStatus.SUCCEEDED:
        return Usage()
    answer = value(step.output)
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(usage, dict):
        return Usage()
    return Usage(usage.get("input_tokens", 0), usage.get("output_tokens", 0))


def child_of(run: RunId, step: Step, child: Callable[[RunId], Run | None]) -> Run | None:
    """The newest child run that a delegating step started."""
    if step.proposal is None or step.proposal.effect is not Effect.DELEGATE:
        return None
    found = (child(child_run_id(run, step.id, attempt)) for attempt in range(max(1, step.attempt), 0, -1))
    return next((one for one in found if one is not None), None)


def elapsed(step: Step, now: int | None = None) -> float | None:
    """Milliseconds from a step's first start to its end, waits for retries and child runs included."""
    return _millis(step.started_at, step.at if step.status in ENDS else now)


def plain_value(data: bytes | None) -> Any:
    """Recorded bytes without the large values in them."""
    return None if data is None else decode(data)


@frozen
class _Builder:
    child: Callable[[RunId], Run | None]
    value: Value
    now: int | None

    def run(self, run: Run, below: tuple[TreeNode, ...] | None = None) -> TreeNode:
        below = self.steps(run) if below is None else below
        program, begun = (run.started.program, run.started.forked_at or run.started.at) if run.started else ("", 0)
        end = run.ended.at if run.ended else run.at if run.status is RunStatus.PARKED else self.now
        return TreeNode(
            name=program.partition(":")[2].replace("@", " "),
            kind=program.partition(":")[0],
            status=run.status,
            run=run.id,
            target=program,
            ms=_millis(begun, end),
            tokens=sum(node.tokens for node in below),
            nano_usd=sum(node.nano_usd for node in below),
            assumed=any(node.assumed for node in below),
            error=error_of(self.value(run.ended.output)) if run.ended and run.status in FAILURES else None,
            reasons=awaited(run),
            children=below,
        )

    def steps(self, run: Run) -> tuple[TreeNode, ...]:
        return tuple(self.step(run.id, step) for step in run.steps.values())

    def step(self, run: RunId, step: Step) -> TreeNode:
        child = child_of(run, step, self.child)
        below = self.steps(child) if child is not None else ()
        proposal, verdict = step.proposal, step.verdict
        return TreeNode(
            name=_label(step),
            kind=_kind(proposal),
            status=step.status,
            run=run,
            step=step.id,
            target=proposal.target if proposal else None,
            child=child.id if child else None,
            is_partial=child is not None and child.status is RunStatus.PARTIAL,
            ms=elapsed(step, self.now),
            attempts=step.attempt,
            tokens=sum(usage_of(step, self.value)) + sum(node.tokens for node in below),
            nano_usd=(step.spent or {}).get("usd", 0) + sum(node.nano_usd for node in below),
            assumed=step.assumed or any(node.assumed for node in below),
            verdict=verdict if verdict is not None and _is_telling(verdict) else None,
            error=error_of(self.value(step.output)) if step.status is StepStatus.FAILED else None,
            children=below,
        )


def _label(step: Step) -> str:
    """What the line of a step says: its own id in a flow; in Python the slug, with what tells it from its like."""
    if _FLOW_STEP.fullmatch(step.id) or step.proposal is None:
        return step.id
    scopes = _SCOPES.match(step.id)
    prefix = scopes[0] if scopes else ""
    name = step.id.removeprefix(prefix).removesuffix("#1")
    item = _MAP_ITEM.search(prefix)
    spoken = f"model {name}" if step.proposal.call == "model" else name
    return f"{spoken} [{item[1]}]" if item else spoken


def _kind(proposal: Proposal | None) -> str:
    if proposal is None:
        return ""
    return proposal.target.partition(":")[0] if proposal.effect is Effect.DELEGATE else proposal.effect.value


def _is_telling(verdict: Verdict) -> bool:
    return verdict.decision is not Decision.ALLOW or verdict.place != _BUILT_IN or is_not_performed(verdict)


def _millis(begin: int, end: int | None) -> float | None:
    return max(0, end - begin) / 1000 if begin and end is not None else None
