"""The ledger as an auditor sees it: verified against itself and its anchors, and handed out as it stands.

`data check` and `audit verify` are one judgement; here it is told with how far it reaches.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault


@frozen
class Reach:
    """How far the anchors vouch for one run."""

    run: RunId
    facts: int
    anchored: int
    """so many of them cannot have been changed unless the anchors were as well"""


@frozen
class Vouching:
    """The anchors that the ledger was held against."""

    file: str
    exists: bool
    lines: int
    head: str
    """hash of the last line: who writes it down elsewhere knows the file again"""
    at: int
    """when that line was written, in microseconds since 1970; 0 without one"""
    vacuumed: int
    """runs that the ledger may have let go, say the anchors"""
    excused: int
    """anchored runs that are gone, of which the ledger alone says that another machine vacuumed them"""
    accepted: tuple[tuple[str, int], ...]
    """who said that the ledger may hold less, and of how many runs"""
    is_writable: bool
    """whether whoever verifies could write the file"""
    unanchored: int
    """runs that have ended and whose line is not written yet, or lies on another machine"""
    noted: int
    """runs of which the ledger alone says that they were imported: records that they put are not looked for"""
    copied: int | None = None
    """lines of the copy from elsewhere, which are believed; None without one"""


@frozen
class Verified:
    """Everything that is wrong, and how far the anchors reach."""

    faults: list[Fault]
    reaches: list[Reach]
    anchors: Vouching | None
    """None for a ledger that has none: it lives in memory"""


@frozen
class Evidence:
    """One row of the ledger, as it stands, whatever somebody made of it."""

    sort: str
    """`run`, `fact`, `ticket`, `standing`, `record`, `blob`, `bundle`; `anchors` are the lines of the file; `owed`,
    `vacuumed` are runs of which it need not tell the end, or anything"""
    values: dict[str, Any]
    root: RunId | None = None
    """the run tree that it belongs to"""


Chosen = Callable[[Sequence[dict[str, Any]]], Collection[RunId] | None]
"""run rows -> the trees that are meant; None for everything"""


class Audited(Protocol):
    """What auditors ask of a store."""

    def verify(self, heard: Callable[[int], None] | None = None, copy: Path | None = None) -> Verified:
        """As `Upkeep.check`, told with its reach. `copy` is a copy of the anchors that was kept elsewhere."""

    def evidence(self, chosen: Chosen | None = None) -> Generator[Evidence, None, None]:
        """All rows that an auditor needs to come to the same judgement, as of one moment; holds one tree at a time.

        What belongs to no tree comes first, anchors before all, then tree by tree, at last rows of trees that are not
        there. With `chosen` only these trees, with their bundles and all anchors. Whoever stops early closes it.
        """
