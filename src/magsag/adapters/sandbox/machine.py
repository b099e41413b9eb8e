"""Which sandbox this machine has: bubblewrap where it works, else Landlock, else none.

It is found when one is first wanted.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

from magsag.adapters.sandbox.places import Places
from magsag.adapters.sandbox.process import ProcessSandbox
from magsag.catalog.code import FrozenCode
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, Ended, Sandbox


class MachineSandbox:
    """A `ports.sandbox.Sandbox`: the best that there is here."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._plain = ProcessSandbox()

    @cached_property
    def _found(self) -> Sandbox:
        # A run that holds no act this way does not pay for the kernel's door.
        from magsag.adapters.sandbox.bubblewrap import BubblewrapSandbox
        from magsag.adapters.sandbox.landlock import LandlockSandbox

        for one in (BubblewrapSandbox(self._places), LandlockSandbox(self._places)):
            if one.lacks(Confines(Isolation.SANDBOX)) is None:
                return one
        return self._plain

    def _for(self, confines: Confines) -> Sandbox:
        return self._found if confines.isolation is Isolation.SANDBOX else self._plain

    def lacks(self, confines: Confines) -> str | None:
        """As `Sandbox.lacks`."""
        return self._for(confines).lacks(confines)

    def abilities(self) -> Sequence[tuple[Isolation, str, bool]]:
        """As `Sandbox.abilities`."""
        return self._found.abilities()

    async def program(self, argv: Sequence[str], confines: Confines, keep: int) -> Ended:
        """As `Sandbox.program`."""
        return await self._for(confines).program(argv, confines, keep)

    async def code(self, code: FrozenCode, given: bytes, confines: Confines, heard: Callable[[bytes], None]) -> Ended:
        """As `Sandbox.code`."""
        return await self._for(confines).code(code, given, confines, heard)
