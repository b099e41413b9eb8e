"""Who is acting at this process: what they can show, held against the people in force."""

from collections.abc import Callable
from dataclasses import replace

from magsag.domain.approval import Acting
from magsag.policy.people import People, Shown, identify


class Identity:
    """Says who acts. Whether they may do what they want is decided where that is recorded."""

    def __init__(self, people: Callable[[], People], shown: Shown, environment: str) -> None:
        self._people = people
        self._shown = shown
        self._environment = environment

    def acting(self, claim: str | None = None) -> Acting:
        """Who acts; `claim` is what they say of themselves. Raises Refused for a key or claim that does not count."""
        return identify(self._people(), replace(self._shown, claim=claim), self._environment)
