"""Finds the bundle that a run is pinned to: the catalog of today, or the frozen one in the store."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from magsag.catalog.bundle import Bundle
from magsag.catalog.packages import Drift, drifts
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.ids import RunId
from magsag.ports.clock import Clock
from magsag.ports.ledger import Ledger
from magsag.services.steps.apart import Enforcing

_AGAIN_MICROS: Final = 60_000_000
"""how often a bundle that runs begin with is put again: a vacuum leaves alone what was put in the last hour"""
_log: Final = logging.getLogger("magsag.bundles")


class Bundles:
    """The bundles of one process."""

    def __init__(
        self,
        current: Callable[[], Bundle],
        ledger: Ledger,
        thaw: Callable[[bytes], Bundle],
        clock: Clock,
        packages: str = "compatible",
        enforcing: Enforcing | None = None,
    ) -> None:
        """`packages` says what other packages than those on record mean: `exact`, `compatible` or `ignore`.

        `enforcing` is for those who drive runs.
        """
        self._current = current
        self._ledger = ledger
        self._thaw = thaw
        self._packages = packages
        self._enforcing = enforcing
        self._clock = clock
        self._known: dict[str, Bundle] = {}
        self._put: dict[str, int] = {}
        self._fit: set[str] = set()

    def current(self) -> Bundle:
        """Today's catalog, kept in the store as soon as a run begins with it."""
        return self._current()

    def keep(self, bundle: Bundle) -> None:
        """Put a bundle into the store, for a run that is about to begin; a vacuum may have removed it meanwhile."""
        now, put = self._clock.now(), self._put.get(bundle.hash)
        if put is None or not 0 <= now - put < _AGAIN_MICROS:
            self._ledger.put_bundle(bundle.hash, bundle.to_bytes())
            self._known[bundle.hash], self._put[bundle.hash] = bundle, now

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

    def require_enforceable(self, bundle: Bundle, program: str) -> None:
        """Raises Invalid when this machine cannot hold what the program reaches within its confines."""
        if self._enforcing is not None:
            self._enforcing.require(bundle, program)

    def find_fit(self, hash: str, run: RunId) -> Bundle:
        """The bundle of a run that is to go on here. Raises as `find`, and Invalid when other packages forbid it."""
        bundle = self.find(hash)
        if hash not in self._fit and bundle.recorded and self._packages != "ignore":
            self._require_packages(bundle.recorded, run)
        self._fit.add(hash)
        return bundle

    def _require_packages(self, recorded: Mapping[str, str], run: RunId) -> None:
        """Same major version: warn and go on, unless exactly the same are wanted."""
        found = drifts(recorded)
        bad = [drift for drift in found if self._packages == "exact" or not drift.is_compatible]
        if bad:
            wanted = " ".join(f"'{drift.name}=={drift.was}'" for drift in bad)
            raise Invalid(
                f"run {run} began with other packages: {_said(bad)}; go on where they are installed "
                f'(pip install {wanted}), or set packages = "{"compatible" if _only_exact(bad) else "ignore"}"'
            )
        if found:
            _log.warning("run %s began with other packages, of the same major version: %s", run, _said(found))

    def _today(self) -> Bundle | None:
        """Today's catalog, whose code has a place on the disk; None when it is gone: runs go on without it."""
        try:
            return self._current()
        except Invalid:
            return None


def _said(found: list[Drift]) -> str:
    return ", ".join(
        f"{drift.name} {drift.was}, {'here ' + drift.now if drift.now else 'not installed here'}" for drift in found
    )


def _only_exact(bad: list[Drift]) -> bool:
    return all(drift.is_compatible for drift in bad)
