"""What is told of runs, steps, scores and facts. Times are microseconds since 1970."""

from collections.abc import Mapping
from typing import Any

from magsag.domain.breaking import BreakerMoved
from magsag.domain.facts import (
    DecisionRefused,
    ParkReason,
    RunStarted,
    RunStatus,
    SecretUsed,
    StepStatus,
    Verdict,
)
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.ports.ledger import RunRow
from magsag.services.insight.tree import (
    ErrorView,
)


@frozen
class StepView:
    """One step of a run, as far as it has come."""

    id: StepId
    name: str
    """what it is called over all runs"""
    status: StepStatus
    call: str | None
    target: str | None
    effect: str | None
    verdict: Verdict | None
    attempts: int
    started: int | None
    updated: int
    """the time of its last fact"""
    ms: float | None
    error: ErrorView | None
    child: RunId | None
    """the run that it started"""
    late: tuple[Any, ...] = ()
    """outcomes that came after the step was given up; never adopted"""
    spent: Mapping[str, int] | None = None
    """by unit, in its smallest part, what its attempts are charged"""
    assumed: bool = False
    """a part of that is not known: it is the most that it can have been"""
    approved_by: tuple[str, ...] = ()
    """who approved its ticket"""
    denied_by: tuple[str, ...] = ()
    standing: str | None = None
    """the standing approval that answered in their place"""


@frozen
class ScoreView:
    """What one metric gave for a run's input or output."""

    evaluation: str
    on: str
    metric: str
    score: float
    threshold: float
    weight: float
    passed: bool
    details: Any
    """what the metric said about it"""


@frozen
class RunView:
    """One run, with its steps in the order in which they came up."""

    row: RunRow
    started: RunStarted
    status: RunStatus
    input: Any
    output: Any
    error: ErrorView | None
    reasons: tuple[ParkReason, ...]
    """what a parked run waits for"""
    cancel_by: str | None
    ended: int | None
    erased_by: str | None
    """who had its payloads taken away: inputs, outputs and errors of it are None then"""
    scores: tuple[ScoreView, ...]
    steps: tuple[StepView, ...]
    secrets: tuple[SecretUsed, ...] = ()
    """which it used, by reference; of each version the first use"""
    refused: tuple[DecisionRefused, ...] = ()
    """words of people that did not count"""
    breakers: tuple[BreakerMoved, ...] = ()
    """which it changed, and which people closed that it had opened"""


@frozen
class FactView:
    """One fact as it is recorded. A payload that the body has a hash of and that is None here was erased."""

    seq: int
    kind: str
    at: int
    body: dict[str, Any]
    input: Any
    output: Any
