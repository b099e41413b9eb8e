"""Which fact may follow which status of a step, as data. Legality, tests and the diagram come from here.

    status   \\ fact   Held    Started  Succeeded  Failed  WillRetry  InDoubt   Resolved                  Cancelled
    new               held    started  -          failed  -          -         -                         cancelled
    held              held    started  -          failed  -          in_doubt  -                         cancelled
    started           -       started  succeeded  failed  waiting    in_doubt  -                         cancelled
    waiting           held    started  -          failed  -          in_doubt  -                         cancelled
    in_doubt          -       -        -          -       -          -         succeeded|failed|waiting  -

`StepDone` (new or waiting -> succeeded) is Started and Succeeded in one, for `pure` and `read`. `StepSkipped`
follows only `new`. Nothing follows an end. `started` -> cancelled holds for steps without effect only: an
effectful step ends as its act did. `waiting`, `held` -> in_doubt: an attempt that may have acted, when no other one may
follow it. A held step is held again when its ticket is replaced. `LateOutcome`, `ApprovalDecided`, `StandingApproved`
and `StandingRevoked` may follow any status and change none.
"""

from collections.abc import Mapping
from typing import Final

from magsag.domain import facts
from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.errors import Broken
from magsag.domain.facts import StepStatus

NEW, HELD, STARTED, WAITING = StepStatus.NEW, StepStatus.HELD, StepStatus.STARTED, StepStatus.WAITING
IN_DOUBT, SUCCEEDED, FAILED = StepStatus.IN_DOUBT, StepStatus.SUCCEEDED, StepStatus.FAILED
CANCELLED, SKIPPED = StepStatus.CANCELLED, StepStatus.SKIPPED

ENDS: Final = frozenset({SUCCEEDED, FAILED, CANCELLED, SKIPPED})

STEP_MOVES: Final[Mapping[StepStatus, Mapping[type[facts.StepFact], frozenset[StepStatus]]]] = {
    NEW: {
        facts.StepHeld: frozenset({HELD}),
        facts.StepStarted: frozenset({STARTED}),
        facts.StepDone: frozenset({SUCCEEDED}),
        facts.StepFailed: frozenset({FAILED}),
        facts.StepCancelled: frozenset({CANCELLED}),
        facts.StepSkipped: frozenset({SKIPPED}),
    },
    HELD: {
        facts.StepHeld: frozenset({HELD}),
        facts.StepStarted: frozenset({STARTED}),
        facts.StepFailed: frozenset({FAILED}),
        facts.StepInDoubt: frozenset({IN_DOUBT}),
        facts.StepCancelled: frozenset({CANCELLED}),
    },
    STARTED: {
        facts.StepStarted: frozenset({STARTED}),
        facts.StepSucceeded: frozenset({SUCCEEDED}),
        facts.StepFailed: frozenset({FAILED}),
        facts.StepWillRetry: frozenset({WAITING}),
        facts.StepInDoubt: frozenset({IN_DOUBT}),
        facts.StepCancelled: frozenset({CANCELLED}),
    },
    WAITING: {
        facts.StepHeld: frozenset({HELD}),
        facts.StepStarted: frozenset({STARTED}),
        facts.StepDone: frozenset({SUCCEEDED}),
        facts.StepFailed: frozenset({FAILED}),
        facts.StepInDoubt: frozenset({IN_DOUBT}),
        facts.StepCancelled: frozenset({CANCELLED}),
    },
    IN_DOUBT: {facts.StepResolved: frozenset({SUCCEEDED, FAILED, WAITING})},
    SUCCEEDED: {},
    FAILED: {},
    CANCELLED: {},
    SKIPPED: {},
}

CHANGES_NOTHING: Final = frozenset(
    {facts.LateOutcome, facts.ApprovalDecided, facts.StandingApproved, facts.StandingRevoked}
)


class Illegal(Broken):
    """A fact that may not follow: a bug of ours, or a ledger that something else wrote."""


def move(status: StepStatus, fact: facts.StepFact, effect: Effect | None) -> StepStatus:
    """The status after the fact. Raises Illegal when the table has no such move.

    `effect` is the step's, as far as it is known; it only matters for the one guarded move.
    """
    kind = type(fact)
    if kind in CHANGES_NOTHING:
        return status
    to = STEP_MOVES[status].get(kind)
    if to is None:
        raise Illegal(f"{kind.__name__} cannot follow {status}")
    if kind is facts.StepCancelled and status is STARTED and effect in EFFECTFUL:
        raise Illegal(f"a started {effect} step ends as its act did; it cannot be cancelled")
    if isinstance(fact, facts.StepResolved):
        if fact.how not in to:
            raise Illegal(f"a doubt cannot be resolved as {fact.how}")
        return fact.how
    (only,) = to
    return only
