"""What `data check` and `audit verify` find beyond chains: rows, tickets, children, large values, bundles, copies."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic_core import from_json, to_json

from magsag.adapters.store.sqlite import SqliteStore
from magsag.catalog.frozen import content_hash, freeze
from magsag.domain.approval import Acting, Answer, Proof, TicketState
from magsag.domain.effects import Effect
from magsag.domain.facts import ApprovalDecided, Decision, Proposal, StepDone, StepStarted, StepSucceeded, Verdict
from magsag.domain.ids import RunId, StepId
from magsag.domain.large import MARK
from magsag.domain.sealed import Fault, Sealed
from magsag.engine.chain import blob_id, link, unseal
from magsag.policy.approval import Given, spent
from magsag.ports.ledger import Store, Write
from magsag.services.keeping.erasing import Erasing
from magsag.services.keeping.verification import Report, report
from magsag.services.steps.tickets import kept, next_row
from magsag.testing.clock import FrozenClock
from magsag.testing.sample_runs import RUN, SYNCED, append, asked, begin, done, end, new_run, park, sealed, started

CHILD = RunId(f"{RUN}.sub#1")
BLOB = blob_id(b"s" * 16, b"[1]")
FILES = {"contracts/a.schema.json": b"{}"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A tree with a child run, a ticket that was approved and spent, a large value; a parked run; a bundle."""
    path = tmp_path / "ledger.db"
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        new = new_run(CHILD, None, root=RUN)
        store.write([Write(CHILD, RUN, [started(parent=RUN)], lease, new)], SYNCED)
        end(store, lease, run=CHILD)
        row = store.row(CHILD)
        assert row is not None
        ended = StepSucceeded(at=2, step=StepId("sub#1"), took=1, child_head=row.head.hex(), output=b"1")
        append(store, lease, intent("sub#1"), sealed(ended))
        approve(store)
        small = unseal(done("large#1"))
        assert isinstance(small, StepDone)
        large = sealed(replace(small, output=to_json({MARK: BLOB})))
        store.write([Write(RUN, RUN, [large], lease, blobs={BLOB: b"[1]"})], SYNCED)
        end(store, lease)
        park(store, begin(store, RunId("parked")), due=5)
        store.put_bundle(content_hash(FILES), freeze(FILES))
    return path


CHANGES = {
    "a payload that names a large value and is no JSON": (
        f"update facts set output = output || '{{' where run = '{RUN}' and seq = 7",
        "the output does not match its commitment",
    ),
    "another parent": (f"update runs set parent = 'parked' where run = '{CHILD}'", "it was started with"),
    "another creation": ("update runs set created = 7 where run = 'parked'", "created at another time"),
    "another tenant": ("update runs set tenant = 'theirs' where run = 'parked'", "tenant 'theirs'"),
    "an ended run that is due": (f"update runs set due = 7 where run = '{RUN}'", "wants it to be looked at"),
    "an ended run that is parked": (f"update runs set parked_on = 'time' where run = '{RUN}'", "and parked on time"),
    "a child in another tree": (f"update runs set root = 'parked' where run = '{CHILD}'", "is not in the tree of"),
    "a deleted large value": ("delete from blobs", "it is gone: it was deleted"),
    "a renamed large value": ("update blobs set id = 'other'", "it is gone: it was deleted"),
    "a salt that is for nothing": (
        f"update facts set salt = x'00' where run = '{RUN}' and kind = 'ApprovalDecided'",
        "a salt and nothing that it is for",
    ),
    "another approver in the ticket": (
        "update approvals set body = replace(cast(body as text), 'maria', 'bruno')",
        "not what its facts say",
    ),
    "other requesters in the ticket": (
        """update approvals set body = replace(cast(body as text), '["ann","ben"]', '["ann","bev"]')""",
        "requesters are not those who started",
    ),
    "a word in the ticket that nobody knows": (
        """update approvals set body = replace(cast(body as text), '"program"', '"of":1,"program"')""",
        "not what its facts say",
    ),
    "another state inside the ticket": (
        """update approvals set body = replace(cast(body as text), '"state":"spent"', '"state":"open"')""",
        "not what its facts say",
    ),
    "another rule in the ticket": (
        "update approvals set body = replace(cast(body as text), 'ask-first', 'ask-never')",
        "not what its facts say",
    ),
    "another program in the ticket": (
        "update approvals set body = replace(cast(body as text), 'agent:greeter', 'agent:other')",
        "not what its facts say",
    ),
    "a ticket of another step": ("update approvals set step = 'other#1'", "not what its facts say"),
    "a ticket that lasts longer": ("update approvals set expires = expires + 1", "not what its facts say"),
    "a ticket opened again": ("update approvals set state = 'open'", "it is open, its facts say spent"),
    "another salt of a ticket": ("update approvals set salt = randomblob(16)", "its salt is not the one"),
    "no salt of a ticket": ("update approvals set salt = null", "its salt is not the one"),
    "a ticket of another run": ("update approvals set run = 'parked'", "no fact knows it"),
    "a ticket of no run": ("update approvals set run = 'ghost'", "1 approvals, but no such run"),
    "a ticket that nobody opened": (
        "insert into approvals select 't9', run, root, step, 'approved', 1, opened, expires, salt, body from approvals",
        "no fact knows it",
    ),
    "a ticket that is no ticket": ("update approvals set body = '{}'", "is damaged"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_finds(path: Path, name: str) -> None:
    assert judged(path).is_sound
    statement, what = CHANGES[name]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement).rowcount
        connection.commit()
    told = faults(path)
    assert any(what in fault.what for fault in told), told
    assert any(what in fault.what for fault in told if fault.run is not None), told


def test_an_approver_changed_in_fact_and_ticket_is_found_by_the_anchors(path: Path) -> None:
    rewrite(path, RUN, b'"by":"maria"', b'"by":"bruno"')
    change(path, "update approvals set body = replace(cast(body as text), 'maria', 'bruno')")
    (bad,) = judged(path).bad
    assert "is not the one that was anchored: it was rewritten" in bad.what
    assert (bad.run, bad.seq) == (RUN, 1)


def test_a_child_that_was_rewritten_is_found_by_what_its_parent_tells(path: Path) -> None:
    path.with_name("anchors.log").unlink()
    rewrite(path, CHILD, b'"status":"succeeded"', b'"status":"succeeded" ')
    found = [fault for fault in faults(path) if fault.run is not None]
    assert [(fault.run, fault.kind) for fault in found] == [(RUN, "StepSucceeded")]
    assert "its child run is not there" in found[0].what


def test_a_deleted_bundle_of_a_run_is_found(path: Path) -> None:
    hash = content_hash(FILES)
    change(path, f"update runs set bundle = '{hash}' where run = 'parked'")
    assert not any("it was deleted" in fault.what for fault in faults(path))
    change(path, "delete from bundles")
    assert any(fault.what.endswith("and it is gone: it was deleted") for fault in faults(path))


def test_the_first_bad_fact_of_a_run_is_named_with_its_kind(path: Path) -> None:
    change(path, f"update facts set body = body || ' ' where run = '{RUN}' and seq in (3, 5)")
    (bad,) = judged(path).bad
    assert (bad.run, bad.seq, bad.kind, bad.faults) == (RUN, 3, "StepSucceeded", 2)
    assert bad.what == "the body does not match its digest: it was changed"


def test_a_changed_approver_is_told_at_the_answer_and_not_at_the_ticket(path: Path) -> None:
    change(path, "update facts set body = replace(cast(body as text), 'maria', 'bruno') where kind = 'ApprovalDecided'")
    (bad,) = judged(path).bad
    assert (bad.kind, bad.what) == ("ApprovalDecided", "the body does not match its digest: it was changed")
    assert bad.faults > 1, "the ticket differs from it, too"


def test_what_came_after_the_last_anchor_is_told(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        append(store, None, done("late#1"), run=RunId("parked"))
    told = judged(path)
    assert told.is_sound
    assert [(reach.run, reach.facts, reach.anchored) for reach in told.after] == [("parked", 3, 2)]
    assert told.facts - told.vouched == 1
    assert told.anchors is not None
    assert told.anchors.lines == len(path.with_name("anchors.log").read_bytes().splitlines())


def test_with_a_copy_of_the_anchors_a_ledger_rewritten_together_with_its_anchors_is_found(path: Path) -> None:
    anchors, copy = path.with_name("anchors.log"), path.with_name("copy.log")
    copy.write_bytes(anchors.read_bytes())
    rewrite(path, RUN, b'"by":"maria"', b'"by":"bruno"')
    change(path, "update approvals set body = replace(cast(body as text), 'maria', 'bruno')")
    forge(path)
    assert judged(path).is_sound
    told = judged(path, copy)
    assert [bad.run for bad in told.bad] == [RUN]
    assert [fault.what for fault in told.beside] == [
        "it is not as in the copy; the copy is believed, as far as it reaches"
    ]


def test_an_older_copy_of_the_anchors_is_no_fault(path: Path) -> None:
    anchors, copy = path.with_name("anchors.log"), path.with_name("copy.log")
    copy.write_bytes(anchors.read_bytes()[:-7])
    with closing(SqliteStore(path)) as store:
        end(store, begin(store, RunId("later")))
    assert judged(path, copy).is_sound


def test_anchors_cut_behind_what_a_copy_holds_are_found(path: Path) -> None:
    anchors, copy = path.with_name("anchors.log"), path.with_name("copy.log")
    copy.write_bytes(anchors.read_bytes())
    anchors.write_bytes(b"".join(anchors.read_bytes().splitlines(keepends=True)[:-1]))
    assert "they were cut" in judged(path, copy).beside[0].what
    anchors.unlink()
    assert "the copy of them is believed" in judged(path, copy).beside[0].what


def test_a_line_that_is_no_json_is_found_though_its_hash_is_right(path: Path) -> None:
    with path.with_name("anchors.log").open("ab") as file:
        file.write(b'{"n":,"hash":"%s"}\n' % sha256(b'{"n":}').hexdigest().encode())
    assert "this line was changed" in judged(path).beside[0].what


def test_an_erased_payload_that_came_back_is_found(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        before = store.read(RUN)[0]
        Erasing(store, FrozenClock()).erase(RUN, "ann")
        assert store.check() == []
    change(path, f"update facts set salt = ?, input = ? where run = '{RUN}' and seq = 1", (before.salt, before.input))
    assert any("was erased, and something of it is here" in fault.what for fault in faults(path))


def approve(store: Store) -> None:
    """A step is held, somebody approves it, it starts: facts and ticket in step, as the product writes them."""
    held, row = asked()
    store.write([Write(RUN, RUN, [held], tickets=[row])], SYNCED)
    fact = ApprovalDecided(
        at=3, step=row.step, ticket=row.id, answer=Answer.APPROVE, by="maria", proof=Proof.OS_USER, people="p"
    )
    given = (Given(Acting("maria", Proof.OS_USER), Answer.APPROVE, 3),)
    ticket = replace(kept(row).ticket, state=TicketState.APPROVED, answers=given)
    approved = next_row(row, ticket)
    store.write([Write(RUN, RUN, [sealed(fact)], tickets=[approved])], SYNCED)
    used = next_row(approved, spent(ticket, 4))
    store.write([Write(RUN, RUN, [intent("pay#1", row.id)], tickets=[used])], SYNCED)


def intent(step: str, approval: str | None = None) -> Sealed:
    proposal = Proposal("skill", "skill:look-up@1.0.0", Effect.READ)
    verdict = Verdict(Decision.ALLOW, "built-in:read", "built-in", "", "0" * 64)
    return sealed(
        StepStarted(at=2, step=StepId(step), proposal=proposal, verdict=verdict, attempt=1, key="k", act_by=9,
                    approval=approval, input=b"{}")
    )  # fmt: skip


def judged(path: Path, copy: Path | None = None) -> Report:
    with closing(SqliteStore(path)) as store:
        return report(store.verify(copy=copy))


def faults(path: Path) -> list[Fault]:
    with closing(SqliteStore(path)) as store:
        return store.check()


def change(path: Path, statement: str, parameters: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement, parameters).rowcount, statement
        connection.commit()


def rewrite(path: Path, run: RunId, old: bytes, new: bytes) -> None:
    """Change a body and compute the whole chain anew, in the row too."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("select seq, body from facts where run = ? order by seq", (run,)).fetchall()
        head = b""
        for seq, body in rows:
            changed = bytes(body).replace(old, new)
            digest = sha256(changed).digest()
            head = link(head, digest)
            connection.execute(
                "update facts set body = ?, digest = ?, head = ? where run = ? and seq = ?",
                (changed, digest, head, run, seq),
            )
        connection.execute("update runs set head = ? where run = ?", (head, run))
        connection.commit()


def forge(path: Path) -> None:
    """Compute all anchors anew from what the ledger holds now."""
    anchors, prev, lines = path.with_name("anchors.log"), "", []
    with closing(sqlite3.connect(path)) as connection:
        for line in anchors.read_bytes().splitlines():
            content = from_json(line)
            del content["hash"]
            for rest in content.get("runs", ()):
                found = connection.execute("select head from facts where run = ? and seq = ?", (rest[0], rest[1]))
                rest[2] = found.fetchone()[0].hex()
            record = to_json({**content, "prev": prev})
            prev = sha256(record).hexdigest()
            lines.append(b'%s,"hash":"%s"}\n' % (record[:-1], prev.encode()))
    anchors.write_bytes(b"".join(lines))
