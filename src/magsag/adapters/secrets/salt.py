"""The salt under which a project's secrets are told apart: 32 bytes of chance in a file of its own.

It stands beside the ledger and never in it: who has a copy of the ledger alone cannot try out values. Copy the file to
the other machines of a project if their records are to be compared; without that each machine has its own.
"""

import os
from pathlib import Path
from typing import Final

from magsag.domain.errors import Invalid

NAME: Final = "secrets.salt"
_BYTES: Final = 32


def salt_at(path: Path | None) -> bytes:
    """The salt of this file, made when there is none. Raises Invalid for a file that holds none."""
    if path is None:
        return os.urandom(_BYTES)
    try:
        return _read(path) if path.exists() else _made(path)
    except OSError as error:
        raise Invalid(f"{path}: the salt of the project's secrets cannot be kept there: {error.strerror}") from error


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) != _BYTES:
        raise Invalid(f"{path}: this is no salt of {_BYTES} bytes; delete it, and a new one is made")
    return data


def _made(path: Path) -> bytes:
    """Whole or not there: of two processes or threads that make one at once, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(_BYTES))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read(path)
