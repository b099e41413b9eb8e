"""Which files an act in a sandbox finds: the system's programs and this Python to read, the workspace to write.

What is not listed is not there: homes, keys, the ledger, the catalog, settings, sockets of daemons.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen

_SYSTEM: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    *(
        f"/etc/{name}"
        for name in (
            "alternatives",
            "ca-certificates",
            "group",
            "gai.conf",
            "host.conf",
            "hosts",
            "ld.so.cache",
            "ld.so.conf",
            "ld.so.conf.d",
            "localtime",
            "mime.types",
            "nsswitch.conf",
            "os-release",
            "passwd",
            "pki",
            "protocols",
            "resolv.conf",
            "services",
            "ssl",
            "timezone",
        )
    ),
)


@frozen
class Places:
    """What is where, for the sandboxes of one process."""

    workspace: str
    """the folder that acts may write"""
    more: Sequence[str] = ()
    """what they may read besides"""
    protected: Sequence[str] = ()
    """what no workspace may hold: the ledger, the catalog, the settings"""

    def opened(self) -> str:
        """The workspace, made when it is not there. Raises Invalid when it would let an act at what is protected."""
        folder = Path(self.workspace)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Invalid(f"the workspace {folder} cannot be made: {error.strerror}; set `workspace`") from error
        self.require_apart()
        return str(folder.resolve())

    def require_apart(self) -> None:
        """Raises Invalid when the workspace would let an act at what is protected; it need not be there yet."""
        folder = Path(self.workspace)
        real = folder.resolve()
        for place in (*self.protected, *_python()):
            other = Path(place).resolve()
            if other == real or real in other.parents:
                raise Invalid(f"the workspace {folder} holds {place}: set `workspace` to a folder beside it")
            if other in real.parents:
                raise Invalid(f"the workspace {folder} lies in {place}: set `workspace` to a folder beside it")

    def readable(self) -> list[str]:
        """Paths that every act may read."""
        resolver = os.path.realpath("/etc/resolv.conf")
        return [path for path in (*_SYSTEM, resolver, *_python(), *self.more) if os.path.exists(path)]


def _python() -> list[str]:
    """This interpreter with its packages, and this product."""
    product = str(Path(__file__).parents[2])
    return list(dict.fromkeys([sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix, product]))
