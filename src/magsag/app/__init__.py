"""Where the pieces meet: the only place that chooses implementations. CLI, `Project` and tests build from here.

Everything is made when it is first asked for, so that a light command opens only what it needs. One app in four parts,
each built on the one before: what is given, what runs, what looks, what proves.
"""

from typing import TYPE_CHECKING

from magsag.app.proving import Proving
from magsag.domain.settings import Settings
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store

if TYPE_CHECKING:
    from magsag.ports.sandbox import Sandbox


class App(Proving):
    """One process's services, wired for its settings."""


def build(
    settings: Settings, store: Store | None = None, clock: Clock | None = None, sandbox: "Sandbox | None" = None
) -> App:
    """The app for these settings; tests hand in a store, a clock or a sandbox of their own."""
    return App(settings, store, clock, sandbox=sandbox)
