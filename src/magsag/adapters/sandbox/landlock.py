"""Sandboxes by the kernel alone: Landlock for files and TCP, a filter of system calls for every other socket."""

from collections.abc import Callable, Sequence

from magsag.adapters.sandbox import kernel
from magsag.adapters.sandbox.launch import Held, private_folder, run_code, run_program
from magsag.adapters.sandbox.places import Places
from magsag.adapters.sandbox.process import ProcessSandbox, require
from magsag.catalog.code import FrozenCode
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, Ended

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_KERNEL = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/sys/devices/system/cpu")


class LandlockSandbox:
    """A `ports.sandbox.Sandbox`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._plain = ProcessSandbox()

    def lacks(self, confines: Confines) -> str | None:
        """What a kernel without Landlock, or a processor without a filter, lacks."""
        if confines.isolation is not Isolation.SANDBOX:
            return self._plain.lacks(confines)
        is_able = kernel.landlock_abi() >= kernel.OLDEST_ABI and kernel.has_filter()
        return None if is_able else self._plain.lacks(confines)

    def abilities(self) -> Sequence[tuple[Isolation, str, bool]]:
        """As `Sandbox.abilities`."""
        lack = self.lacks(Confines(Isolation.SANDBOX))
        said = f"Landlock of version {kernel.landlock_abi()}, and a filter for sockets"
        return [self._plain.abilities()[0], (Isolation.SANDBOX, lack or said, lack is None)]

    async def program(self, argv: Sequence[str], confines: Confines, keep: int) -> Ended:
        """As `Sandbox.program`."""
        require(self.lacks(confines))
        if confines.isolation is not Isolation.SANDBOX:
            return await self._plain.program(argv, confines, keep)
        with private_folder() as folder:
            return await run_program(argv, confines, self._held(folder), keep)

    async def code(self, code: FrozenCode, given: bytes, confines: Confines, heard: Callable[[bytes], None]) -> Ended:
        """As `Sandbox.code`."""
        require(self.lacks(confines))
        if confines.isolation is not Isolation.SANDBOX:
            return await self._plain.code(code, given, confines, heard)
        with private_folder() as folder:
            return await run_code(code, given, confines, self._held(folder), heard)

    def _held(self, temporary: str) -> Held:
        workspace = self._places.opened()
        files = {
            "read": [*self._places.readable(), *_KERNEL],
            "write": [workspace, temporary, *_DEVICES],
        }
        return Held(workspace, files=files, variables={"HOME": workspace, "TMPDIR": temporary})
