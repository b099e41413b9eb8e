"""A fact in the form in which stores keep it. What the bytes mean: `engine.chain` and `domain.wire`."""

from dataclasses import dataclass

from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId


@dataclass(slots=True)
class Sealed:
    """One fact, ready to be written (`engine.chain.seal`)."""

    kind: str
    body: bytes
    digest: bytes
    """sha256 of the body, which holds the salted commitments of input and output"""
    salt: bytes | None
    input: bytes | None
    output: bytes | None


@dataclass(slots=True)
class Stored(Sealed):
    """One fact as it was read."""

    seq: int
    """1 for the first of its run"""
    head: bytes
    """the chain after it: sha256 of the head before (empty for the first) and the digest"""


@frozen
class Fault:
    """Something a check found wrong."""

    where: str
    what: str
    run: RunId | None = None
    """the run it concerns, where it concerns one"""
    seq: int | None = None
    """the fact it concerns, or the first that it may concern"""
    kind: str | None = None
    """of that fact"""
    is_beside: bool = False
    """a row differs from what the facts say: which of them was changed is another fault's to tell"""
