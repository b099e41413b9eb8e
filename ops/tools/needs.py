"""What tests use beside Python: which programs, how each is tried, where it comes from.

Says what is missing and, with --install, installs it where it may (root, apt-get). It never fails a build:
a test that needs a missing program is left out and named by tests/conftest.py, which fails in CI.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Need:
    """A program, a command that proves it works here, and the Debian package that brings it."""

    probe: tuple[str, ...]
    package: str
    used_for: str


_POSTGRES: Final = (
    sys.executable,
    "-c",
    "import glob, shutil, sys; sys.exit(not (glob.glob('/usr/lib/postgresql/*/bin/initdb') or shutil.which('initdb')))",
)
"""Debian keeps its programs beside PATH"""
NEEDS: Final[Mapping[str, Need]] = {
    "git": Need(("git", "--version"), "git", "copying the tree as a clone has it"),
    "make": Need(("make", "--version"), "make", "the targets of the Makefile"),
    "strace": Need(("strace", "-f", "-qq", "-e", "trace=none", "true"), "strace", "counting syncs, failing disks"),
    "unshare": Need(("unshare", "-n", "true"), "util-linux", "replays without a network"),
    "postgres": Need(_POSTGRES, "postgresql", "ledgers in Postgres; every test session starts its own server"),
    "bwrap": Need(
        ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"), "bubblewrap", "acts in sandboxes of their own"
    ),
    "setpriv": Need(("setpriv", "--bounding-set=-dac_override", "true"), "util-linux", "directories without rights"),
}


def works(need: Need) -> bool:
    """Whether the program is here and may do its work (a container can forbid strace)."""
    if shutil.which(need.probe[0]) is None:
        return False
    tried = subprocess.run(need.probe, check=False, timeout=30, stdin=subprocess.DEVNULL, capture_output=True)
    return tried.returncode == 0


def missing() -> dict[str, Need]:
    """The needs that do not work on this machine, by name."""
    return {name: need for name, need in NEEDS.items() if not works(need)}


def install(needs: Mapping[str, Need]) -> None:
    """Install Debian packages, quietly. Does nothing where that is impossible."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    packages = sorted({need.package for need in needs.values()})
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        subprocess.run(
            command, env=environment, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=600
        )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Name the programs that tests use and this machine lacks.")
    parser.add_argument("--install", action="store_true", help="install what is missing, where that is possible")
    options = parser.parse_args(arguments)
    if options.install and (absent := missing()):
        install(absent)
    for name, need in missing().items():
        print(f"needs: {name} does not work here ({need.used_for}); Debian: apt-get install {need.package}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
