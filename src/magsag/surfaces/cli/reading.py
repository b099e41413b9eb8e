"""Reads JSON from a file or stdin. Whatever is wrong with it is Invalid, with the place and the next move."""

import sys
from pathlib import Path

from magsag.domain.errors import Invalid
from magsag.domain.values import MAX_DEPTH, decode

_HOW = "hand it in by --input FILE or on stdin"


def read_input(path: str | None) -> object:
    """The value in a file; from stdin without one, or for `-`. Raises Invalid."""
    if path in (None, "-"):
        return parse(stdin_bytes(), "input")
    return parse(read_bytes(str(path)), str(path))


def read_bytes(path: str) -> bytes:
    """Raises Invalid when the file cannot be read."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Invalid(f"{path}: cannot be read: {reason}") from error


def parse(data: bytes, name: str) -> object:
    """The value of JSON text. Raises Invalid."""
    text = data.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise Invalid(f"{name} is empty; {_HOW}" if name == "input" else f"{name} is empty; it should hold JSON")
    try:
        return decode(text)
    except ValueError as error:
        raise Invalid(f"{name} is no JSON that can be read: {_reason(text, str(error))}") from error


def stdin_bytes() -> bytes:
    if sys.stdin is None:
        raise Invalid(f"there is no input; {_HOW}")
    if sys.stdin.isatty():
        raise Invalid(f"there is no input: stdin is a terminal; {_HOW}")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise Invalid(f"stdin cannot be read: {error.strerror}") from error


def _reason(text: bytes, message: str) -> str:
    """What the reader says, in words that help."""
    if "recursion limit" in message:
        return f"it is nested deeper than {MAX_DEPTH} levels; make it flatter"
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        return f"line {line}, byte {column} is not UTF-8; save it as UTF-8"
    what, _, place = message.rpartition(" at ")
    if "hex escape" in message or "surrogate" in message:
        what = "a \\u escape is no character by itself (a lone surrogate)"
    word = _word(decoded, place)
    if word in ("NaN", "Infinity", "-Infinity"):
        what = f"{word} is no JSON number; use null"
    return f"{what or message} at {place}" if place else message


def _word(text: str, place: str) -> str:
    """The letters at `line 1 column 4`."""
    import re

    match = re.fullmatch(r"line (\d+) column (\d+)", place)
    if match is None:
        return ""
    lines = text.split("\n")
    line = lines[int(match[1]) - 1] if int(match[1]) <= len(lines) else ""
    found = re.match(r"-?[A-Za-z]+", line[max(0, int(match[2]) - 1) :])
    return found[0] if found else ""


def give_terminal_back() -> None:
    """After the input came through stdin: let a debugger read from the terminal. Raises Invalid without one."""
    try:
        sys.stdin = open("/dev/tty", encoding="utf-8")  # noqa: SIM115 - it is the process's stdin from now on
    except OSError as error:
        raise Invalid("--debug needs a terminal to talk to; hand the input in by --input FILE") from error
