"""What an outcome tells of the records that its act put: their keys, when, and the hash of each value.

It is a payload of the fact, as JSON, so it is committed to under the salt of the fact and goes when that is erased. A
record of which such a fact is there can be held against it (`data check`). Each hash has a salt of its own, which
stands beside it: where the payload is gone, no hash of the value leaves the house, and no short value can be guessed.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

IMPORTED: Final = "imported"
"""the tenant under which the store itself notes which runs were imported, and how many facts each had then: what their
acts had put stayed in the other ledger. A line among the anchors says the same; without it the note is mere word"""
NAMES: Final = ("tenant", "key", "at", "sha256", "salt")


class Put(NamedTuple):
    """One record, as it was put."""

    tenant: str
    key: str
    at: int
    """microseconds since 1970"""
    sha256: str
    """of salt and value, as hex"""
    salt: str
    """16 bytes of chance, as hex; empty in what the first versions told"""

    def is_of(self, at: int, value: bytes) -> bool:
        """Whether a record is this one."""
        return (self.at, self.sha256) == (at, hash_of(value, self.salt))


def put_of(tenant: str, key: str, at: int, value: bytes, salt: bytes) -> Put:
    """A record, as its outcome tells it."""
    return Put(tenant, key, at, hash_of(value, salt.hex()), salt.hex())


def hash_of(value: bytes, salt: str) -> str:
    """What stands for a value. Raises ValueError for a salt that is no hex."""
    return sha256(bytes.fromhex(salt) + value).hexdigest()


def told(puts: Iterable[Put]) -> bytes:
    """The payload."""
    return to_json([dict(zip(NAMES, put, strict=True)) for put in puts])


def puts_of(payload: bytes) -> list[Put]:
    """Read it back. Raises ValueError for what is none."""
    try:
        return [_put(one) for one in from_json(payload)]
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it tells of no records: {error}") from error


def _put(one: Mapping[str, Any]) -> Put:
    salt = str(one.get("salt", ""))
    bytes.fromhex(salt)
    return Put(str(one["tenant"]), str(one["key"]), int(one["at"]), str(one["sha256"]), salt)
