"""Sandboxes by bubblewrap: a file system, a process table and a network of the act's own."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from magsag.adapters.sandbox.launch import Held, private_folder, run_code, run_program
from magsag.adapters.sandbox.places import Places
from magsag.adapters.sandbox.process import ProcessSandbox, require
from magsag.catalog.code import FrozenCode
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, Ended

_TRY_SECONDS: Final = 10
_APART: Final = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
_CLOSED: Final = ("--remount-ro", "/", "--remount-ro", "/dev", "--remount-ro", "/proc")


class BubblewrapSandbox:
    """A `ports.sandbox.Sandbox`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._plain = ProcessSandbox()

    @cached_property
    def _program(self) -> str | None:
        """The program, if it may do its work here: a container can forbid namespaces."""
        found = shutil.which("bwrap")
        if found is None:
            return None
        tried = [found, *_APART, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", *_CLOSED, "true"]
        try:
            done = subprocess.run(
                tried, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRY_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return found if done.returncode == 0 else None

    def lacks(self, confines: Confines) -> str | None:
        """What a machine without bubblewrap lacks."""
        if confines.isolation is not Isolation.SANDBOX:
            return self._plain.lacks(confines)
        return self._plain.lacks(confines) if self._program is None else None

    def abilities(self) -> Sequence[tuple[Isolation, str, bool]]:
        """As `Sandbox.abilities`."""
        lack = self.lacks(Confines(Isolation.SANDBOX))
        return [self._plain.abilities()[0], (Isolation.SANDBOX, lack or f"bubblewrap ({self._program})", lack is None)]

    async def program(self, argv: Sequence[str], confines: Confines, keep: int) -> Ended:
        """As `Sandbox.program`."""
        require(self.lacks(confines))
        if confines.isolation is not Isolation.SANDBOX:
            return await self._plain.program(argv, confines, keep)
        with private_folder() as folder:
            return await run_program(argv, confines, self._held(confines, folder), keep)

    async def code(self, code: FrozenCode, given: bytes, confines: Confines, heard: Callable[[bytes], None]) -> Ended:
        """As `Sandbox.code`."""
        require(self.lacks(confines))
        if confines.isolation is not Isolation.SANDBOX:
            return await self._plain.code(code, given, confines, heard)
        with private_folder() as folder:
            return await run_code(code, given, confines, self._held(confines, folder), heard)

    def _held(self, confines: Confines, temporary: str) -> Held:
        workspace = self._places.opened()
        wrap = [str(self._program), *_APART, *(("--share-net",) if confines.network else ())]
        wrap += ["--proc", "/proc", "--dev", "/dev"]
        for path in self._places.readable():
            wrap += ["--symlink", os.readlink(path), path] if os.path.islink(path) and _is_top(path) else []
            wrap += [] if os.path.islink(path) and _is_top(path) else ["--ro-bind", path, path]
        for path in (workspace, temporary):
            wrap += ["--bind", path, path]
        # What is written beside these would be lost without a word.
        # The kernel's settings are everybody's, and root's to write also without a capability.
        wrap += [*_CLOSED, "--chdir", workspace, "--"]
        return Held(workspace, wrap, variables={"HOME": workspace, "TMPDIR": temporary})


def _is_top(path: str) -> bool:
    """`/bin`, which on most systems points into `/usr`."""
    return path.count("/") == 1
