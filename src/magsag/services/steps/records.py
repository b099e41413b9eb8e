"""What acts put into the store and read from it: JSON under a key of the tenant.

What is put is given to the store together with the act's outcome, in one transaction, and with no other.
"""

from collections.abc import Callable, Sequence
from typing import Final

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.ids import TENANT
from magsag.domain.puts import put_of, told
from magsag.domain.values import decode, encode
from magsag.ports.clock import Clock
from magsag.ports.ledger import Record
from magsag.services.recording.large import Values
from magsag.services.recording.masking import RESOLVED

LONGEST_KEY: Final = 512
SALT_BYTES: Final = 16


def told_of(effect: Effect, records: Sequence[Record], chance: Callable[[int], bytes]) -> bytes | None:
    """What the outcome of an act says of the records that it put; None for an act that can put none.

    `chance` gives so many bytes of it, for a salt of each.
    """
    if effect is not Effect.TRANSACTIONAL:
        return None
    return told(put_of(one.tenant, one.key, one.at, one.value, chance(SALT_BYTES)) for one in records)


class RecordShelf:
    """The records of the tenant. Safe to use from any thread."""

    def __init__(self, values: Values, clock: Clock) -> None:
        self._values = values
        self._clock = clock

    def record(self, effect: Effect, key: str, value: object) -> Record:
        """A row to be put. Raises StepFailed for an act of another kind, and for what is no key or no JSON."""
        if effect is not Effect.TRANSACTIONAL:
            said = f"ctx.put_record is for skills with effect: transactional; this one is {effect}"
            raise StepFailed(ErrorType.RAISED, said)
        data, _ = encode(value, f"record {_checked(key)}")
        if (leak := RESOLVED.find({key: value})) is not None:
            raise StepFailed(ErrorType.INVALID_VALUE, f"a record of the act holds the secret {leak.name}: leave it out")
        return Record(TENANT, key, data, self._clock.now())

    def get(self, effect: Effect, own: Sequence[Record], key: str, default: object) -> object:
        """The last value of the key, what this act has put included. Raises StepFailed for a `pure` act."""
        if effect is Effect.PURE:
            raise StepFailed(ErrorType.RAISED, "ctx.get_record is not for skills with effect: pure; declare read")
        mine = [record.value for record in own if record.key == _checked(key)]
        data = mine[-1] if mine else self._values.record(TENANT, _checked(key))
        return default if data is None else decode(data)


def _checked(key: object) -> str:
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY:
        return key
    raise StepFailed(ErrorType.INVALID_VALUE, f"a record's key is text of 1 to {LONGEST_KEY} characters")
