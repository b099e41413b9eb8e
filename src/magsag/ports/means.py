"""What acts of a process have at hand: files, hosts, secrets, and what holds those that act apart."""

from typing import TYPE_CHECKING, Any, Protocol

from magsag.domain.context import Files
from magsag.domain.frozen import frozen
from magsag.ports.place import Place
from magsag.ports.secrets import Secrets

if TYPE_CHECKING:
    from magsag.ports.sandbox import Sandbox


class Web(Protocol):
    """HTTP to hosts that are granted."""

    def client(self, **options: Any) -> Any:
        """An `httpx2.AsyncClient` with these options, held to them."""


@frozen
class Means:
    """What the acts of one process reach the world with."""

    sandbox: "Sandbox"
    secrets: Secrets
    files: Files
    web: Web
    place: Place | None = None
    """where acts are performed in the place of this process"""
