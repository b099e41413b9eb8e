"""Budgets: limits of what acts may cost, as values. What binds and what fits: `policy.budget`.

Amounts are integers of the smallest part of their unit: usd in 1e-9 USD, tokens and calls by one, seconds in
microseconds. A budget's id tells its scope, whose it is and its unit: `run/<run>/usd`, `agent/<slug>/<day>/usd`,
`organisation/usd`, `day/<day>/usd`; days are UTC.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from magsag.domain.approval import Proof
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId

Amounts = Mapping[str, int]
"""by unit"""


class Unit(StrEnum):
    """What is counted."""

    USD = "usd"
    TOKENS = "tokens"
    CALLS = "calls"
    SECONDS = "seconds"


SMALLEST: Final[Mapping[str, int]] = {Unit.USD: 10**9, Unit.TOKENS: 1, Unit.CALLS: 1, Unit.SECONDS: 10**6}
"""how many of the smallest part make one"""
MOST: Final = 10**18
"""of the smallest parts: a billion dollars, and what a database's integers hold"""


class BudgetScope(StrEnum):
    """What a budget is over."""

    RUN = "run"
    """one run of an agent, with all below it; stands in the agent's manifest"""
    AGENT = "agent"
    """all runs of an agent on one day; stands in its manifest"""
    DAY = "day"
    """everything on one day; people set it"""
    ORGANISATION = "organisation"
    """everything since it was set; people set it"""


SET_BY_PEOPLE: Final = (BudgetScope.ORGANISATION, BudgetScope.DAY)


@frozen
class Bound:
    """A limit of a manifest that binds a run and all below it."""

    scope: str
    owner: str
    """the run, or the agent's slug"""
    unit: str
    cap: int
    warn_at: float


@frozen
class Budget:
    """One budget as a reservation names it."""

    id: str
    scope: str
    unit: str
    cap: int | None
    """None: the one that people have set, which the store knows"""
    run: RunId | None = None
    """it goes when this run goes"""


@frozen
class Reserve:
    """What a step takes from a budget with its intent."""

    step: StepId
    budget: Budget
    amount: int


@frozen
class Settle:
    """What becomes of a reservation with the outcome: `spent` stays charged, the rest goes back."""

    step: StepId
    budget: str
    spent: int


@frozen
class Shortfall:
    """Why a reservation was refused."""

    budget: str
    unit: str
    cap: int
    left: int
    asked: int


@frozen
class BudgetRow:
    """A budget as it stands in the store."""

    id: str
    scope: str
    unit: str
    run: RunId | None
    cap: int
    """as it was when it was last reserved from; -1 for one that nothing limits any more"""
    reserved: int
    spent: int


@frozen
class Balance:
    """What is taken of a budget, after a reservation."""

    budget: str
    unit: str
    cap: int
    """-1: without a limit"""
    used: int
    """held back and spent"""


@frozen
class Reservation:
    """What a step that has begun holds back."""

    run: RunId
    step: StepId
    budget: str
    amount: int


@frozen
class Cap:
    """A limit that somebody set; the newest of its scope and unit is in force."""

    n: int
    """1 for the first"""
    scope: str
    unit: str
    cap: int | None
    """None takes the limit away"""
    at: int
    by: str
    proof: Proof
    people: str
    """content hash of the people in force"""
    reason: str
