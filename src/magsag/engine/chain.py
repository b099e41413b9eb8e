"""Seals facts and links them, so that every later change shows. Pure: salts are handed in, stores keep the result.

A body holds the salted commitments of its payloads, its digest is the hash of the body, and a run's chain hashes
the head before with the digest. Neither `seq` nor the head before is in the digest, so a store may place a fact
when it writes it. Payload and salt can be erased together: what is left verifies, and nothing can be guessed
from it. Not decided here: what a body looks like (`domain.wire`), and when something is verified (the stores).
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from pydantic_core import from_json, to_json

from magsag.domain.errors import StoreBroken
from magsag.domain.facts import Fact, Proposal, Verdict
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Sealed, Stored
from magsag.domain.wire import body_of, fact_of, payloads_of

INPUT: Final = b"i"
OUTPUT: Final = b"o"
_BLOB: Final = b"b"


def seal(fact: Fact, salt: bytes) -> Sealed:
    """Write a fact down, with the commitments of its payloads under `salt` (16 bytes of chance, used once)."""
    body = body_of(fact)
    if "proposal" in body:
        body["proposal"] = _proposal_json(body["proposal"])
    if "verdict" in body:
        body["verdict"] = _verdict_json(body["verdict"])
    input, output = payloads_of(fact)
    if input is not None:
        body["input_hash"] = commitment(salt, INPUT, input)
    if output is not None:
        body["output_hash"] = commitment(salt, OUTPUT, output)
    data = to_json(body)
    kept_salt = None if input is None and output is None else salt
    return Sealed(type(fact).__name__, data, sha256(data).digest(), kept_salt, input, output)


def unseal(stored: Sealed) -> Fact:
    """Read the fact back. Raises StoreBroken for what is damaged, and for a kind or schema of a newer version."""
    return fact_of(stored.body, stored.input, stored.output)


def damaged(run: RunId, fact: Stored, why: object) -> StoreBroken:
    """To be raised: which fact it is that is not as it was written."""
    return StoreBroken(f"run {run}, fact {fact.seq} ({fact.kind}) is damaged: {why}; run `magsag data check`")


def unseal_in(run: RunId, stored: Stored) -> Fact:
    """As `unseal`; what it raises says where the fact stands."""
    try:
        return unseal(stored)
    except StoreBroken as error:
        raise StoreBroken(f"run {run}, fact {stored.seq} ({stored.kind}): {error}") from error


def body_in(run: RunId, stored: Stored) -> dict[str, Any]:
    """A fact's body, to be shown. Raises StoreBroken for one that is no fact's."""
    body = _read(stored.body)
    if not isinstance(body.get("at"), int):
        raise damaged(run, stored, "its body is none")
    return body


def commitment(salt: bytes, part: bytes, data: bytes) -> str:
    """What binds a payload without revealing it; `part` is INPUT or OUTPUT."""
    return sha256(salt + part + data).hexdigest()


def link(head: bytes, digest: bytes) -> bytes:
    """The head of a chain after one more fact; the head of an empty chain is `b""`."""
    return sha256(head + digest).digest()


def blob_id(salt: bytes, data: bytes) -> str:
    """Name a large value so that its name, which stands in a committed payload, commits to it as well."""
    return f"{salt.hex()}-{commitment(salt, _BLOB, data)}"


def is_blob(id: str, data: bytes) -> bool:
    """Whether `data` is the large value that `blob_id` gave this name."""
    salt, _, claimed = id.partition("-")
    try:
        return commitment(bytes.fromhex(salt), _BLOB, data) == claimed
    except ValueError:
        return False


def verify(run: RunId, facts: Iterable[Stored]) -> list[Fault]:
    """Check a whole run: no gap, every body, payload and link as it was sealed. All faults, in order."""
    faults: list[Fault] = []
    head, expected = b"", 1
    emptied: list[Stored] = []
    whole: list[Stored] = []
    erased: set[int] = set()
    for fact in facts:
        if fact.seq != expected:
            faults.append(_fault(run, fact, f"fact {expected} should stand here: facts are missing or were moved"))
        if sha256(fact.body).digest() != fact.digest:
            faults.append(_fault(run, fact, "the body does not match its digest: it was changed"))
        head = link(head, fact.digest)
        if head != fact.head:
            faults.append(_fault(run, fact, "the chain is broken: this fact or one before it was changed or moved"))
            head = fact.head
        body = _read(fact.body)
        faults.extend(_fault(run, fact, what) for what in _content_faults(fact, body))
        if _has_lost_payload(fact, body):
            emptied.append(fact)
        if fact.salt is not None or fact.input is not None or fact.output is not None:
            whole.append(fact)
        if fact.kind == "PayloadErased" and isinstance(seq := body.get("seq"), int):
            erased.add(seq)
        expected = fact.seq + 1
    gone, back = "a payload is gone and no PayloadErased says so", "its payload was erased, and something of it is here"
    faults.extend(_fault(run, fact, gone) for fact in emptied if fact.seq not in erased)
    faults.extend(_fault(run, fact, back) for fact in whole if fact.seq in erased)
    return faults


def _content_faults(fact: Stored, body: dict[str, Any]) -> Iterator[str]:
    if body.get("kind") != fact.kind:
        yield f"the body is of kind {body.get('kind')!r}, the row says {fact.kind!r}"
    if fact.salt is not None and fact.input is None and fact.output is None:
        yield "there is a salt and nothing that it is for: it was added"
    for name, part, data in (("input", INPUT, fact.input), ("output", OUTPUT, fact.output)):
        if data is None:
            continue
        claimed = body.get(f"{name}_hash")
        if claimed is None:
            yield f"there is an {name} that the body does not know: it was added"
        elif fact.salt is None or commitment(fact.salt, part, data) != claimed:
            yield f"the {name} does not match its commitment: it was changed"


def _has_lost_payload(fact: Stored, body: dict[str, Any]) -> bool:
    return ("input_hash" in body and fact.input is None) or ("output_hash" in body and fact.output is None)


def _read(body: bytes) -> dict[str, Any]:
    try:
        data = from_json(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _fault(run: RunId, fact: Stored, what: str) -> Fault:
    return Fault(f"run {run}, fact {fact.seq}", what, run, fact.seq, fact.kind)


# A run repeats few proposals and verdicts; encoding plain dicts is four times as fast as encoding dataclasses.
@lru_cache(maxsize=1024)
def _proposal_json(proposal: Proposal) -> dict[str, str]:
    return {"call": proposal.call, "target": proposal.target, "effect": proposal.effect.value}


@lru_cache(maxsize=1024)
def _verdict_json(verdict: Verdict) -> dict[str, object]:
    counts = {"counts": verdict.counts} if verdict.counts else {}
    return {
        "decision": verdict.decision.value,
        "rule": verdict.rule,
        "place": verdict.place,
        "reason": verdict.reason,
        "policy": verdict.policy,
        **counts,
    }
