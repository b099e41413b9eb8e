"""What somebody named, by an id or the beginning of one; or the words for what there is not."""

from collections.abc import Sequence

from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunRow, Runs


def known_row(store: Runs, run: RunId) -> RunRow:
    """Raises Invalid for an unknown run."""
    row = store.row(run)
    if row is None:
        raise unknown_run(run)
    return row


def unknown_run(name: str) -> Invalid:
    """To be raised."""
    return Invalid(f"run {name} is not in the ledger: `magsag run list` shows those that are")


def the_one(found: Sequence[str], prefix: str, what: str, listed: str) -> str:
    """Which of the ids that begin so is meant; an exact one comes first. `listed` is the command that shows all.

    Raises Invalid when there is none, or more than one.
    """
    if len(found) == 1 or (found and found[0] == prefix):
        return found[0]
    if not found:
        raise Invalid(f"{what} {prefix!r} is not in the ledger: `{listed}` shows those that are")
    raise Invalid(f"{what} {prefix!r} could be any of {', '.join(found)}: write more of its id")
