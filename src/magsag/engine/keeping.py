"""Which run trees a ledger may let go. A tree stays as long as one that stays could still ask for it."""

from collections import defaultdict
from collections.abc import Iterable

from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId


@frozen
class Kin:
    """A run, and whom it knows."""

    run: RunId
    root: RunId
    parent: RunId | None
    continues: RunId | None
    updated: int
    is_open: bool
    """running or parked"""


def leaving(runs: Iterable[Kin], before: int) -> set[RunId]:
    """The roots of ended trees that nobody touched since, and that no tree which stays continues or belongs to."""
    known = list(runs)
    root_of = {kin.run: kin.root for kin in known}
    asks: defaultdict[RunId, set[RunId]] = defaultdict(set)
    for kin in known:
        if kin.continues in root_of:
            asks[kin.root].add(root_of[kin.continues])
        if kin.parent in root_of:
            asks[kin.root].add(root_of[kin.parent])
            asks[root_of[kin.parent]].add(kin.root)
    staying = [kin.root for kin in known if kin.is_open or kin.updated >= before]
    kept: set[RunId] = set()
    while staying:
        root = staying.pop()
        if root not in kept:
            kept.add(root)
            staying.extend(asks[root])
    return set(root_of.values()) - kept
