"""Writes as the arguments of the statements that commit them. What is decided is decided in the server."""

from collections.abc import Iterable, Sequence
from itertools import chain

from pydantic_core import to_json

from magsag.adapters.store.postgres.budgets import moves
from magsag.adapters.store.postgres.encoding import (
    Parameter,
    boolean,
    booleans,
    bytea,
    byteas,
    int4s,
    int8,
    int8s,
    jsonb,
    text,
    texts,
)
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, NewRun, Sealed, TicketRow, Write


def appended(item: Write, lease: Lease, synced: bool) -> list[Parameter]:
    """The arguments of `append`: one fact of a driven run and nothing beside it."""
    (fact,) = item.facts
    return [
        boolean(synced), text(item.run), text(item.root), text(lease.owner), int8(lease.fence), text(fact.kind),
        bytea(fact.body), bytea(fact.digest), bytea(fact.salt), bytea(fact.input), bytea(fact.output),
    ]  # fmt: skip


def appended_many(item: Write, synced: bool) -> list[Parameter]:
    """The arguments of `append_many`: facts of one run and nothing beside them."""
    lease, facts = item.lease, item.facts
    return [
        boolean(synced), text(item.run), text(item.root), text(lease.owner if lease else None),
        int8(lease.fence if lease else None), texts([fact.kind for fact in facts]),
        byteas([fact.body for fact in facts]), byteas([fact.digest for fact in facts]),
        byteas([fact.salt for fact in facts]), byteas([fact.input for fact in facts]),
        byteas([fact.output for fact in facts]),
    ]  # fmt: skip


def only_appends(item: Write) -> bool:
    """Whether `append` or `append_many` may write it."""
    beside = item.create or item.change or item.release or item.blobs or item.records or item.tickets
    beneath = item.standing or item.leans or item.reserves or item.settles
    return bool(item.facts) and not (beside or beneath) and item.wake is None and item.under is None


def committed(writes: Sequence[Write], synced: bool, anchors: str | None, settled: Sequence[str]) -> list[Parameter]:
    """The arguments of `commit`, in its order. `anchors` names the file that gets a line of this commit."""
    above = [item.under for item in writes]
    held = {item.root for item in writes} | {lease.root for lease in above if lease is not None}
    roots = {root: n for n, root in enumerate(sorted(held), 1)}
    names = {item.run for item in writes} | {item.root for item in writes if item.wake is not None}
    runs = {run: n for n, run in enumerate(sorted(names), 1)}
    return [
        boolean(synced), text(anchors), texts(settled), texts(list(runs)), texts(list(roots)),
        *_of_writes(writes, runs, roots),
        *_of_facts([(n, fact) for n, item in enumerate(writes, 1) for fact in item.facts]),
        jsonb(_new_runs(writes)),
        *_beside(writes),
        int8s([item.wake for item in writes]),
        *_of_tickets([(n, ticket) for n, item in enumerate(writes, 1) for ticket in item.tickets]),
        int4s([roots[lease.root] if lease else 0 for lease in above]),
        texts([lease.owner if lease else None for lease in above]),
        int8s([lease.fence if lease else None for lease in above]),
        *_of_standing(writes),
        *moves(writes),
    ]  # fmt: skip


def _of_writes(writes: Sequence[Write], runs: dict[RunId, int], roots: dict[RunId, int]) -> list[Parameter]:
    leases, changes = [item.lease for item in writes], [item.change for item in writes]
    return [
        int4s([runs[item.run] for item in writes]),
        int4s([roots[item.root] for item in writes]),
        texts([lease.owner if lease else None for lease in leases]),
        int8s([lease.fence if lease else None for lease in leases]),
        int4s([len(item.facts) for item in writes]),
        booleans([item.create is not None for item in writes]),
        texts([item.create.owner if item.create else None for item in writes]),
        texts([change.status if change else None for change in changes]),
        texts([change.parked_on if change else None for change in changes]),
        int8s([change.due if change else None for change in changes]),
        int8s([change.updated if change else None for change in changes]),
        booleans([item.release for item in writes]),
    ]


def _of_facts(facts: Sequence[tuple[int, Sealed]]) -> list[Parameter]:
    return [
        int4s([n for n, _ in facts]),
        texts([fact.kind for _, fact in facts]),
        byteas([fact.body for _, fact in facts]),
        byteas([fact.digest for _, fact in facts]),
        byteas([fact.salt for _, fact in facts]),
        byteas([fact.input for _, fact in facts]),
        byteas([fact.output for _, fact in facts]),
    ]


def _new_runs(writes: Sequence[Write]) -> bytes | None:
    rows = [_new_run(n, item, item.create) for n, item in enumerate(writes, 1) if item.create is not None]
    return to_json(rows) if rows else None


def _new_run(n: int, item: Write, new: NewRun) -> dict[str, object]:
    return {
        "write": n, "run": item.run, "root": new.root, "parent": new.parent, "program": new.program,
        "bundle": new.bundle, "tenant": new.tenant, "actor": new.actor, "requester": new.requester,
        "trace_id": new.trace_id, "span_id": new.span_id, "created": new.created, "owner": new.owner,
        "ms": int(new.lease_seconds * 1000),
    }  # fmt: skip


def _beside(writes: Sequence[Write]) -> Iterable[Parameter]:
    """Large values and records."""
    blobs = [(n, id, body) for n, item in enumerate(writes, 1) for id, body in item.blobs.items()]
    records = [(n, record) for n, item in enumerate(writes, 1) for record in item.records]
    return chain(
        (int4s([n for n, _, _ in blobs]), texts([id for _, id, _ in blobs]), byteas([body for _, _, body in blobs])),
        (int4s([n for n, _ in records]), texts([record.tenant for _, record in records])),
        (texts([record.key for _, record in records]), byteas([record.value for _, record in records])),
        (int8s([record.at for _, record in records]),),
    )


def _of_tickets(tickets: Sequence[tuple[int, TicketRow]]) -> list[Parameter]:
    ids = {id: n for n, id in enumerate(sorted({ticket.id for _, ticket in tickets}), 1)}
    rows = [
        {
            "i": i, "run": ticket.run, "root": ticket.root, "step": ticket.step, "state": ticket.state,
            "version": ticket.version, "opened": ticket.opened, "expires": ticket.expires,
        }
        for i, (_, ticket) in enumerate(tickets, 1)
    ]  # fmt: skip
    return [
        texts(list(ids)),
        int4s([n for n, _ in tickets]),
        int4s([ids[ticket.id] for _, ticket in tickets]),
        int8s([ticket.version for _, ticket in tickets]),
        jsonb(to_json(rows) if rows else None),
        byteas([ticket.salt for _, ticket in tickets]),
        byteas([ticket.body for _, ticket in tickets]),
    ]


def _of_standing(writes: Sequence[Write]) -> list[Parameter]:
    """Standing approvals: the ids in one order, what intents lean on, what is made or revoked."""
    leans = [
        {"write": n, "id": one.id, "version": one.version, "at": one.at}
        for n, item in enumerate(writes, 1) for one in item.leans
    ]  # fmt: skip
    rows = [
        {
            "write": n, "id": row.id, "run": row.run, "root": row.root, "step": row.step, "target": row.target,
            "revoked": row.is_revoked, "version": row.version, "made": row.made, "until": row.until,
        }
        for n, item in enumerate(writes, 1) for row in item.standing
    ]  # fmt: skip
    ids = {str(one["id"]) for one in (*leans, *rows)}
    return [texts(sorted(ids)), jsonb(to_json(leans) if leans else None), jsonb(to_json(rows) if rows else None)]
