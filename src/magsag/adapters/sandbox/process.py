"""Processes of their own, by means that every Linux has: limits, one who watches, few variables. No sandbox."""

import os
import sys
from collections.abc import Callable, Sequence

from magsag.adapters.sandbox.launch import Held, run_code, run_program
from magsag.catalog.code import FrozenCode
from magsag.domain.errors import Invalid
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, Ended

_NO_LINUX = "only Linux can hold a process of its own; write `isolation: in_process`, or use Linux"
_MEND = "install bubblewrap (Debian: apt-get install bubblewrap), or use Linux 6.2 or newer with Landlock switched on"


class ProcessSandbox:
    """A `ports.sandbox.Sandbox` that can hold no sandbox."""

    def lacks(self, confines: Confines) -> str | None:
        """Whatever needs a sandbox."""
        if sys.platform != "linux":
            return _NO_LINUX
        if confines.isolation is not Isolation.SANDBOX:
            return None
        kept = "files outside the workspace (filesystem)" + ("" if confines.network else " and the network (network)")
        return f"nothing here keeps it off {kept}: there is neither bubblewrap nor Landlock; {_MEND}"

    def abilities(self) -> Sequence[tuple[Isolation, str, bool]]:
        """As `Sandbox.abilities`."""
        apart = self.lacks(Confines(Isolation.PROCESS))
        sandbox = self.lacks(Confines(Isolation.SANDBOX))
        return [
            (Isolation.PROCESS, apart or "limits and a process group", apart is None),
            (Isolation.SANDBOX, sandbox or "", sandbox is None),
        ]

    async def program(self, argv: Sequence[str], confines: Confines, keep: int) -> Ended:
        """As `Sandbox.program`."""
        require(self.lacks(confines))
        return await run_program(argv, confines, Held(os.getcwd()), keep)

    async def code(self, code: FrozenCode, given: bytes, confines: Confines, heard: Callable[[bytes], None]) -> Ended:
        """As `Sandbox.code`."""
        require(self.lacks(confines))
        return await run_code(code, given, confines, Held(os.getcwd()), heard)


def require(lack: str | None) -> None:
    """Raises Invalid when something is lacking."""
    if lack is not None:
        raise Invalid(lack)
