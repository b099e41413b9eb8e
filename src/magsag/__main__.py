"""The command: hands the real app to the command line. `magsag`, `agdd` and `python -m magsag` start here.

Little is imported above `main`, so that an interrupt in the first moments ends without a traceback too.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magsag.app import App
    from magsag.domain.settings import Settings


def main() -> None:
    """Carry out the command line of this process and end it with the exit code."""
    try:
        from magsag.surfaces.cli import main as carry_out

        code = carry_out(open_app)
    except KeyboardInterrupt:
        sys.stderr.write("magsag: interrupted\n")
        code = 130
    sys.exit(code)


def open_app(flags: "Mapping[str, object]") -> "App":
    """The app for these flags, this environment and this folder. Raises Invalid."""
    import os
    from pathlib import Path

    from magsag.adapters.settings import API_KEY, read_settings
    from magsag.app import build

    found = read_settings(flags, os.environ, Path.cwd())
    _set_up_logs(flags, os.environ)
    if not flags.get("quiet"):
        for line in found.notes:
            sys.stderr.write(f"note: {line}\n")
    app = build(_for_debugging(found.settings) if flags.get("debug") else found.settings)
    app.debugging = bool(flags.get("debug"))
    app.api_key = os.environ.pop(API_KEY, None) or None  # what this process runs or starts shall not have it
    app.reach = str(flags["reach"]) if flags.get("reach") is not None else None
    if flags.get("flow_file"):
        from magsag.catalog.beside import read_beside

        beside = read_beside(str(flags["flow_file"]))
        app.reach = beside.ref
        if Path(found.settings.catalog).resolve() not in Path(beside.shown).resolve().parents:
            app.beside = beside
    return app


def _set_up_logs(flags: "Mapping[str, object]", environ: "Mapping[str, str]") -> None:
    from magsag.adapters.logs import level_of, set_up

    verbose = flags.get("verbose")
    level = level_of(verbose if isinstance(verbose, int) else 0, bool(flags.get("quiet")))
    form = str(flags.get("log_format") or environ.get("MAGSAG_LOG_FORMAT") or "text")
    # The store says itself, and once, what the pool says again and again.
    set_up(level, form, muted=("psycopg.pool", *(["magsag.keeper"] if flags.get("debug") else [])))


def _for_debugging(settings: "Settings") -> "Settings":
    """Nobody types at a debugger within a step's time."""
    from dataclasses import replace

    return replace(settings, limits=replace(settings.limits, step_seconds=86_400.0))


if __name__ == "__main__":
    main()
