"""MAGSAG runs teams of agents that act on real systems, under rules that a company can audit.

What stands in `__all__` is public, together with `magsag.testing`; all else is private. Each name is imported
when it is first used, so that `import magsag` costs next to nothing.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magsag.app import App
    from magsag.domain.context import ActContext, Collected, Context, Files, SkillContext
    from magsag.domain.errors import Broken, Invalid, MagsagError, Refused, Retryable, StepFailed
    from magsag.surfaces.python import Project, Result

    __version__: str

__all__ = [
    "ActContext",
    "Broken",
    "Collected",
    "Context",
    "Files",
    "Invalid",
    "MagsagError",
    "Project",
    "Refused",
    "Result",
    "Retryable",
    "SkillContext",
    "StepFailed",
    "__version__",
]

_HOMES = {
    "magsag.domain.context": ("ActContext", "Collected", "Context", "Files", "SkillContext"),
    "magsag.domain.errors": ("Broken", "Invalid", "MagsagError", "Refused", "Retryable", "StepFailed"),
    "magsag.surfaces.python": ("Project", "Result"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from magsag.services.recording.release import version

        return version()
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'magsag' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    if name == "Project":
        value._open_app = staticmethod(_open_app)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _open_app(path: str | None, flags: Mapping[str, object]) -> "App":
    """The app of a folder, or of the working directory as the command would find it. Raises Invalid."""
    import os
    import warnings
    from pathlib import Path

    from magsag.adapters.settings import read_settings
    from magsag.app import build
    from magsag.domain.errors import Invalid
    from magsag.domain.location import is_postgres

    environ, folder = dict(os.environ), Path.cwd()
    given = {
        key: str(Path(str(value)).absolute())
        if key in ("catalog", "ledger") and value is not None and not is_postgres(str(value))
        else value
        for key, value in flags.items()
    }
    if path is not None:
        folder = Path(path).absolute()
        if not folder.is_dir():
            raise Invalid(f"{path}: there is no such project folder; `magsag init {path}` makes one")
        for name in ("MAGSAG_PROJECT", "AGDD_PROJECT"):
            environ.pop(name, None)
    found = read_settings(given, environ, folder)
    for line in found.notes:
        warnings.warn(line, stacklevel=4)
    return build(found.settings)
