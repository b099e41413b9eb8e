"""One line of the audit log; and a cap that somebody set, which is no fact of a run, as such a line."""

from magsag.domain.budget import Cap
from magsag.domain.frozen import frozen
from magsag.policy.budget import show


@frozen
class Entry:
    """One decision. `at` is microseconds since 1970."""

    at: int
    run: str
    """empty for what belongs to none"""
    root: str
    program: str
    seq: int
    kind: str
    """of the fact; `CapSet` for a cap, which belongs to no run"""
    step: str | None
    target: str | None
    decision: str | None
    """allow, ask, deny, by a rule or by the answer of a person; None for what else people did"""
    rule: str | None
    """its id; of what the gate itself refused, by what: rate, concurrency, breaker, budget, approval"""
    place: str | None
    """`file:line` of the rule"""
    reason: str | None
    policy: str | None
    """content hash of the policies in force"""
    by: str | None
    """the person"""
    said: str | None
    """what the person said: approve, deny, approve with other arguments; how a doubt ended; of an ask that a standing
    approval answered, which"""


def entry_of_cap(cap: Cap) -> Entry:
    """What somebody made a cap."""
    amount = "none" if cap.cap is None else show(cap.unit, cap.cap)
    return Entry(
        at=cap.at,
        run="",
        root="",
        program="",
        seq=cap.n,
        kind="CapSet",
        step=None,
        target=f"budget:{cap.scope}/{cap.unit}",
        decision=None,
        rule=None,
        place=None,
        reason=cap.reason or None,
        policy=None,
        by=cap.by,
        said=f"cap {amount}",
    )
