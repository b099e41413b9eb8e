"""Where log lines go and how they look: text or JSON lines on stderr, each with its run and step.

Logs are for the people who operate; what happened stands in the ledger. The root logger is set up, so that
libraries and catalog code are heard too. No line holds a secret that this process has resolved.
"""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from magsag.domain.errors import Invalid
from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.whereabouts import WHEREABOUTS

FORMATS: Final = ("text", "json")


def level_of(verbose: int, quiet: bool) -> int:
    """Warnings, unless more or less was asked for."""
    if quiet:
        return logging.ERROR
    return {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)


def set_up(level: int, form: str, stream: TextIO | None = None, muted: Sequence[str] = ()) -> None:
    """Let all loggers but the muted ones write to the stream; a second call replaces the first. Raises Invalid."""
    if form not in FORMATS:
        raise Invalid(f"the log format {form!r} is not known; write {' or '.join(FORMATS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, JsonLines | TextLines):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in muted:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.raiseExceptions = False


class TextLines(logging.Formatter):
    """`warning magsag.act: message  tool=x  run 0193… step pay#1`."""

    def format(self, record: logging.LogRecord) -> str:
        run, step = _where(record)
        fields = "".join(f"  {name}={_short(value)}" for name, value in _fields(record).items())
        where = (f"  run {run}" if run else "") + (f" step {step}" if step else "")
        text = f"{record.levelname.lower()} {record.name}: {record.getMessage()}{fields}{where}"
        return RESOLVED.clean(f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text)


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, run, step, fields."""

    def format(self, record: logging.LogRecord) -> str:
        run, step = _where(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": RESOLVED.clean(record.getMessage()),
            "run": run,
            "step": step,
        }
        if fields := _fields(record):
            line["fields"] = fields
        if record.exc_info:
            line["exception"] = RESOLVED.clean(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def _where(record: logging.LogRecord) -> tuple[str, str]:
    """What the record says itself, else whose code is running."""
    run, step = WHEREABOUTS.get()
    return str(getattr(record, "run", run)), str(getattr(record, "step", step))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    return {key: RESOLVED.cleaned(_plain(value)) for key, value in fields.items()} if isinstance(fields, dict) else {}


def _plain(value: object) -> object:
    """What a line would say of it: no object behind it is asked again."""
    is_plain = value is None or isinstance(value, str | int | float | bool | dict | list | tuple)
    return value if is_plain else str(value)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
