"""Results on stdout, everything else on stderr; JSON as UTF-8, tables as plain columns. Decides how, not what."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from magsag.domain.errors import Broken, Invalid


def say(text: str) -> None:
    """A result for people."""
    _write(sys.stdout, text + "\n")


def note(text: str) -> None:
    """Something beside the result."""
    _write(sys.stderr, text + "\n")


def complain(message: str, *, as_json: bool, **more: object) -> None:
    """An error: `magsag: message`, or `{"error": {...}}`."""
    if as_json:
        note(json_text({"error": {"message": message, **more}}, indent=False))
    else:
        note(f"magsag: {message}")


def put_json(value: object, *, indent: bool = True) -> None:
    """A result as JSON."""
    say(json_text(value, indent=indent))


def json_text(value: object, *, indent: bool) -> str:
    from pydantic_core import to_json

    return to_json(value, indent=2 if indent else None, inf_nan_mode="constants", fallback=str).decode()


def put_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; nothing is cut."""
    lines = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def put_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        say(f"{name.ljust(width)}  {value}")


def counted(number: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {what}{'s' * (number != 1)}"


def write_file(path: str, text: str) -> None:
    """Write a result to a file in one move, so that nobody reads half of it. `-` is stdout. Raises Invalid."""
    if path == "-":
        say(text)
        return
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        if not target.is_file() and target.exists():
            target.write_text(f"{text}\n", encoding="utf-8")
            return
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Invalid(f"{path}: cannot be written: {error.strerror or error}") from error


def silence_stdout() -> None:
    """The reader has gone: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(stream: object, text: str) -> None:
    """What the terminal's encoding cannot show is escaped, not an error."""
    if stream is None:
        return
    assert hasattr(stream, "write")
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError:
        raise
    except OSError as error:
        if stream is sys.stdout:
            raise Broken(f"standard output cannot be written: {error.strerror}") from error
