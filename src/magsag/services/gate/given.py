"""What people hand in: a value as JSON can say it, as its contract wants it.

What a step would fail of is here a question that is wrong: Invalid.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from magsag.catalog.contracts import Contract
from magsag.domain.errors import ErrorType, Invalid, StepFailed
from magsag.domain.values import encode, encode_known
from magsag.services.gate.outcomes import breach


@contextmanager
def asked_right() -> Iterator[None]:
    """A StepFailed of the block is Invalid."""
    try:
        yield
    except StepFailed as error:
        raise Invalid(error.message) from None


def encoded(value: object, what: str) -> tuple[bytes, object]:
    """As it is recorded, and as it is read back. Raises Invalid."""
    with asked_right():
        return encode(value, what)


def fitting(data: bytes, value: object, contract: Contract | None, what: str, kind: ErrorType) -> tuple[bytes, object]:
    """The same with the fields redacted that the contract marks. Raises Invalid, after `what`, for one it refuses."""
    if contract is None:
        return data, value
    if (fault := breach(contract, value, kind)) is not None:
        raise Invalid(f"{what} {fault.message}")
    if not contract.redacts:
        return data, value
    redacted = contract.redact(value)
    return encode_known(redacted), redacted
