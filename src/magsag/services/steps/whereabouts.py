"""Which run and step the code at hand works for, so that a line in the log can say it. No decision rests on it."""

from contextvars import ContextVar
from typing import Final

WHEREABOUTS: Final[ContextVar[tuple[str, str]]] = ContextVar("magsag_whereabouts", default=("", ""))
"""run id and step id; set by whoever drives, read by `adapters.logs`"""
