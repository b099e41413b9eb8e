"""What people hand in for a run that is under way: refused when it holds a secret that its bundle declares.

Of a run's own input the same is asked where it is recorded (`services.driving.runs`).
"""

from contextlib import suppress

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
        if value in (None, "", ()):
            return
        with suppress(Broken, Invalid):
            learn_at_once(self._source, self._bundles.find(bundle))
        with asked_right():
            require_no_secret(value, what)
