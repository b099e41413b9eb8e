"""A look at the end of a file of anchors, for `doctor`: whether it is there, how far it goes, who could write it.

Quick, whatever its length. Whether the lines before hold, `data check` says.
"""

import os
from pathlib import Path
from typing import Final

from magsag.adapters.store.claims import content_of
from magsag.adapters.store.failures import no_access, require_file

_TAIL_BYTES: Final = 1 << 16


def glance(path: Path) -> dict[str, object]:
    """Keys for `describe`: `anchors` the file, `anchors_state` (`missing`, `empty`, `changed`: its last line, `whole`),
    `anchors_lines`, `anchors_at` of the last line in microseconds since 1970, `anchors_writable`.

    Raises StoreBroken for a file that cannot be read.
    """
    require_file(path)
    told: dict[str, object] = {"anchors": str(path), "anchors_writable": can_be_written(path)}
    try:
        last = _last_line(path)
    except FileNotFoundError:
        return {**told, "anchors_state": "missing"}
    except OSError as error:
        raise no_access(path, error) from error
    if not last:
        return {**told, "anchors_state": "empty"}
    content = content_of(last)
    if content is None:
        return {**told, "anchors_state": "changed"}
    return {**told, "anchors_state": "whole", "anchors_lines": content["n"], "anchors_at": content.get("at", 0)}


def can_be_written(path: Path) -> bool:
    """Whether this account could write the file, or put another one in its place."""
    return os.access(path if path.exists() else path.parent, os.W_OK) or os.access(path.parent, os.W_OK)


def _last_line(path: Path) -> bytes:
    """The last whole line; what a crash tore off behind it is none."""
    with path.open("rb") as file:
        size, length = file.seek(0, os.SEEK_END), _TAIL_BYTES
        while True:
            start = max(0, size - length)
            file.seek(start)
            data = file.read(size - start)
            whole = data[: data.rfind(b"\n") + 1]
            begin = whole.rfind(b"\n", 0, max(0, len(whole) - 1)) + 1
            if start == 0 or (whole and begin):
                return whole[begin:-1]
            length *= 4
