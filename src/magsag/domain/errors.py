"""Errors, named by what the engine does about them.

    MagsagError
    ├─ Invalid       the question was wrong: usage, unknown name, input, manifest      exit 2
    ├─ StepFailed    a step ended without a result; the type is one of ErrorType        exit 1
    ├─ Retryable     an act did not work this time; the step's retry policy decides
    ├─ Refused       a rule said no to the caller                                       exit 1
    ├─ ConditionInvalid, ConditionFailed   of one expression (`domain.condition`): a finding, a failed step, a deny
    └─ Broken        we are broken: store unreachable, a bug                            exit 4
       ├─ StoreBroken
       │  ├─ StoreAway     it does not answer now
       │  ├─ Damaged       a part of it is not as it was written; the rest of the answer goes along
       │  └─ LedgerClosed  the ledger was moved elsewhere: Invalid too          exit 2
       ├─ LeaseLost  another process drives this run now
       └─ Illegal    a fact that may not follow (`engine.table`)

`Stopped` is outside the tree, a BaseException: it leaves a program whose run parks, and no
`except Exception` of a user may hold it.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

_YEAR_SECONDS: Final = 365 * 86_400


class ErrorType(StrEnum):
    """Why a step failed: a closed list."""

    INPUT_CONTRACT = "input_contract"
    OUTPUT_CONTRACT = "output_contract"
    EXPRESSION = "expression"
    DENIED = "denied"
    BUDGET_EXHAUSTED = "budget_exhausted"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    UNAVAILABLE = "unavailable"
    RAISED = "raised"
    INVALID_VALUE = "invalid_value"


class MagsagError(Exception):
    """The root of all errors that MAGSAG raises on purpose."""


class Invalid(MagsagError):
    """The question was wrong; the message says where and what to do next."""


class Refused(MagsagError):
    """A rule said no to the caller."""

    def __init__(self, message: str, why: str = "") -> None:
        """`why` is one word for the record, where people decide (`domain.approval.RefusedFor`)."""
        super().__init__(message)
        self.why = why


class Broken(MagsagError):
    """The machinery failed, not the run: nothing acknowledged is lost, the run can be resumed."""


class StoreBroken(Broken):
    """The store cannot be reached, read or written."""


class Damaged(StoreBroken):
    """A part of what was asked for cannot be read, and the rest can: whoever lists things shows that first."""

    def __init__(self, message: str, rest: Sequence[Any]) -> None:
        """`rest` is the answer without what is damaged."""
        super().__init__(message)
        self.rest = rest


class StoreAway(StoreBroken):
    """The store does not answer now and may again later; no run is to blame."""


class LedgerClosed(StoreBroken, Invalid):
    """The ledger was moved elsewhere, or is not whole yet: nobody starts or drives runs in it (`domain.closure`)."""


class LeaseLost(Broken):
    """Another process drives this run tree now."""


class StepFailed(MagsagError):
    """A step ended without a result.

    `details` holds JSON only; `step` names the step once it is known.
    """

    def __init__(
        self, type: str, message: str, details: Mapping[str, object] | None = None, step: str | None = None
    ) -> None:
        super().__init__(message)
        self.type = ErrorType(type)
        self.message = message
        self.details: dict[str, object] = dict(details or {})
        self.step = step
        self.order = 0
        """its place in the order of the ledger, once recorded; `at` is its time, in microseconds since 1970"""
        self.at = 0

    def __str__(self) -> str:
        where = f"step {self.step}: " if self.step else ""
        return f"{where}{self.type}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        return (StepFailed, (self.type, self.message, self.details, self.step))


class Retryable(MagsagError):
    """An act did not work this time and may be tried again, if the step's retry policy names the type.

    Raise it from a skill: `raise Retryable("rate_limit", "too many calls", retry_after_seconds=2)`.
    Only for an act that certainly did not happen, or whose effect kind makes repeating harmless.
    """

    def __init__(self, type: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        if retry_after_seconds is not None and not retry_after_seconds <= _YEAR_SECONDS:
            raise ValueError(f"retry_after_seconds is {retry_after_seconds}; write a number of seconds below a year")
        self.type = ErrorType(type)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class Stopped(BaseException):
    """Leaves a program whose run does not go on in this leg; `ctx` refuses every later call."""
