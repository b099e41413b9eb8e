"""When a word that did not count goes on record once more. Pure; the clock is handed in.

The same refusal of the same person is told once, then after a pause that doubles each time. So a storm of them leaves a
few facts, and whoever goes on for days is still told of.
"""

from collections.abc import Sequence
from typing import Final

from magsag.domain.approval import RefusedFor
from magsag.domain.facts import DecisionRefused

FIRST_PAUSE: Final = 60_000_000
"""microseconds"""
LONGEST_PAUSE: Final = 86_400_000_000
_DOUBLINGS: Final = 12

SAID: Final = {
    RefusedFor.BROKEN: "people.yaml cannot be read, so nobody decides",
    RefusedFor.STRANGER: "not in people.yaml",
    RefusedFor.PROOF: "people.yaml wants another proof of who they are",
    RefusedFor.CLAIM: "only said who they are, where that does not count",
    RefusedFor.KEY: "showed a key that is nobody's",
    RefusedFor.REQUESTER: "asked for it, so somebody else has to decide",
    RefusedFor.ROLE: "has none of the roles that it takes",
    RefusedFor.LATE: "came after its time was up",
    RefusedFor.DECIDED: "came after it was decided",
    RefusedFor.TWICE: "counts once, and had approved already",
    RefusedFor.ENDED: "came after the run had ended",
    RefusedFor.REVOKED: "came after it was revoked",
    RefusedFor.OTHER: "asked for what cannot be given",
}
"""what to tell people of each"""


def is_news(refused: DecisionRefused, before: Sequence[DecisionRefused]) -> bool:
    """Whether it goes on record; `before` are those of the run, the oldest first."""
    same = [one.at for one in before if _what(one) == _what(refused)]
    if not same:
        return True
    pause = min(LONGEST_PAUSE, FIRST_PAUSE << min(_DOUBLINGS, len(same) - 1))
    return refused.at >= same[-1] + pause


def _what(refused: DecisionRefused) -> tuple[object, ...]:
    about = (refused.ticket, refused.standing, refused.wanted)
    return (*about, refused.by, refused.proof, refused.claimed, refused.refused_for)
