"""What an export tells of records: the hash of each value, under the salt of the fact that tells of it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from magsag.domain.facts import StepSucceeded
from magsag.domain.puts import IMPORTED, hash_of, puts_of
from magsag.ports.auditing import Evidence

Row = dict[str, Any]
Key = tuple[str, str, str]
"""run, tenant, key"""


def record_line(row: Mapping[str, Any], is_hidden: bool, salts: Mapping[Key, str]) -> Row:
    """A record as an export tells it: the hash of its value under the salt of the fact that tells of it.

    Without that fact no hash: whoever has one could guess a short value. Nothing of a tree that goes without payloads.
    """
    if row["tenant"] == IMPORTED:
        return {"run": row["key"], "imported": bytes(row["value"]).decode("ascii", "replace")}
    if is_hidden:
        return {"run": row["run"], "withheld": True}
    values = {name: value for name, value in row.items() if name != "value"}
    salt = salts.get((row["run"], row["tenant"], row["key"]))
    return values if salt is None else {**values, "sha256": hash_of(bytes(row["value"]), salt)}


def salts_of(found: Iterable[Evidence]) -> Iterator[tuple[Key, str]]:
    """What the hashes of records are salted with; the last put of a run and key counts."""
    facts = [one.values for one in found if one.sort == "fact" and one.values["kind"] == StepSucceeded.__name__]
    for fact in sorted((one for one in facts if one["input"] is not None), key=lambda one: (one["run"], one["seq"])):
        with suppress(ValueError):  # one that was changed is told by its commitment
            for put in puts_of(bytes(fact["input"])):
                yield (fact["run"], put.tenant, put.key), put.salt
