"""A copy of a ledger in Postgres, made by the server's own tool where this machine has it.

The file of anchors goes first, so that it is never ahead of what is dumped. A password goes by the environment.
"""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from magsag.adapters.store.failures import no_access
from magsag.adapters.store.postgres.target import Target
from magsag.domain.errors import Invalid, StoreBroken

_TOOL: Final = "pg_dump"
_SHOWN: Final = 400


def dump(target: Target, anchors: Path, destination: str) -> str:
    """Write `DESTINATION` and `DESTINATION.anchors.log`, readable by their owner alone; how to put them back.

    Raises Invalid for a destination that exists, and where there is no `pg_dump`; StoreBroken when it fails.
    """
    place = Path(destination).absolute()
    beside = place.with_name(f"{place.name}.anchors.log")
    for path in (place, beside):
        if path.exists():
            raise Invalid(f"{path} exists; choose a new name for the backup")
    tool = shutil.which(_TOOL)
    if tool is None:
        raise Invalid(
            f"{destination}: a ledger in Postgres is backed up by {_TOOL}, which is not on PATH here; install it, or "
            f"type where it is: {_TOOL} --schema={target.schema} --format=custom --file={destination} "
            f'"{target.plain}"; '
            f"keep {anchors} with it, copied first"
        )
    part = place.with_name(f"{place.name}.part")
    try:
        lines = anchors.read_bytes() if anchors.exists() else b""
        place.parent.mkdir(parents=True, exist_ok=True)
        for path in (part, beside):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        beside.write_bytes(lines)
        _run(
            [tool, f"--schema={target.schema}", "--format=custom", f"--file={part}", f"--dbname={target.plain}"], target
        )
        part.replace(place)
    except OSError as error:
        raise no_access(place, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if not place.exists():
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    return (
        f'pg_restore --exit-on-error --no-owner --dbname="{target.plain}" {destination}, into a database without the '
        f"schema {target.schema}; then copy {destination}.anchors.log to {anchors}"
    )


def _run(command: list[str], target: Target) -> None:
    password = target.parameters.get("password")
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password is not None else {})}
    done = subprocess.run(command, check=False, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise StoreBroken(f"{target.shown}: {_TOOL} failed: {said[:_SHOWN]}; nothing was written")
