"""What a child run is handed, and when there is none: never more than its parent has, and no way back to itself.

Its tools: those that its own manifest names, less what a rule keeps from any program above it (`policy.rules`). Its
requester, environment and mode are its parent's. Its time is its parent's or less, and so is how deep it may delegate.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from magsag.domain.frozen import frozen

CYCLE = "delegation-cycle"
DEPTH = "depth-limit"
CHILDREN = "children-limit"


@frozen
class Handed:
    """What a run has from whoever began it. Times are microseconds since 1970."""

    lineage: tuple[str, ...]
    """exact references of the programs above, the root's first, and of its own"""
    requester: str
    environment: str
    mode: str
    deadline: int | None = None
    """when the run, and every run below it, has ended"""


class NoChild(NamedTuple):
    """Why a run begins no child run here."""

    rule: str
    reason: str


def handed_down(above: Handed, program: str, deadline: int | None) -> Handed:
    """What a child run of this program has; `deadline` is that of the delegation alone."""
    times = [time for time in (above.deadline, deadline) if time is not None]
    return replace(above, lineage=(*above.lineage, program), deadline=min(times, default=None))


def no_child(lineage: Sequence[str], target: str, begun: int, depth: int, children: int) -> NoChild | None:
    """Why a run may not delegate; None when it may. `begun` counts its child runs, this one included.

    Another version is the same program: A to B to A is a circle, however long it is and whoever is named in between.
    """
    name = target.partition("@")[0]
    if any(above.partition("@")[0] == name for above in lineage):
        return NoChild(CYCLE, f"{' -> '.join([*lineage, target])} is a circle")
    if len(lineage) >= depth:
        return NoChild(DEPTH, f"delegation is {depth} deep already ([limits] depth)")
    if begun > children:
        return NoChild(CHILDREN, f"the run has {children} child runs already ([limits] children)")
    return None
