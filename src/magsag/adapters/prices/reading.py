"""What an entry of genai-prices means to a budget: rates by size, and the dearest of all of them.

Of prices that hold at some hours the dearest counts, and one that begins tomorrow counts today. A plain request is
priced as text that is read into a cache, since replies do not tell; one at other terms as the dearest of all terms
there are. An entry that prices something else than tokens of text, which a request of text could cause by itself,
prices nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from magsag.domain.errors import Invalid
from magsag.domain.price import Bracket, Price, Rate

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_PLAIN_INPUT: Final = ("input_mtok", "input_text_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_5m_mtok")
_PLAIN_OUTPUT: Final = ("output_mtok", "output_text_mtok")
_DEAR_INPUT: Final = (*_PLAIN_INPUT, "cache_write_1h_mtok")
_BY_REQUEST: Final = "requests_kcount"
_ONLY_WHEN_ASKED: Final = ("audio", "image", "video", "web_searches", "storage_searches", "document")
"""parts of keys that a plain request causes nothing of"""
_NANO: Final = 10**9
DAY: Final = 86_400_000_000
"""microseconds"""
_FIRST: Final = date(1970, 1, 1).toordinal()


def read_entry(model: "ModelInfo", name: str, version: str, day: int) -> Price:
    """`day` counts from 1970, UTC. Raises Invalid for an entry that does not bound what a request of text costs, today
    or on a later day."""
    today = date.fromordinal(_FIRST + day)
    for prices in _usual(model, today, date.max):
        _require_tokens(prices, name)
    usual = list(_usual(model, today, today + timedelta(days=1)))
    starts = sorted({0, *(start for prices in usual for start in _starts(prices, (*_PLAIN_INPUT, *_PLAIN_OUTPUT)))})
    brackets = tuple(Bracket(above, _plain(usual, above + 1)) for above in starts)
    dearest = _dearest([*usual, *(variant.prices for variant in model.price_variants or ())])
    rates = [*((one.above, one.rate) for one in brackets), (None, dearest)]
    numbers = [(above, rate.input, rate.output, rate.request) for above, rate in rates]
    mark = sha256(str(numbers).encode()).hexdigest()[:12]
    return Price(brackets, f"{version} {mark}", dearest)


def _usual(model: "ModelInfo", today: date, until: date) -> "Iterator[ModelPrice]":
    """Those that count now, at another hour, or from a day on until then; the last in the list comes first."""
    if not isinstance(model.prices, list):
        yield model.prices
        return
    for one in reversed(model.prices):
        start = getattr(one.constraint, "start_date", None)
        if start is None or start <= until:
            yield one.prices
        if one.constraint is None or (start is not None and start <= today):
            return


def _require_tokens(prices: "ModelPrice", name: str) -> None:
    given = {key for key, value in vars(prices).items() if value is not None}
    known = {*_DEAR_INPUT, *_PLAIN_OUTPUT, _BY_REQUEST}
    others = [key for key in sorted(given - known) if not any(part in key for part in _ONLY_WHEN_ASKED)]
    if not {"input_mtok", "output_mtok"} <= given:
        what = f"genai-prices does not price {name} by tokens of text"
    elif others:
        what = f"genai-prices prices {name} by more than tokens of text ({', '.join(others)})"
    else:
        return
    raise Invalid(f"{what}, so nothing bounds what a request costs; write {{input = ..., output = ...}} yourself")


def _starts(prices: "ModelPrice", keys: Iterable[str]) -> Iterator[int]:
    for key in keys:
        yield from (tier.start for tier in getattr(getattr(prices, key), "tiers", ()))


def _plain(usual: "list[ModelPrice]", size: int) -> Rate:
    """The dearest of those that may count, for a request of that size."""

    def most(keys: Iterable[str]) -> int:
        found = [_at(value, size) for one in usual for key in keys if (value := getattr(one, key)) is not None]
        return _amount(max(found))

    return Rate(most(_PLAIN_INPUT), most(_PLAIN_OUTPUT), _per_request(usual))


def _dearest(every: "list[ModelPrice]") -> Rate:
    def most(keys: Iterable[str]) -> int:
        found = [price for one in every for key in keys for price in _all(getattr(one, key))]
        return _amount(max(found))

    return Rate(most(_DEAR_INPUT), most(_PLAIN_OUTPUT), _per_request(every))


def _per_request(every: "list[ModelPrice]") -> int:
    found = [price for one in every for price in _all(getattr(one, _BY_REQUEST))]
    return _amount(max(found, default=Decimal(0)) / 1000)


def _at(value: Any, size: int) -> Decimal:
    """A price for a request of so many tokens: from a tier on it counts for all of them."""
    if isinstance(value, Decimal):
        return value
    price: Decimal = value.base
    for tier in value.tiers:
        price = tier.price if size > tier.start else price
    return price


def _all(value: Any) -> list[Decimal]:
    if value is None:
        return []
    return [value] if isinstance(value, Decimal) else [value.base, *(tier.price for tier in value.tiers)]


def _amount(usd: Decimal) -> int:
    """In 1e-9 USD, rounded up."""
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))
