"""Finds the bundle that a run is pinned to: the catalog of today, or the frozen one in the store."""

from collections.abc import Callable

from magsag.catalog.bundle import Bundle
from magsag.domain.errors import Invalid, StoreBroken
from magsag.ports.ledger import Ledger


class Bundles:
    """The bundles of one process."""

    def __init__(self, current: Callable[[], Bundle], ledger: Ledger, thaw: Callable[[bytes], Bundle]) -> None:
        self._current = current
        self._ledger = ledger
        self._thaw = thaw
        self._known: dict[str, Bundle] = {}

    def current(self) -> Bundle:
        """Today's catalog, kept in the store as soon as a run begins with it."""
        return self._current()

    def keep(self, bundle: Bundle) -> None:
        """Put a bundle into the store, once per process."""
        if bundle.hash not in self._known:
            self._ledger.put_bundle(bundle.hash, bundle.to_bytes())
            self._known[bundle.hash] = bundle

    def find(self, hash: str) -> Bundle:
        """The bundle of a run. Raises StoreBroken when the store has lost it, or holds another under its hash."""
        known = self._known.get(hash)
        if known is not None:
            return known
        today = self._today()
        if today is not None and today.hash == hash:
            return today
        data = self._ledger.bundle(hash)
        if data is None:
            raise StoreBroken(f"bundle {hash[:12]} is not in the store: restore a backup that has it")
        thawed = self._thaw(data)
        if thawed.hash != hash:
            raise StoreBroken(f"bundle {hash[:12]} does not match its hash: it was changed; run `magsag data check`")
        self._known[hash] = thawed
        return thawed

    def _today(self) -> Bundle | None:
        """Today's catalog, whose code has a place on the disk; None when it is gone: runs go on without it."""
        try:
            return self._current()
        except Invalid:
            return None
