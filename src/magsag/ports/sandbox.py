"""Acts kept apart: programs and catalog code in processes of their own, held by what this machine can enforce."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from magsag.catalog.code import FrozenCode
from magsag.domain.frozen import frozen
from magsag.domain.manifests.isolation import Isolation, Resources

_SANE: Final = Resources()


@frozen
class Confines:
    """What one act may do."""

    isolation: Isolation
    network: bool = False
    """in a sandbox: it may reach the network"""
    resources: Resources = _SANE
    environment: tuple[str, ...] = ()
    """variables that it is handed besides those that every act gets"""


@frozen
class Ended:
    """How a process ended."""

    code: int
    """its exit code; below 0 the signal that ended it"""
    stdout: bytes = b""
    stderr: bytes = b""
    is_gone: bool = True
    """whether it is known that nothing of it is left"""


class NoAnswer(Exception):
    """It began, and what came of it cannot be read: whether it acted, nobody can tell from here."""


class Escaped(NoAnswer):
    """Nor does anything show that all that it has started is gone: it may still act."""


class Sandbox(Protocol):
    """Starts processes and holds them within their confines, with everything that they start in turn.

    None outlives its act: neither its end, nor its being given up, nor the death of whoever started it.
    """

    def lacks(self, confines: Confines) -> str | None:
        """What of these confines cannot be enforced here, and what would mend it; None when all can."""

    def abilities(self) -> Sequence[tuple[Isolation, str, bool]]:
        """For people: each isolation, by what it is enforced or why it is not, and whether it is."""

    async def program(self, argv: Sequence[str], confines: Confines, keep: int) -> Ended:
        """Run a program to its end, keeping so many bytes of each stream.

        Raises OSError when it cannot be started, Invalid for what `lacks` names, NoAnswer, Escaped. Cancelled, it is
        ended first.
        """

    async def code(self, code: FrozenCode, given: bytes, confines: Confines, heard: Callable[[bytes], None]) -> Ended:
        """Run a function of the catalog with the request `given` (JSON); `heard` takes each line that it answers.

        Of `stderr` the last part is kept. Raises what `program` raises.
        """
