"""A folder that people take along: it has its name once it is whole, and an existing one is left alone."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magsag.domain.errors import Invalid


@contextmanager
def new_folder(destination: str, what: str) -> Iterator[Path]:
    """The folder to fill while the block runs, for its owner alone; `what` it is to be. Raises Invalid."""
    folder = Path(destination).absolute()
    if folder.exists():
        raise Invalid(f"{destination} exists; choose a new name for the {what}")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        yield part
        for file in part.iterdir():
            file.chmod(0o600)
        part.rename(folder)
    except OSError as error:
        raise Invalid(f"{destination}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
