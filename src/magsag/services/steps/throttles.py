"""What throttles say, as bytes in the store; and their states for people."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from pydantic_core import from_json, to_json

from magsag.domain.breaking import BreakerState
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.frozen import frozen
from magsag.policy.breaker import Breaker, Call, Shut, closed, state_of
from magsag.policy.throttle import Admitted, Busy, Declared, Later, Throttle, admit, rewound
from magsag.ports.throttles import ThrottleRow, Throttles

_log = logging.getLogger("magsag.throttle")
_SAID: Final = {BreakerState.OPEN: "opened", BreakerState.HALF_OPEN: "is half-open", BreakerState.CLOSED: "closed"}
_TRIES: Final = 1000
"""each lost try is one that somebody else has won"""


def change(store: Throttles, name: str, changed: Callable[[Throttle, int], Throttle]) -> tuple[Throttle, Throttle]:
    """What a throttle was and what it is now. Writes only when that differs. Raises StoreBroken.

    `changed` is given the throttle and the time by the store's clock, again whenever somebody else was quicker.
    """
    for _ in range(_TRIES):
        now, row = store.throttle(name)
        stored = Throttle() if row is None else throttle_of(row)
        before = rewound(stored, now)
        after = replace(changed(before, now), at=now)
        version = 1 if row is None else row.version + 1
        if after == stored or store.put_throttle(ThrottleRow(name, version, to_json(after))):
            return before, after
    raise _hurried(name)


def take(store: Throttles, throttled: Declared, caller: str, seconds: float) -> tuple[Admitted | Shut | Later, int]:
    """Ask for leave, for so long at most: the answer, and the store's time. Raises StoreBroken: nothing is let
    through."""
    answers: list[tuple[Admitted | Shut | Later, int]] = []

    def taken(throttle: Throttle, now: int) -> Throttle:
        answer = admit(throttle, throttled.limits, caller, now, now + int(seconds * 1e6))
        answers.append((answer, now))
        return answer.throttle if isinstance(answer, Admitted) else throttle

    change(store, throttled.name, taken)
    return answers[-1]


def log_moved(name: str, state: BreakerState, reason: str, whose: str) -> None:
    """Say that a breaker has changed; `whose` names the call that brought it about."""
    _log.warning("breaker %s %s: %s (%s)", name, _SAID[state], reason, whose)


def throttle_of(row: ThrottleRow) -> Throttle:
    """Read a throttle back. Raises StoreBroken for what is damaged: nothing is let through on a guess."""
    try:
        data: dict[str, Any] = from_json(row.body)
        breaker = dict(data.get("breaker", {}))
        breaker["recent"] = tuple(Call(*call) for call in breaker.get("recent", ()))
        busy = tuple(Busy(*one) for one in data.get("busy", ()))
        return Throttle(**{**data, "breaker": Breaker(**breaker), "busy": busy})
    except (AttributeError, TypeError, ValueError) as error:
        raise StoreBroken(
            f"throttle {row.name} is damaged ({error}); `magsag agent close-breaker {row.name}` mends it"
        ) from None


def _closed(row: ThrottleRow) -> Throttle:
    """Of a later epoch, so that calls under way have no say in it; what is damaged has none."""
    try:
        throttle = throttle_of(row)
    except StoreBroken:
        return Throttle(Breaker(epoch=row.version))
    return replace(throttle, breaker=closed(throttle.breaker))


def _may_close(row: ThrottleRow) -> bool:
    """Whether it is open, half-open or damaged."""
    try:
        return bool(throttle_of(row).breaker.since)
    except StoreBroken:
        return True


def _before(row: ThrottleRow) -> Breaker:
    try:
        return throttle_of(row).breaker
    except StoreBroken:
        return Breaker()


def _hurried(name: str) -> StoreBroken:
    return StoreBroken(f"throttle {name}: others changed it {_TRIES} times in a row; try again")


@frozen
class ThrottleView:
    """How a throttle stands. Times are microseconds since 1970."""

    name: str
    state: BreakerState
    failures: int
    """of a closed breaker: calls that failed and still may count"""
    since: int | None
    """when it opened"""
    half_open: int | None
    """when the next call may try"""
    full_at: int
    """when the bucket of its rate is full again"""
    busy: int
    """calls under way, where that is limited"""
    closed_by: str | None
    """who closed the breaker by hand last, and when"""
    closed_at: int | None


class ThrottleStates:
    """How breakers stand, and closing them by hand."""

    def __init__(self, store: Throttles) -> None:
        self._store = store

    def all(self) -> list[ThrottleView]:
        """Every throttle that was ever used, by name."""
        return list(self._views())

    def view(self, name: str) -> ThrottleView | None:
        """One of them; None for one that was never used."""
        return next((view for view in self._views() if view.name == name), None)

    def to_close(self, name: str) -> Breaker:
        """The breaker that somebody wants to close by hand; a new one for what is damaged.

        Raises Invalid for an unknown one, and for one that is closed.
        """
        _, row = self._store.throttle(name)
        if row is None:
            known = ", ".join(view.name for view in self._store.throttles()) or "none yet"
            raise Invalid(f"{name!r} has no breaker that was ever asked (there are: {known})")
        if not _may_close(row):
            raise Invalid(f"the breaker of {name} is not open, so there is nothing to close")
        return _before(row)

    def reset(self, name: str, by: str) -> None:
        """Close a breaker by hand, unless it has closed by now. Of a damaged throttle all is forgotten."""
        for _ in range(_TRIES):
            now, row = self._store.throttle(name)
            if row is None or not _may_close(row):
                return
            fresh = replace(rewound(_closed(row), now), closed_by=by, closed_at=now, at=now)
            if self._store.put_throttle(ThrottleRow(name, row.version + 1, to_json(fresh))):
                _log.warning("breaker %s closed: by %s", name, by)
                return
        raise _hurried(name)

    def _views(self) -> Iterator[ThrottleView]:
        for row in self._store.throttles():
            now, _ = self._store.throttle(row.name)
            throttle = rewound(throttle_of(row), now)
            breaker = throttle.breaker
            yield ThrottleView(
                row.name,
                state_of(breaker, now),
                sum(call.failed for call in breaker.recent),
                breaker.since or None,
                max(breaker.until, breaker.probe_until) if breaker.since else None,
                throttle.full_at,
                sum(now < one.until for one in throttle.busy),
                throttle.closed_by or None,
                throttle.closed_at or None,
            )
