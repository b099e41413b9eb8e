"""Budgets in manifests: what a run of an agent may cost, and what one act costs at most."""

from decimal import Decimal, Overflow
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from magsag.domain.budget import MOST, SMALLEST, Unit
from magsag.domain.manifests.base import Part
from magsag.domain.price import Price, flat


def smallest(unit: str, value: Any) -> int:
    """A number of a unit as an integer of its smallest part. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no number")
    try:
        amount = Decimal(str(value)) * SMALLEST[unit]
    except Overflow:
        raise ValueError(f"{value} {unit} is out of range") from None
    except ArithmeticError:
        raise ValueError(f"{value!r} is no number: write one such as 5 or 0.5") from None
    if not amount.is_finite() or not 0 <= amount <= MOST:
        raise ValueError(f"{value} {unit} is out of range: write 0 or more, up to {MOST // SMALLEST[unit]:,}")
    if amount != amount.to_integral_value():
        if SMALLEST[unit] == 1:
            raise ValueError(f"{value} {unit} is not possible: write a whole number")
        raise ValueError(f"{value} {unit} is too fine: the smallest part is 1/{SMALLEST[unit]:,}")
    return int(amount)


def _reader(unit: Unit) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value is None else smallest(unit, value))


Usd = Annotated[int, _reader(Unit.USD), WithJsonSchema({"type": "number", "minimum": 0, "examples": [0.5]})]
"""money, written as decimal USD, kept as integers of 1e-9 USD"""
Seconds = Annotated[int, _reader(Unit.SECONDS), WithJsonSchema({"type": "number", "minimum": 0, "examples": [60]})]
"""a number of seconds, kept in microseconds"""
Number = Annotated[int, Field(ge=0, le=MOST)]


class Cost(Part):
    """The most that one attempt of an act can cost. What is left out is nothing: `cost: {}` costs nothing."""

    usd: Usd = 0
    """money, in USD"""
    tokens: Number = 0
    """of models, in and out"""

    def amounts(self) -> dict[str, int]:
        """By unit, in its smallest part."""
        return {Unit.USD.value: self.usd, Unit.TOKENS.value: self.tokens}


class ModelPrice(Part):
    """What the tokens of a model cost, in USD for a million (`[prices] ALIAS` in magsag.toml)."""

    input: Usd
    """of what it is asked"""
    output: Usd
    """of what it answers"""

    def price(self) -> Price:
        """As charges are counted by it; its version ends in the first 12 digits of a hash of both."""
        mark = sha256(f"{self.input} {self.output}".encode()).hexdigest()[:12]
        return flat(self.input, self.output, f"magsag.toml {mark}")


class Limits(Part):
    """Caps by unit."""

    usd: Usd | None = None
    """money, in USD"""
    tokens: Number | None = None
    """of models, in and out"""
    calls: Number | None = None
    """acts that are performed, each attempt by itself; delegations and waits are none"""
    seconds: Seconds | None = None
    """that acts take, side by side counted one after the other; an act counts with its whole timeout while it runs"""

    def caps(self) -> dict[str, int]:
        """By unit, in its smallest part; only those that are given."""
        return {unit.value: cap for unit in Unit if (cap := getattr(self, unit.value)) is not None}


class AgentBudget(Limits):
    """What one run of an agent may cost, with all below it; `per_day`: all its runs of a day together."""

    per_day: Limits | None = None
    """of all runs of this agent that day, UTC"""
    warn_at: float = Field(default=0.8, gt=0, le=1)
    """the part of a cap from which on a warning is logged and shown"""

    @model_validator(mode="after")
    def _limits_something(self) -> "AgentBudget":
        if not self.caps() and (self.per_day is None or not self.per_day.caps()):
            raise ValueError("a budget limits something: give usd, tokens, calls or seconds")
        return self
