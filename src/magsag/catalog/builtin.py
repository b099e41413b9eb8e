"""Built-in skills: a catalog that names one and has none of that slug gets it, with its contracts, as it is shipped.

It joins the catalog's own files, so it is part of the bundle: a run keeps the version that it started with.
"""

from pathlib import Path
from typing import Final

from magsag.catalog.source import read_folder

BUILT_IN: Final = ("file-read", "file-search", "file-write", "http-request", "record-get", "record-put")
_NAMING: Final = (".yaml", ".yml", ".json", ".py")


def with_built_in(files: dict[str, bytes], shipped: Path | None) -> dict[str, bytes]:
    """The files, and those of the built-in skills that they name and do not hold. `shipped` is where those stand."""
    if shipped is None:
        return files
    missing = [slug for slug in BUILT_IN if not _holds(files, slug) and _names(files, slug)]
    if not missing:
        return files
    joined = dict(files)
    contracts = read_folder(shipped / "contracts").files
    for slug in missing:
        own = read_folder(shipped / "skills" / slug).files
        joined |= {f"skills/{slug}/{path}": data for path, data in own.items()}
        name = slug.replace("-", "_")
        joined |= {f"contracts/{path}": data for path, data in contracts.items() if path.startswith(f"{name}_")}
    return dict(sorted(joined.items()))


def _holds(files: dict[str, bytes], slug: str) -> bool:
    return any(path.startswith(f"skills/{slug}/") for path in files)


def _names(files: dict[str, bytes], slug: str) -> bool:
    return any(slug.encode() in data for path, data in files.items() if path.endswith(_NAMING))
