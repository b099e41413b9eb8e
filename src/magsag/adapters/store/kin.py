"""What a vacuum wants to know of the runs, asked of either database."""

from collections.abc import Iterator, Mapping
from typing import Final

from magsag.adapters.store.reading import Reads
from magsag.engine.keeping import Kin, leaving
from magsag.ports.ledger import Weight

_EVER: Final = 1 << 62
"""later than anything"""


def kin_of(session: Reads, sql: Mapping[str, str]) -> Iterator[Kin]:
    """Every run."""
    for run, root, parent, continues, updated, is_open in session.execute(sql["kin"]):
        yield Kin(run, root, parent, continues, updated, bool(is_open))


def weights(session: Reads, sql: Mapping[str, str]) -> list[Weight]:
    """`ports.ledger.Upkeep.weights`."""
    trees = leaving(kin_of(session, sql), _EVER)
    large: dict[str, int] = dict(session.execute(sql["blob_bytes"]))
    found = [
        Weight(root, updated, size + large.get(root, 0))
        for root, updated, size in session.execute(sql["tree_bytes"])
        if root in trees
    ]
    return sorted(found, key=lambda weight: (weight.updated, weight.root))
