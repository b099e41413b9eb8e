"""What people hand in: refused when it holds a secret that the bundle of its run declares, or today's for all runs.

Of a run's own input the same is asked where it is recorded (`services.driving.runs`).
"""

from collections.abc import Callable
from contextlib import suppress

from magsag.catalog.bundle import Bundle
from magsag.domain.errors import Broken, Invalid
from magsag.ports.secrets import Secrets
from magsag.services.gate.given import asked_right
from magsag.services.gate.secrets import learn_at_once
from magsag.services.recording.large import require_no_secret
from magsag.services.steps.bundles import Bundles


class Untold:
    """Looks for all that people hand in."""

    def __init__(self, source: Secrets, bundles: Bundles) -> None:
        self._source = source
        self._bundles = bundles

    def require(self, bundle: str, value: object, what: str) -> None:
        """Raises Invalid, naming the secret and its place, never the value. `bundle` is the hash of the run's.

        A bundle that cannot be had says nothing of its secrets; those that this process knows count.
        """
        self._require(lambda: self._bundles.find(bundle), value, what)

    def require_today(self, value: object, what: str) -> None:
        """The same for what holds for all runs: against what today's catalog declares. Raises Invalid."""
        self._require(self._bundles.current, value, what)

    def _require(self, bundle: Callable[[], Bundle], value: object, what: str) -> None:
        if value in (None, "", ()):
            return
        with suppress(Broken, Invalid):
            learn_at_once(self._source, bundle())
        with asked_right():
            require_no_secret(value, what, "write it without the secret")
