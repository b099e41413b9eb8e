"""Random ledgers, tampered with in random ways: the chain, the anchors and the rows show every one."""

from dataclasses import fields
from hashlib import sha256
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from magsag.adapters.store.anchored import against_anchors, missing
from magsag.adapters.store.claims import Claims, claims_of
from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.rows import Seen, across, against_row
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Stored
from magsag.engine.chain import verify
from magsag.ports.auditing import Evidence
from magsag.ports.ledger import RunRow
from magsag.services.proofs.audit import alone_on
from magsag.services.proofs.edits import Anchored, Chance, Change, Drop, Edit, Excused, Grounds, Row
from magsag.services.proofs.tampering import WAYS, tamperings
from magsag.testing.sample_runs import append, begin, done, end

_PATH = Path("anchors.log")
PLAIN = (
    *WAYS["edits"][:4],
    *WAYS["deletions"][:4],
    *WAYS["swaps"],
    *WAYS["tail cuts"],
    *WAYS["rewrites"],
    *WAYS["anchors"],
)
"""what needs no tickets, large values and bundles"""
LEDGERS = st.lists(st.lists(st.text(st.characters(codec="ascii", exclude_characters='"\\'), max_size=5), min_size=3,
                            max_size=6), min_size=2, max_size=4)  # fmt: skip


def written(ledger: list[list[str]]) -> list[Evidence]:
    """Runs that say these words, all of them ended, with a line among the anchors for each."""
    store = MemoryStore()
    prev, lines = "", []
    for number, words in enumerate(ledger, 1):
        run = RunId(f"run{number}")
        lease = begin(store, run)
        append(store, lease, *(done(f"step#{at}", word) for at, word in enumerate(words)), run=run)
        end(store, lease)
        row = store.row(run)
        assert row is not None
        record = to_json({"n": number, "at": 1, "runs": [[run, row.seq, row.head.hex()]], "prev": prev})
        prev = sha256(record).hexdigest()
        lines.append(b'%s,"hash":"%s"}\n' % (record[:-1], prev.encode()))
    return [Evidence("anchors", {"lines": b"".join(lines)}), *store.evidence()]


def tampered(found: list[Evidence], edits: tuple[Edit, ...]) -> list[Evidence]:
    """The same after the edits."""
    rows = [Evidence(one.sort, dict(one.values)) for one in found]
    for edit in edits:
        if isinstance(edit, Anchored):
            rows = [one for one in rows if one.sort != "anchors"]
            rows += [] if edit.data is None else [Evidence("anchors", {"lines": edit.data})]
            continue
        if isinstance(edit, Excused):
            rows += [Evidence(sort, {"run": edit.run}) for sort in ("owed", "vacuumed")]
            continue
        here = [one for one in rows if one.sort == edit.sort and edit.key.items() <= one.values.items()]
        if isinstance(edit, Change):
            for one in here:
                one.values.update(edit.values)
        elif isinstance(edit, Drop):
            rows = [one for one in rows if one not in here]
    return rows


def judged(found: list[Evidence]) -> list[Fault]:
    """What the pure parts of the judgement find."""
    anchors = next((one.values["lines"] for one in found if one.sort == "anchors"), None)
    claims = Claims(exists=False) if anchors is None else claims_of(anchors, _PATH)
    seen, faults = Seen(), list(claims.faults)
    facts: dict[str, list[Row]] = {}
    for one in found:
        if one.sort == "fact":
            facts.setdefault(one.values["run"], []).append(one.values)
    names = [field.name for field in fields(Stored)]
    for values in (one.values for one in found if one.sort == "run"):
        row = seen.rows[values["run"]] = RunRow(**values)
        mine = sorted(facts.pop(row.run, []), key=lambda fact: int(fact["seq"]))
        stored = [Stored(**{name: fact[name] for name in names}) for fact in mine]
        faults += verify(row.run, stored)
        faults += against_row(row, stored, (), {}, seen)
        faults += against_anchors(row, stored, claims, False)
    faults += [Fault(f"run {run}", "facts of no run") for run in facts]
    return [*faults, *across(seen, ()), *missing(seen.rows, claims, set(), _PATH, is_copy=False)]


@given(LEDGERS)
@settings(max_examples=25)
def test_what_nobody_touched_shows_nothing(ledger: list[list[str]]) -> None:
    found = written(ledger)
    assert judged(found) == []
    assert alone_on([one for one in found if one.sort != "bundle"]) == []


@given(LEDGERS, st.sampled_from(PLAIN), st.integers(0, 1 << 32))
def test_whatever_is_changed_shows(ledger: list[list[str]], way: object, seed: int) -> None:
    assert callable(way)
    found = written(ledger)
    what, edits = way(Grounds(found), Chance(seed))
    after = tampered(found, edits)
    assert after != found, what
    assert judged(after) != [], what
    assert alone_on(after) != [], what


def test_the_same_seed_gives_the_same_tampering() -> None:
    chance, other = Chance(3), Chance(3)
    assert [chance.below(1000) for _ in range(9)] == [other.below(1000) for _ in range(9)]
    assert Chance(4).below(1 << 60) != Chance(3).below(1 << 60)
    assert list(tamperings(Grounds([]), 0, 1)) == []
