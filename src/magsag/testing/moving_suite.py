"""What every store must do when a whole ledger leaves it or comes into it; a part of `magsag.testing.store_suite`."""

from collections.abc import Callable
from typing import Final

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Proof
from magsag.domain.budget import Budget, Cap, Reserve
from magsag.domain.errors import Invalid, LedgerClosed
from magsag.domain.facts import CancelRequested
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import blob_id
from magsag.ports.ledger import (
    AnchorLines,
    Closure,
    Course,
    KeptBlob,
    KeptBudget,
    KeptBundle,
    KeptCap,
    KeptRecord,
    KeptReservation,
    KeptRun,
    KeptTicket,
    Lease,
    Piece,
    Record,
    Store,
    Write,
)
from magsag.ports.standing_approvals import KeptStanding
from magsag.testing.sample_runs import (
    ELSEWHERE,
    RUN,
    SYNCED,
    WRITTEN,
    append,
    asked,
    begin,
    done,
    end,
    new_run,
    park,
    putting,
    sealed,
    standing,
    started,
)

FILLING: Final = Closure(Course.FILLING, "elsewhere's ledger", 1)
LEAVING: Final = Closure(Course.LEAVING, "elsewhere's ledger", 2)
LEFT: Final = Closure(Course.LEFT, "elsewhere's ledger", 2)


class MovingSuite:
    """The whole ledger, out and in."""

    def test_what_comes_out_is_sorted_by_the_bytes_of_its_keys(self, store: Store) -> None:
        assert moved(store) == []
        furnish(store)
        names = [(type(piece).__name__, _key(piece)) for piece in moved(store)]
        assert names == [
            ("KeptBundle", "a-bundle"),
            ("KeptBundle", "bundle-1"),
            ("KeptRun", "Zulu"),
            ("KeptRun", "ended"),
            ("KeptRun", "ended.sub"),
            ("KeptRun", "parked"),
            ("KeptBlob", "ended"),
            ("KeptRecord", "key"),
            ("KeptTicket", "t1"),
            ("KeptStanding", "s1"),
            ("KeptBudget", "organisation/usd"),
            ("KeptReservation", "ended"),
            ("KeptCap", "000000001"),
        ]

    def test_a_store_that_is_filled_holds_the_same(self, store: Store) -> None:
        source = furnish(MemoryStore())
        fill(store, source)
        assert moved(store) == moved(source)
        store.set_closure(None, FILLING)
        assert (moved(store), store.closure()) == (moved(source), None)
        assert store.check() == []
        assert store.due(1_000, 10) == ["Zulu", "parked"]
        assert store.record("local", "key") == b"1"
        lease = store.acquire(RunId("parked"), store.owner(), 60)
        assert isinstance(lease, Lease)
        end(store, lease)
        append(store, None, sealed(CancelRequested(at=9, by="ann")), run=RunId("ended"))
        assert store.check() == []

    def test_what_came_out_of_it_fills_another(self, store: Store) -> None:
        target = MemoryStore()
        furnish(store)
        fill(target, store)
        target.set_closure(None, FILLING)
        assert moved(target) == moved(store)
        assert target.check() == []

    def test_nobody_drives_in_a_store_that_is_being_filled(self, store: Store) -> None:
        fill(store, furnish(MemoryStore()))
        before = moved(store)
        refuse_drivers(store)
        assert moved(store) == before

    def test_filling_again_begins_with_nothing(self, store: Store) -> None:
        fill(store, furnish(MemoryStore()))
        store.set_closure(FILLING, FILLING)
        assert moved(store) == []
        source = furnish(MemoryStore())
        store.fill(list(source.pieces()))
        store.set_closure(None, FILLING)
        assert moved(store) == moved(source)
        assert store.check() == []

    def test_a_store_that_holds_something_is_not_filled(self, store: Store) -> None:
        furnish(store)
        before = moved(store)
        with pytest.raises(Invalid):
            store.set_closure(FILLING, None)
        with pytest.raises(Invalid, match="in use"):
            store.fill(before)
        assert moved(store) == before
        assert store.closure() is None

    @pytest.mark.parametrize("closure", [LEAVING, LEFT])
    def test_a_closed_ledger_is_read_and_not_written(
        self, open_store: Callable[[], Store], store: Store, closure: Closure
    ) -> None:
        furnish(store)
        before, other = moved(store), open_store()
        store.set_closure(closure, None)
        for one in (store, other):
            assert one.closure() == closure
            refuse_drivers(one)
            assert len(one.read(RunId("parked"))) == 2
        assert moved(store) == before
        store.set_closure(None, closure)
        park(other, begin(other, RunId("new")), due=5)
        assert store.check() == []

    def test_the_lease_of_a_process_that_stood_still_writes_no_more(self, store: Store) -> None:
        lease = begin(store, owner=ELSEWHERE)
        store.renew(ELSEWHERE, 0)
        store.set_closure(LEAVING, None)
        refused(lambda: append(store, lease, done("a#1")))
        refused(lambda: store.renew(ELSEWHERE, 60))

    def test_a_ledger_in_which_somebody_drives_does_not_close(self, store: Store) -> None:
        lease = begin(store, owner=ELSEWHERE)
        with pytest.raises(Invalid, match=f"{RUN}.*{ELSEWHERE}"):
            store.set_closure(LEAVING, None)
        assert store.closure() is None
        append(store, lease, done("a#1"))

    def test_a_ledger_that_stands_otherwise_than_believed_stays_so(self, store: Store) -> None:
        store.set_closure(LEAVING, None)
        with pytest.raises(Invalid, match="elsewhere's ledger"):
            store.set_closure(LEFT, None)
        store.set_closure(None, LEAVING)
        with pytest.raises(Invalid, match="opened again"):
            store.set_closure(LEFT, LEAVING)
        assert store.closure() is None


def furnish(store: Store) -> Store:
    """Runs of several states, a child run, a large value, a record, a ticket, bundles."""
    for hash in ("bundle-1", "a-bundle"):
        store.put_bundle(hash, b"catalog")
    park(store, begin(store, RunId("parked")), due=5)
    lease, child = begin(store, RunId("ended")), RunId("ended.sub")
    blobs, records = {blob_id(b"s" * 16, b"large"): b"large"}, [Record("local", "key", b"1", at=2)]
    store.set_cap(Cap(1, "organisation", "usd", 9, 1, "ann", Proof.OS_USER, "0" * 64, ""))
    held, ticket = asked(lease.root)
    facts = [done("a#1"), held, *putting("put#1", *records)]
    first = Write(lease.root, lease.root, facts, lease, blobs=blobs, records=records, tickets=[ticket])
    first.standing = [standing(run=lease.root)]
    first.reserves = [Reserve(StepId("a#1"), Budget("organisation/usd", "organisation", "usd", None), 4)]
    store.write([first], WRITTEN)
    store.write(
        [Write(child, lease.root, [started(parent=lease.root)], lease, new_run(child, None, root=lease.root))], SYNCED
    )
    end(store, lease, run=child)
    end(store, lease)
    store.release(begin(store, RunId("Zulu")))
    return store


def fill(target: Store, source: Store) -> None:
    """In two commits."""
    pieces = list(source.pieces())
    target.set_closure(FILLING, None)
    target.fill(pieces[:3])
    target.fill(pieces[3:])


def moved(store: Store) -> list[Piece]:
    """All but the anchors, which are where the store keeps them."""
    return [piece for piece in store.pieces() if not isinstance(piece, AnchorLines)]


def refused(act: Callable[[], object]) -> None:
    """Closed, and it says where to go on."""
    with pytest.raises(LedgerClosed, match="elsewhere's ledger"):
        act()


def refuse_drivers(store: Store) -> None:
    """No lease, no run, no fact."""
    cancel = sealed(CancelRequested(at=9, by="ann"))
    refused(lambda: store.acquire(RunId("parked"), store.owner(), 60))
    refused(lambda: begin(store, RunId("new")))
    refused(lambda: append(store, None, cancel, run=RunId("parked")))


def _key(piece: Piece) -> str:
    match piece:
        case AnchorLines():
            return ""
        case KeptBundle(hash):
            return hash
        case KeptRun(row):
            return row.run
        case KeptBlob(root):
            return root
        case KeptRecord(record):
            return record.key
        case KeptTicket(asked):
            return asked.id
        case KeptStanding(approved):
            return approved.id
        case KeptBudget(standing):
            return standing.id
        case KeptReservation(held):
            return held.run
        case KeptCap(cap):
            return f"{cap.n:09}"
