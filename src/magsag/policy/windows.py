"""Time windows: whether a moment lies in the hours that a policy names. Pure: the zone's table is handed in."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from magsag.domain.frozen import frozen

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@frozen
class Window:
    """Hours on days of the week, in one zone. One that ends before it begins goes past midnight."""

    days: frozenset[str]
    begins: time
    ends: time
    """the first moment outside; midnight as an end is the end of the day"""
    zone: tzinfo = UTC

    def holds_at(self, unix: int) -> bool:
        """Whether the moment, in seconds since 1970, lies in it. The night after a day belongs to that day."""
        here = datetime.fromtimestamp(unix, self.zone)
        now, today = here.time(), DAYS[here.weekday()]
        if self.begins < self.ends or self.ends == time():
            return today in self.days and self.begins <= now and (self.ends == time() or now < self.ends)
        before = DAYS[(here - timedelta(days=1)).weekday()]
        return (today in self.days and now >= self.begins) or (before in self.days and now < self.ends)
