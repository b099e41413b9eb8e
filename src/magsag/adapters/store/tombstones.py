"""Whether an erasure has every run that it is about; decided inside its transaction, by each store alike."""

from collections.abc import Iterable, Sequence

from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId


def require_all(runs: Iterable[RunId], taken: Sequence[bool]) -> None:
    """Raises Invalid for a run that took no tombstones: somebody has removed it meanwhile."""
    for run, is_taken in zip(runs, taken, strict=True):
        if not is_taken:
            raise Invalid(f"run {run} is no longer in the ledger: nothing was erased; see `magsag run list`")
