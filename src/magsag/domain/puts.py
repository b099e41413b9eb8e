"""What an outcome tells of the records that its act put: their keys, when, and the hash of each value.

It is a payload of the fact, as JSON, so it is committed to under the salt of the fact and goes when that is erased. A
record of which such a fact is there can be held against it (`data check`).
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from pydantic_core import from_json, to_json

IMPORTED: Final = "imported"
"""the tenant under which the store itself notes which run trees were imported: the root, and how many facts it had;
what their acts had put stayed in the other ledger"""
NAMES: Final = ("tenant", "key", "at", "sha256")


class Put(NamedTuple):
    """One record, as it was put."""

    tenant: str
    key: str
    at: int
    """microseconds since 1970"""
    sha256: str
    """of the value, as hex"""


def hash_of(value: bytes) -> str:
    """What stands for a value."""
    return sha256(value).hexdigest()


def told(puts: Iterable[Put]) -> bytes:
    """The payload."""
    return to_json([dict(zip(NAMES, put, strict=True)) for put in puts])


def puts_of(payload: bytes) -> list[Put]:
    """Read it back. Raises ValueError for what is none."""
    try:
        return [
            Put(str(one["tenant"]), str(one["key"]), int(one["at"]), str(one["sha256"])) for one in from_json(payload)
        ]
    except (LookupError, TypeError) as error:
        raise ValueError(f"it tells of no records: {error}") from error
