"""Ledgers written by hand: runs as facts, put into a store as a driver would."""

from dataclasses import replace
from typing import Any, Final

from pydantic_core import to_json

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Effect, Level
from magsag.domain.errors import ErrorType
from magsag.domain.facts import (
    ENDS,
    Decision,
    Fact,
    Proposal,
    RunEnded,
    RunParked,
    RunStarted,
    RunStatus,
    StepDone,
    StepFailed,
    StepStarted,
    StepSucceeded,
    Verdict,
)
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import seal
from magsag.ports.ledger import Change, NewRun, Store, Write, Written

MS: Final = 1_000
BEGIN: Final = 1_700_000_000_000_000
BUILT_IN: Final = Verdict(Decision.ALLOW, "allow-without-effects", "built-in", "", "f" * 64)


def put(store: Store, id: str, *facts: Fact, root: str | None = None, blobs: dict[str, bytes] | None = None) -> RunId:
    """Write a whole run; its row says what its last fact says."""
    first, last = facts[0], facts[-1]
    assert isinstance(first, RunStarted)
    new = NewRun(
        root=RunId(root or id), parent=first.parent, program=first.program, bundle=first.bundle, tenant="local",
        actor=first.actor, requester=first.requester, trace_id=first.trace_id, span_id=first.span_id, created=first.at,
    )  # fmt: skip
    change = Change(RunStatus.RUNNING, updated=last.at)
    if isinstance(last, RunEnded):
        change = replace(change, status=last.status)
    elif isinstance(last, RunParked):
        change = replace(change, status=RunStatus.PARKED, parked_on=last.on, due=last.due)
    sealed = [seal(fact, bytes(16)) for fact in facts]
    write = Write(RunId(id), new.root, sealed, create=new, change=change, blobs=blobs or {})
    (answer,) = store.write([write], Level.SYNCED)
    assert isinstance(answer, Written)
    return RunId(id)


def began(program: str = "agent:a@1.0.0", at: int = 0, input: object = None, parent: str | None = None) -> RunStarted:
    """`at` is in milliseconds since BEGIN; `parent` as `run.step`."""
    above, _, step = (parent or "").partition(".")
    return RunStarted(
        at=BEGIN + at * MS, program=program, bundle="b" * 64, actor="ann", requester="ben", environment="development",
        mode="implement", seed="00" * 16, trace_id="1" * 32, span_id="2" * 16,
        parent=RunId(above) if parent else None, parent_step=StepId(step) if parent else None, input=to_json(input),
    )  # fmt: skip


def ended(status: RunStatus = RunStatus.SUCCEEDED, output: object = None, at: int = 1_000) -> RunEnded:
    assert status in ENDS
    return RunEnded(at=BEGIN + at * MS, status=status, output=to_json(output))


def done(
    step: str,
    target: str,
    effect: Effect = Effect.PURE,
    *,
    at: int = 100,
    took: int = 10,
    output: object = None,
    verdict: Verdict = BUILT_IN,
    spent: dict[str, int] | None = None,
) -> StepDone:
    """A pure or read step that ended at `at`, after `took` milliseconds."""
    return StepDone(
        at=BEGIN + at * MS, step=StepId(step), proposal=Proposal(_call(target), target, effect), verdict=verdict,
        attempt=1, took=took * MS, spent=spent, input=b"null", output=to_json(output),
    )  # fmt: skip


def started(
    step: str, target: str, effect: Effect = Effect.DELEGATE, at: int = 50, verdict: Verdict = BUILT_IN
) -> StepStarted:
    return StepStarted(
        at=BEGIN + at * MS, step=StepId(step), proposal=Proposal(_call(target), target, effect), verdict=verdict,
        attempt=1, key="k", act_by=BEGIN + 10_000 * MS, input=b"null",
    )  # fmt: skip


def succeeded(step: str, at: int = 150, output: object = None) -> StepSucceeded:
    return StepSucceeded(at=BEGIN + at * MS, step=StepId(step), took=0, output=to_json(output))


def failed(
    step: str,
    type: ErrorType = ErrorType.RAISED,
    *,
    at: int = 150,
    took: int = 10,
    target: str | None = None,
    effect: Effect = Effect.PURE,
    message: str = "boom",
) -> StepFailed:
    """With a target the step never started; without one an earlier fact has said what it is."""
    return StepFailed(
        at=BEGIN + at * MS, step=StepId(step), type=type, attempt=1, took=took * MS,
        proposal=Proposal(_call(target), target, effect) if target else None, verdict=BUILT_IN if target else None,
        input=b"null" if target else None, output=to_json(error(type, message)),
    )  # fmt: skip


def error(type: str = "raised", message: str = "boom", step: str | None = None, **details: Any) -> dict[str, Any]:
    return {"type": type, "message": message, "details": details, "step": step}


def answer(model: str = "small", input: int = 100, output: int = 20) -> dict[str, Any]:
    """What a model step gives."""
    usage = {"input_tokens": input, "output_tokens": output}
    return {"text": "hi", "model": model, "provider": "scripted", "usage": usage}


def offer(store: Store | None = None) -> Store:
    """A main run `offer` with a skill, a delegation whose child reads and asks a model, and an aggregation."""
    store = store or MemoryStore()
    put(
        store,
        "offer",
        began("agent:offer-mag@0.1.0", input={"role": "Engineer"}),
        done("task-split#1", "skill:task-split@0.1.0", at=20),
        started("g1.0/advisor-sag#1", "agent:advisor-sag@0.2.0", at=30),
        succeeded("g1.0/advisor-sag#1", at=640, output={"salary": 5}),
        done("merge#1", "skill:merge@0.1.0", at=700),
        ended(output={"offer": 5}, at=800),
    )
    put(
        store,
        "offer.g1.0/advisor-sag#1",
        began("agent:advisor-sag@0.2.0", at=35, parent="offer.g1.0/advisor-sag#1"),
        done("band-lookup#1", "skill:band-lookup@0.1.0", Effect.READ, at=80, took=40, output={"min": 1}),
        done("smart#1", "model:smart", Effect.READ, at=640, took=560, output=answer(input=1_000, output=204)),
        ended(output={"salary": 5}, at=640),
        root="offer",
    )
    return store


def _call(target: str) -> str:
    kind = target.partition(":")[0]
    return "delegate" if kind in ("agent", "flow") else kind
