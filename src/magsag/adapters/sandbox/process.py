"""Processes of their own, by means that every POSIX system has: limits, a process group, few variables. No sandbox."""

import os
from collections.abc import Callable, Sequence

from magsag.adapters.sandbox.launch import Held, run_code, run_program
from magsag.catalog.code import FrozenCode
from magsag.domain.errors import Invalid
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, Ended

_NO_FORK = "this system cannot start processes with limits of their own"
_MEND = "install bubblewrap (Debian: apt-get install bubblewrap), or use Linux 6.2 or newer with Landlock switched on"


class ProcessSandbox:
    """A `ports.sandbox.Sandbox` that can hold no sandbox."""

    def lacks(self, confines: Confines) -> str | None:
        """Whatever needs a sandbox."""
        if not hasattr(os, "fork"):
            return f"{_NO_FORK}; use Linux or macOS"
        if confines.isolation is not Isolation.SANDBOX:
            return None
        kept = "files outside the workspace" + ("" if confines.network else " and the network")
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
