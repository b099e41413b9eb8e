"""Time as expressions and people see it."""

from datetime import UTC, datetime
from typing import Final

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def spoken(at: int) -> str:
    """Microseconds since 1970 as people read it: `2026-01-31 17:00:00Z`."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def moment(at: int) -> dict[str, object]:
    """Microseconds since 1970 as `{weekday, hour, minute, date, iso, unix}`, UTC."""
    time = datetime.fromtimestamp(at / 1e6, UTC)
    return {
        "weekday": _DAYS[time.weekday()],
        "hour": time.hour,
        "minute": time.minute,
        "date": time.date().isoformat(),
        "iso": time.isoformat(timespec="seconds"),
        "unix": at // 1_000_000,
    }
