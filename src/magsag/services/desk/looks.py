"""What `doctor` says of one thing, and what it says of the anchors of a ledger."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from magsag.domain.facts import ENDS
from magsag.domain.frozen import frozen
from magsag.policy.people import DEVELOPMENT
from magsag.ports.ledger import RunQuery, Store
from magsag.services.steps.moment import spoken

_RESTORE: Final = "put a copy of the file back, then magsag audit verify"
_ELSEWHERE: Final = "docs/audit.md: [audit] anchors, or a copy where this account cannot write"


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@frozen
class Line:
    """One thing that was looked at."""

    name: str
    state: State
    text: str
    mend: str = ""
    """the command, or the move, that mends it"""


def anchors_line(store: Store, about: Mapping[str, object], environment: str) -> Line | None:
    """Whether the anchors are there, how far they go, and whether this account could rewrite them; None without any.

    `about` is what the store says of itself. That they can be rewritten is usual where somebody develops.
    """
    file, state = about.get("anchors"), about.get("anchors_state")
    if file is None or state is None:
        return None
    if state in ("missing", "empty"):
        return _none_yet(store, str(file), is_shared=about.get("backend") != "sqlite")
    if state == "changed":
        return Line("anchors", State.FAIL, f"{file}: its last line is not as it was written", _RESTORE)
    reach = f"{file}: {about['anchors_lines']} lines, the last of {spoken(int(str(about['anchors_at'])))}"
    if not about["anchors_writable"]:
        return Line("anchors", State.OK, f"{reach}; this account cannot write them")
    said = f"{reach}; this account could rewrite them"
    return Line("anchors", State.OK if environment == DEVELOPMENT else State.WARN, said, _ELSEWHERE)


def _none_yet(store: Store, file: str, is_shared: bool) -> Line:
    """A file that is not there, or holds nothing; `is_shared`: other machines have files of their own."""
    has_ended = any(store.rows(RunQuery(status=status, limit=1)) for status in sorted(ENDS))
    if not has_ended:
        return Line("anchors", State.OK, f"{file}: none yet, the first run that comes to rest makes it")
    if is_shared:
        said = f"{file}: none on this machine, though runs have ended; those of others vouch for what ended there"
        return Line("anchors", State.WARN, said, f"if this machine had some, {_RESTORE}")
    return Line("anchors", State.FAIL, f"{file}: missing, though runs have ended", _RESTORE)
