"""Guards what the core weighs once installed: the packages of requirements/core.txt and MAGSAG itself.

usage: python ops/tools/size.py [--limit MEGABYTES]

Counts the files that each package's RECORD names in this environment, without bytecode, which an installer makes
or not as it likes. What an extra adds is not counted.
"""

import argparse
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

LIMIT_MEGABYTES: Final = 95.0
_ROOT: Final = Path(__file__).parents[2]
_OWN: Final = ("src/magsag", "catalog")
"""what the wheel holds"""


def locked(lock: str) -> list[tuple[str, bool]]:
    """The packages of a lock, and whether they are for some platforms only."""
    return [(name, bool(marker)) for name, marker in re.findall(r"^([\w.-]+)==[^\s;\\]+\s*(;)?", lock, re.MULTILINE)]


def package_bytes(package: Distribution) -> int:
    """The size of a package's files, bytecode left out."""
    return sum(
        Path(str(file.locate())).stat().st_size
        for file in package.files or ()
        if file.suffix != ".pyc" and Path(str(file.locate())).is_file()
    )


def folder_bytes(folder: Path) -> int:
    """The size of a folder's files, bytecode left out."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def weigh(root: Path) -> dict[str, int]:
    """Bytes by package, MAGSAG included. Raises PackageNotFoundError for a package that is not installed."""
    sizes = {"magsag": sum(folder_bytes(root / part) for part in _OWN)}
    for name, is_optional in locked((root / "requirements/core.txt").read_text(encoding="utf-8")):
        try:
            sizes[name] = package_bytes(distribution(name))
        except PackageNotFoundError:
            if not is_optional:
                raise
    return sizes


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Guard the size of the core installation.")
    parser.add_argument("--limit", type=float, default=LIMIT_MEGABYTES, help="megabytes (1e6 bytes)")
    limit = parser.parse_args(arguments).limit
    try:
        sizes = weigh(_ROOT)
    except PackageNotFoundError as error:
        print(f"size: {error.name} of requirements/core.txt is not installed here; run make setup", file=sys.stderr)
        return 1
    total = sum(sizes.values()) / 1e6
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / 1e6:8.2f} MB  {name}")
    print(f"{total:8.2f} MB  in all, of {limit:g} allowed")
    if total > limit:
        print("size: the core grew too heavy; make what is heavy an extra", file=sys.stderr)
    return 0 if total <= limit else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
