"""Time as expressions see it."""

from datetime import UTC, datetime
from typing import Final

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


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
