"""Edits of a ledger's rows and anchors, and the ledger that they are made for. Pure: chance is handed in."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from pydantic_core import from_json, to_json

from magsag.domain.frozen import frozen
from magsag.engine.chain import link
from magsag.ports.auditing import Evidence

Row = dict[str, Any]


@frozen
class Change:
    """Set columns of one row; a sort is a table (`ports.auditing.Evidence`)."""

    sort: str
    key: Mapping[str, Any]
    values: Mapping[str, Any]


@frozen
class Drop:
    """Delete the rows with this key."""

    sort: str
    key: Mapping[str, Any]


@frozen
class Anchored:
    """What the file of anchors holds from now on; None: it is gone."""

    data: bytes | None


@frozen
class Excused:
    """The ledger's own notes say that its anchors need not tell of this run, or not yet."""

    run: str


Edit = Change | Drop | Anchored | Excused


class Chance:
    """Numbers from a seed, the same everywhere."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def below(self, limit: int) -> int:
        """One of 0 to limit - 1."""
        self._count += 1
        return int.from_bytes(sha256(b"%d %d" % (self._seed, self._count)).digest()[:8], "big") % limit

    def pick(self, choices: Sequence[Any]) -> Any:
        """One of them."""
        return choices[self.below(len(choices))]


class Grounds:
    """A ledger as it stands, by what its rows are."""

    def __init__(self, found: Sequence[Evidence]) -> None:
        rows: dict[str, list[Row]] = {}
        for one in found:
            rows.setdefault(one.sort, []).append(one.values)
        self.runs, self.tickets, self.blobs, self.bundles = (
            rows.get(sort, []) for sort in ("run", "ticket", "blob", "bundle")
        )
        self.facts = rows.get("fact", [])
        told = {fact["run"] for fact in self.facts if fact["kind"] == "StepSucceeded" and fact["input"] is not None}
        self.records = [row for row in rows.get("record", []) if row["run"] in told]
        """those of which facts tell"""
        self.anchors: bytes = next((row["lines"] for row in rows.get("anchors", [])), b"")
        self.of: dict[str, list[Row]] = {}
        for fact in self.facts:
            self.of.setdefault(fact["run"], []).append(fact)


CONTENT: Final = ("kind", "body", "digest", "salt", "input", "output")


def rewritten(facts: Sequence[Row], changed: Sequence[Row]) -> tuple[Edit, ...]:
    """Put these contents in the places of a run's facts, with digests, chain and row to match."""
    edits: list[Edit] = []
    head, run = b"", facts[0]["run"]
    for place, row in zip(facts, changed, strict=False):
        digest = sha256(row["body"]).digest()
        head = link(head, digest)
        values = {**{name: row[name] for name in CONTENT}, "digest": digest, "head": head}
        if any(values[name] != place[name] for name in values):
            edits.append(change(place, **values))
    edits += [Drop("fact", key_of(fact, "run", "seq")) for fact in facts[len(changed) :]]
    edits.append(Change("run", {"run": run}, {"seq": len(changed), "head": head}))
    return tuple(edits)


def later(body: bytes) -> bytes:
    """The body of a fact, a moment later."""
    said = from_json(body)
    return to_json({**said, "at": said["at"] + 1})


def flipped(data: bytes, chance: Chance) -> bytes:
    """One bit is another."""
    at = chance.below(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.below(7))]) + data[at + 1 :]


def change(fact: Row, **values: Any) -> Change:
    """Set columns of a fact."""
    return Change("fact", key_of(fact, "run", "seq"), values)


def key_of(row: Row, *names: str) -> dict[str, Any]:
    """What names a row."""
    return {name: row[name] for name in names}


def named(fact: Row, what: str) -> str:
    """The fact, and what happens to it."""
    return f"run {fact['run']}, fact {fact['seq']} ({fact['kind']}): {what}"
