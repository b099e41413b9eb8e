"""The price list of genai-prices (extra `prices`): the snapshot that is installed, never one from the network.

Decides which model a reference names, and hands its entry on; what the entry means stands in `reading`. Loading the
list takes a third of a second, so it is loaded when something has to be priced.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from magsag.adapters.prices.reading import DAY, read_entry
from magsag.catalog.references import did_you_mean
from magsag.domain.errors import Invalid
from magsag.domain.price import Price
from magsag.ports.clock import Clock

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_PACKAGE: Final = "genai_prices"
PINNED: Final = "0.2.3"
"""as in the extra: another version has other prices, and perhaps other terms, which nobody has looked at"""
_OWN: Final = "write {input = ..., output = ...} in USD for a million tokens"


def _installed() -> str:
    from importlib.metadata import version

    return version("genai-prices")


class Snapshot:
    """`ports.prices.PriceList` from the installed package."""

    def __init__(self, clock: Clock, installed: Callable[[], str] = _installed) -> None:
        """`clock` says which prices are over, and which have not begun; `installed` the version of the package."""
        self._clock = clock
        self._installed = installed
        self._found: dict[tuple[str, int], Price] = {}

    def require(self) -> None:
        if find_spec(_PACKAGE) is None:
            what = "published prices are an extra, which is not installed"
            raise Invalid(f"{what}: pip install 'magsag[prices]', or {_OWN}")
        if (found := self._installed()) != PINNED:
            what = f"genai-prices is installed as {found}, and this version of MAGSAG reads {PINNED}"
            raise Invalid(f"{what}: pip install 'genai-prices=={PINNED}', or {_OWN}")

    def find(self, reference: str) -> Price:
        day = self._clock.now() // DAY
        if (reference, day) not in self._found:
            self.require()
            provider, model = _look_up(reference)
            name = f"{provider.id}/{model.id}"
            self._found[reference, day] = read_entry(model, name, f"genai-prices {PINNED} {name}", day)
        return self._found[reference, day]


def _look_up(reference: str) -> "tuple[Provider, ModelInfo]":
    """Providers by their exact name; models as providers let them be called, e.g. with a date."""
    from genai_prices.data import providers

    name, _, asked = reference.partition("/")
    provider = next((one for one in providers if one.id == name), None)
    if provider is None:
        known = [one.id for one in providers]
        raise Invalid(f'"{reference}": genai-prices has no provider {name!r}; {_next(name, known)}')
    model = provider.find_model(asked, all_providers=providers)
    if model is None:
        known = [one.id for one in provider.models]
        raise Invalid(f'"{reference}": genai-prices has no model {asked!r} of {name}; {_next(asked, known)}')
    return provider, model


def _next(word: str, known: list[Any]) -> str:
    guess = did_you_mean(word, known)
    return f"{guess} Or {_OWN}" if guess else _OWN
