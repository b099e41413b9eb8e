"""Ways to tamper with a ledger, as edits of its rows and its anchors. Pure: chance is handed in.

Each way takes the ledger as it stands and gives edits after which it says something else than what was written. What
nobody could see is not among them: a run's row that wakes it earlier or says when it was touched last, the deletion of
a run's only tickets, and whoever rewrites ledger and anchors together to the end.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from pydantic_core import from_json, to_json

from magsag.domain.frozen import frozen
from magsag.services.proofs.edits import (
    CONTENT,
    Anchored,
    Chance,
    Change,
    Drop,
    Edit,
    Excused,
    Grounds,
    change,
    flipped,
    key_of,
    later,
    named,
    rewritten,
)


@frozen
class Tampering:
    """One way, with its edits."""

    kind: str
    what: str
    edits: tuple[Edit, ...]


Way = Callable[[Grounds, Chance], tuple[str, tuple[Edit, ...]]]


def tamperings(grounds: Grounds, count: int, seed: int) -> Iterator[Tampering]:
    """So many of them, the kinds in turn."""
    chance = Chance(seed)
    kinds = list(WAYS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        what, edits = chance.pick(WAYS[kind])(grounds, chance)
        yield Tampering(kind, what, edits)


def _fact_bytes(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """One bit of what a fact holds."""
    name = chance.pick(("body", "digest", "head", "salt", "input", "output"))
    fact = chance.pick([fact for fact in grounds.facts if fact[name]])
    return named(fact, f"a bit of its {name}"), (change(fact, **{name: flipped(fact[name], chance)}),)


def _fact_kind(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    fact = chance.pick(grounds.facts)
    other = chance.pick(sorted({one["kind"] for one in grounds.facts} - {fact["kind"]}))
    return named(fact, f"its kind is {other}"), (change(fact, kind=other),)


def _fact_with_digest(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """A body with a digest to match, and the chain as it was."""
    fact = chance.pick(grounds.facts)
    body = later(fact["body"])
    return named(fact, "another time, with its digest"), (change(fact, body=body, digest=sha256(body).digest()),)


def _run_row(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """A column of a run's row."""
    row = chance.pick(grounds.runs)
    name = chance.pick(_COLUMNS)
    values = {"status": _STATUSES, "root": [one["run"] for one in grounds.runs], "parked_on": ("doubt", "event")}
    if name in values:
        other = chance.pick([value for value in values[name] if value != row[name]])
    elif name in ("created", "seq", "due"):
        other = (row[name] or 0) + 1 + chance.below(9)
    else:
        other = flipped(row[name], chance) if name == "head" else f"{row[name]}x"
    return f"run {row['run']}: another {name} in its row", (Change("run", key_of(row, "run"), {name: other}),)


def _large_value(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    row = chance.pick(grounds.blobs)
    name = chance.pick(("body", "id"))
    other = flipped(row["body"], chance) if name == "body" else f"{row['id'][:-1]}x"
    return f"large value {row['id'][:12]}: another {name}", (Change("blob", key_of(row, "root", "id"), {name: other}),)


def _bundle(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    row = chance.pick(grounds.bundles)
    half = len(row["body"]) // 2  # the last bits of what is packed may mean nothing
    other = (
        {"body": flipped(row["body"][:half], chance) + row["body"][half:]}
        if chance.below(2)
        else {"hash": f"{row['hash'][:-1]}x"}
    )
    return f"bundle {row['hash'][:12]}: another {', '.join(other)}", (Change("bundle", key_of(row, "hash"), other),)


def _ticket(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    row = chance.pick(grounds.tickets)
    name = chance.pick(("state", "step", "opened", "expires", "salt", "body"))
    other: Any = f"{row[name]}x"
    if name == "state":
        other = chance.pick([state for state in ("open", "approved", "denied", "spent") if state != row["state"]])
    elif name in ("opened", "expires"):
        other = row[name] + 1 + chance.below(99)
    elif name == "salt":
        other = b"x" * 16
    elif name == "body":
        other = flipped(row["body"], chance)
    return f"approval {row['id']}: another {name}", (Change("ticket", key_of(row, "id"), {name: other}),)


def _record(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    row = chance.pick(grounds.records)
    name = chance.pick(("value", "key", "run", "updated"))
    other: Any = f"{row[name]}x"
    if name == "value":
        other = flipped(row["value"], chance)
    elif name == "run":
        other = chance.pick([one["run"] for one in grounds.runs if one["run"] != row["run"]])
    elif name == "updated":
        other = row["updated"] + 1 + chance.below(99)
    return f"record {row['key']}: another {name}", (Change("record", key_of(row, "tenant", "key"), {name: other}),)


def _record_gone(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    row = chance.pick(grounds.records)
    return f"record {row['key']}: deleted", (Drop("record", key_of(row, "tenant", "key")),)


def _fact_gone(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    facts = chance.pick([facts for facts in grounds.of.values() if len(facts) > 2])
    fact = chance.pick(facts[:-1])
    return named(fact, "deleted"), (Drop("fact", key_of(fact, "run", "seq")),)


def _payload_gone(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    fact = chance.pick([fact for fact in grounds.facts if fact["salt"]])
    return named(fact, "its payloads are gone"), (change(fact, salt=None, input=None, output=None),)


def _fact_gone_rewritten(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """A fact of the middle is gone, and the rest is linked anew."""
    facts = chance.pick([facts for facts in grounds.of.values() if len(facts) > 3])
    at = 1 + chance.below(len(facts) - 2)
    left = facts[:at] + facts[at + 1 :]
    return named(facts[at], "deleted, the chain written anew"), rewritten(facts, left)


def _run_gone(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """A run, with all that is its own or with its row alone."""
    run = chance.pick(grounds.runs)["run"]
    alone = chance.below(3) == 0
    sorts = ("run",) if alone else ("ticket", "fact", "run")
    what = f"run {run}: deleted" + (" from the list" if alone else "")
    return what, tuple(Drop(sort, {"run": run}) for sort in sorts)


def _other_gone(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    large, bundles = ("blob", grounds.blobs, ("root", "id")), ("bundle", grounds.bundles, ("hash",))
    sort, rows, keys = chance.pick((large, bundles))
    row = chance.pick(rows)
    return f"{sort} {row[keys[-1]][:12]}: deleted", (Drop(sort, key_of(row, *keys)),)


def _swapped(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """Two facts of one run change places, and the chain stays, or is written anew."""
    facts = chance.pick([facts for facts in grounds.of.values() if len(facts) > 3])
    one = 1 + chance.below(len(facts) - 2)
    other = 1 + (one + chance.below(len(facts) - 3)) % (len(facts) - 1)
    if one == other:
        other = len(facts) - 1 if one != len(facts) - 1 else 1
    changed = list(facts)
    changed[one], changed[other] = facts[other], facts[one]
    what = f"run {facts[0]['run']}: facts {one + 1} and {other + 1} change places"
    if chance.below(2):
        return f"{what}, the chain written anew", rewritten(facts, changed)
    pairs = ((facts[one], facts[other]), (facts[other], facts[one]))
    return what, tuple(change(here, **{name: there[name] for name in CONTENT}) for here, there in pairs)


def _cut(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """The last facts of a run are gone; its row says so, or not."""
    facts = chance.pick([facts for facts in grounds.of.values() if len(facts) > 1])
    left = 1 + chance.below(len(facts) - 1)
    run, last = facts[0]["run"], facts[left - 1]
    edits: list[Edit] = [Drop("fact", key_of(fact, "run", "seq")) for fact in facts[left:]]
    if chance.below(2):
        values = {"seq": left, "head": last["head"], "status": "running", "parked_on": None, "due": None}
        edits.append(Change("run", {"run": run}, values))
    return f"run {run}: cut behind fact {left}", tuple(edits)


def _rewritten_from(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """A fact says something else, and everything from it on is computed anew, up to the row."""
    facts = chance.pick(list(grounds.of.values()))
    at = chance.below(len(facts))
    changed = [*facts[:at], {**facts[at], "body": later(facts[at]["body"])}, *facts[at + 1 :]]
    return named(facts[at], "another time, the chain written anew"), rewritten(facts, changed)


def _rewritten_and_excused(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """The same by somebody who knows what else the ledger notes."""
    what, edits = _rewritten_from(grounds, chance)
    run = next(edit.key["run"] for edit in edits if isinstance(edit, Change))
    return f"excused from its anchors: {what}", (*edits, Excused(run))


def _approver(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """Somebody else approved: in the fact with its chain, in the ticket, or in both."""
    decided = [fact for fact in grounds.facts if fact["kind"] == "ApprovalDecided"]
    fact = chance.pick(decided)
    body = from_json(fact["body"])
    ticket = next(row for row in grounds.tickets if row["id"] == body["ticket"])
    kept = from_json(ticket["body"])
    for answer in kept["ticket"]["answers"]:
        if answer["by"]["id"] == body["by"]:
            answer["by"]["id"] = "somebody-else"
    in_ticket = Change("ticket", key_of(ticket, "id"), {"body": to_json(kept)})
    facts = grounds.of[fact["run"]]
    changed = [{**one, "body": to_json({**body, "by": "somebody-else"})} if one is fact else one for one in facts]
    where = chance.below(3)
    edits = ((in_ticket,), rewritten(facts, changed), (in_ticket, *rewritten(facts, changed)))[where]
    return named(fact, f"another approver in {('the ticket', 'the fact', 'fact and ticket')[where]}"), edits


def _anchors(grounds: Grounds, chance: Chance) -> tuple[str, tuple[Edit, ...]]:
    """Lines are changed, deleted, moved, added; or the file is gone."""
    lines = grounds.anchors.splitlines(keepends=True)
    at = chance.below(len(lines))
    how = chance.below(5)
    if how == 0:
        line = lines[at]
        lines[at] = flipped(line[:-1], chance) + b"\n"
    elif how == 1:
        del lines[at]
    elif how == 2:
        at = at % (len(lines) - 1)
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    elif how == 3:
        lines.insert(at, lines[chance.below(len(lines))])
    else:
        return "the anchors: deleted", (Anchored(None),)
    what = ("a bit changed", "deleted", "moved", "written twice")[how]
    return f"the anchors, line {at + 1}: {what}", (Anchored(b"".join(lines)),)


WAYS: Final[Mapping[str, tuple[Way, ...]]] = {
    "edits": (
        _fact_bytes,
        _fact_bytes,
        _fact_kind,
        _fact_with_digest,
        _run_row,
        _large_value,
        _bundle,
        _ticket,
        _record,
    ),
    "deletions": (_fact_gone, _payload_gone, _fact_gone_rewritten, _run_gone, _other_gone, _record_gone),
    "swaps": (_swapped,),
    "tail cuts": (_cut,),
    "rewrites": (_rewritten_from, _rewritten_and_excused),
    "changed approvers": (_approver,),
    "anchors": (_anchors,),
}
_COLUMNS: Final = (
    "status", "parent", "root", "program", "bundle", "tenant", "actor", "requester", "trace_id", "span_id", "created",
    "seq", "head", "due", "parked_on",
)  # fmt: skip
_STATUSES: Final = ("succeeded", "failed", "denied", "cancelled", "partial")
