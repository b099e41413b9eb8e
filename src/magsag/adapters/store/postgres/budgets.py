"""What writes take from budgets and give back, as arguments of the statement that commits them."""

from collections.abc import Sequence
from typing import Final

from pydantic_core import from_json

from magsag.adapters.store.postgres.encoding import Parameter, booleans, int4s, int8s, texts
from magsag.domain.budget import Balance, Shortfall
from magsag.ports.ledger import Write

_NONE: Final = [
    texts([]), texts([]), texts([]), texts([]), int4s([]), int4s([]), texts([]), booleans([]), int8s([]), int8s([]),
]  # fmt: skip


def moves(writes: Sequence[Write]) -> list[Parameter]:
    """The budgets, sorted and without repetition, and what moves in them: of each write it settles first."""
    if not any(item.reserves or item.settles for item in writes):
        return _NONE
    named = {taken.budget.id: taken.budget for item in writes for taken in item.reserves}
    ids = sorted(named.keys() | {back.budget for item in writes for back in item.settles})
    at = {id: n for n, id in enumerate(ids, 1)}
    budgets = [named.get(id) for id in ids]
    rows: list[tuple[int, int, str, bool, int, int | None]] = []
    for n, item in enumerate(writes, 1):
        rows += [(n, at[back.budget], back.step, False, back.spent, None) for back in item.settles]
        rows += [(n, at[taken.budget.id], taken.step, True, taken.amount, taken.budget.cap) for taken in item.reserves]
    write, budget, step, takes, amount, cap = zip(*rows, strict=True)
    return [
        texts(ids),
        texts([one.scope if one else None for one in budgets]),
        texts([one.unit if one else None for one in budgets]),
        texts([one.run if one else None for one in budgets]),
        int4s(write), int4s(budget), texts(step), booleans(takes), int8s(amount), int8s(cap),
    ]  # fmt: skip


def short_of(data: bytes | None) -> Shortfall | None:
    """What the server said was missing."""
    return None if data is None else Shortfall(*from_json(data))


def balances_of(row: Sequence[bytes | None]) -> tuple[Balance, ...]:
    """What the server said is taken; other commands than `commit` say nothing of it."""
    data = row[0] if row else None
    return tuple(Balance(*one) for one in from_json(data)) if data else ()
