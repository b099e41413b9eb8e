"""The workspace of acts, reached from one open folder downwards, so that nothing can change between look and use.

Every part of a path is opened in the folder before it, and no link is followed anywhere. What is no plain file of this
one place (a link, a second name of a file elsewhere, a device, a pipe, another file system) is refused.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from magsag.domain.errors import ErrorType, Invalid, StepFailed

LONGEST_PATH: Final = 1024
_DEEPEST: Final = 100
"""folders inside one another that are walked: each is open while those in it are"""
_NO_MORE_OPEN: Final = (errno.EMFILE, errno.ENFILE)
_FOLDER: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_PLAIN: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe does not wait for its other end
    | getattr(os, "O_NOCTTY", 0)
)


class WorkspaceFiles:
    """A `domain.context.Files`."""

    def __init__(self, opened: Callable[[], str]) -> None:
        """`opened` gives the workspace's folder, made if need be, or raises Invalid."""
        self._opened = opened

    def read(self, path: str, most: int) -> bytes:
        """A file's content. Raises StepFailed when it is not there, larger than `most` bytes, or no plain file."""
        with self._folder_of(path) as (folder, name):
            return _read(folder, name, path, most)

    def write(self, path: str, data: bytes) -> None:
        """Replace a file, or make it with the folders above it: others see the old content or the new, never a part."""
        with self._folder_of(path, make=True) as (folder, name), _told(path):
            _require_replaceable(folder, name, path)
            draft = f".{os.urandom(8).hex()}.draft"
            number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o644, dir_fd=folder)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(number)
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise
            os.fsync(folder)

    def walk(self, path: str = "") -> Iterator[str]:
        """The plain files in a folder and below it, by path, in order; a file stands for itself.

        Raises StepFailed, also for folders that lie too deep inside one another.
        """
        if path:
            with self._folder_of(path) as (folder, name):
                with _told(path):
                    held = os.lstat(name, dir_fd=folder)
                if not stat.S_ISDIR(held.st_mode):
                    _require_plain(held, path, held.st_dev)
                    yield path
                    return
                with _told(path):
                    number = os.open(name, os.O_RDONLY | _FOLDER, dir_fd=folder)
        else:
            number = self._root()
        try:
            yield from _below(number, path.rstrip("/"), os.fstat(number).st_dev, _DEEPEST)
        finally:
            os.close(number)

    def _root(self) -> int:
        if os.open not in os.supports_dir_fd:
            raise StepFailed(ErrorType.UNAVAILABLE, "this system cannot keep files inside a folder: use Linux or macOS")
        try:
            return os.open(self._opened(), os.O_RDONLY | _FOLDER)
        except (Invalid, OSError) as error:
            raise StepFailed(ErrorType.UNAVAILABLE, f"there is no workspace: {error}") from error

    @contextmanager
    def _folder_of(self, path: str, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder that a path's last part stands in, and that part."""
        *above, name = _parts(path)
        folder = self._root()
        try:
            device = os.fstat(folder).st_dev
            for part in above:
                with _told(path):
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(part, 0o755, dir_fd=folder)
                    inner = os.open(part, os.O_RDONLY | _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
                if os.fstat(folder).st_dev != device:
                    raise _refused(path, "it leads into another file system")
            yield folder, name
        finally:
            os.close(folder)


def _parts(path: str) -> list[str]:
    """The parts of a path that stays below. Raises StepFailed for any other."""
    if not path or len(path) > LONGEST_PATH or "\0" in path:
        raise _refused(path[:100], f"write a path of 1 to {LONGEST_PATH} characters")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise _refused(path, "write it from the workspace's folder down, without `.`, `..` and a slash at its ends")
    return parts


def _read(folder: int, name: str, path: str, most: int) -> bytes:
    with _told(path):
        number = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=folder)
    try:
        held = os.fstat(number)
        _require_plain(held, path, os.fstat(folder).st_dev)
        if held.st_size <= most:
            with os.fdopen(number, "rb", closefd=False) as file:
                data = file.read(most + 1)
            if len(data) <= most:
                return data
    finally:
        os.close(number)
    raise _refused(path, f"it is larger than {most} bytes")


def _require_plain(held: os.stat_result, path: str, device: int) -> None:
    if stat.S_ISDIR(held.st_mode):
        raise _refused(path, "it is a folder")
    if not stat.S_ISREG(held.st_mode):
        raise _refused(path, "it is no plain file")
    if held.st_nlink != 1:
        raise _refused(path, "it has another name elsewhere")
    if held.st_dev != device:
        raise _refused(path, "it lies in another file system")


def _require_replaceable(folder: int, name: str, path: str) -> None:
    """What is replaced is a plain file, or not there."""
    try:
        held = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return
    _require_plain(held, path, os.fstat(folder).st_dev)


def _below(folder: int, prefix: str, device: int, deeper: int) -> Iterator[str]:
    if deeper < 0:
        raise _refused(prefix, f"it lies more than {_DEEPEST} folders deep")
    with _told(prefix or "the workspace"):
        names = sorted(os.listdir(folder))
    for name in names:
        path = f"{prefix}/{name}" if prefix else name
        try:
            held = os.lstat(name, dir_fd=folder)
            if held.st_dev != device:
                continue
            if stat.S_ISREG(held.st_mode):
                if held.st_nlink == 1:
                    yield path
                continue
            if not stat.S_ISDIR(held.st_mode):
                continue
            inner = os.open(name, os.O_RDONLY | _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno in _NO_MORE_OPEN:
                with _told(path):
                    raise
            continue
        try:
            yield from _below(inner, path, device, deeper - 1)
        finally:
            os.close(inner)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """An error of the system names the path as the act wrote it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _refused(path, "a link or a file stands where a folder should") from error
        why = error.strerror or str(error)
        raise StepFailed(ErrorType.RAISED, f"{path}: {why[0].lower()}{why[1:]}") from error


def _refused(path: str, why: str) -> StepFailed:
    return StepFailed(ErrorType.DENIED, f"{path} is not reached: {why}")
