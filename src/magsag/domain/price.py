"""Prices of models: what tokens cost, by what a request asks for and by its size. Who says so: `version`.

Amounts are integers of 1e-9 USD. Where several rates could be meant, the dearest counts.
"""

from enum import StrEnum

from magsag.domain.frozen import frozen


class Asking(StrEnum):
    """What a request asks for, as far as its price is concerned: `policy.pricing`."""

    PLAIN = "plain"
    """text, and functions to call"""
    DEAR = "dear"
    """text at other terms: a faster service, a cache that is kept longer"""
    OPEN = "open"
    """what length and `max_tokens` do not bound: searches, pictures, several answers, keys that nobody here knows"""


@frozen
class Rate:
    """What tokens cost, for a million, and each request by itself."""

    input: int
    output: int
    request: int = 0

    def cost(self, input: int, output: int) -> int:
        """Of so many tokens, rounded up."""
        return self.request - (-(input * self.input + output * self.output) // 10**6)


@frozen
class Bracket:
    """From which size of a request on a rate counts, for all of its tokens."""

    above: int
    """tokens of input; 0 for the first"""
    rate: Rate


@frozen
class Price:
    """What requests to a model cost."""

    brackets: tuple[Bracket, ...]
    """of plain requests, the smallest first"""
    version: str
    """names the table that says so, and what it said"""
    dearest: Rate | None = None
    """of requests at other terms; None: one rate is for whatever is asked"""

    def at_most(self, asking: Asking, input: int, output: int) -> int | None:
        """What a request of at most so many tokens can cost; None where nothing bounds it."""
        if asking is Asking.OPEN:
            return None
        if asking is Asking.DEAR and self.dearest is not None:
            return self.dearest.cost(input, output)
        return max(one.rate.cost(input, output) for one in self._reached(input))

    def cost(self, asking: Asking, input: int, output: int) -> int | None:
        """Of exactly so many tokens; None where they do not tell."""
        if asking is Asking.PLAIN or self.dearest is None:
            return self._reached(input)[-1].rate.cost(input, output)
        return self.at_most(asking, input, output)

    def _reached(self, input: int) -> list[Bracket]:
        first, *others = self.brackets
        return [first, *(one for one in others if input > one.above)]


@frozen
class Priced:
    """An alias as [models] and [prices] have it."""

    alias: str
    bound: str
    """`provider:model`"""
    price: Price | None
    """None: nobody says what it costs"""
    why: str = ""
    """why not, where somebody said and it could not be found"""


def flat(input: int, output: int, version: str) -> Price:
    """One rate for whatever is asked."""
    return Price((Bracket(0, Rate(input, output)),), version)
