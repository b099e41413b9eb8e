"""What acts of a process have at hand: what holds those that act apart, secrets, and where acts are performed."""

from magsag.domain.frozen import frozen
from magsag.ports.place import Place
from magsag.ports.sandbox import Sandbox
from magsag.ports.secrets import Secrets


@frozen
class Means:
    """What the acts of one process reach the world with."""

    sandbox: Sandbox
    secrets: Secrets
    place: Place | None = None
    """where acts are performed in the place of this process"""
