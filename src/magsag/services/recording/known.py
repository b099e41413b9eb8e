"""The row of a run that somebody named, or the words for one that there is not."""

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
