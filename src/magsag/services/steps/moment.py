"""Time as expressions and people see it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def spoken(at: int) -> str:
    """Microseconds since 1970 as people read it: `2026-01-31 17:00:00Z`."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def moment(at: int) -> Mapping[str, object]:
    """Microseconds since 1970 as `{weekday, hour, minute, date, iso, unix}`, UTC."""
    return _second(at // 1_000_000)


@lru_cache(maxsize=16)
def _second(unix: int) -> Mapping[str, object]:
    """The same for every step of a second; whoever is given it reads it."""
    time = datetime.fromtimestamp(unix, UTC)
    return {
        "weekday": _DAYS[time.weekday()],
        "hour": time.hour,
        "minute": time.minute,
        "date": time.date().isoformat(),
        "iso": time.isoformat(timespec="seconds"),
        "unix": unix,
    }
