"""What models cost: as the operator says in [prices], else as a published list has it.

The operator's word stands above the list. A model of no provider that the list knows has no price unless somebody
says so: under a budget of money it is not asked. What the list means: `ports.prices`.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from magsag.domain.errors import Invalid
from magsag.domain.manifests.budget import ModelPrice
from magsag.domain.price import Price, Priced
from magsag.ports.prices import PriceList

T = TypeVar("T")
_NOBODYS: Final = frozenset({"scripted"})
"""providers whose models are nobody's product, whatever they are called"""


class Prices:
    """Prices by alias."""

    def __init__(
        self,
        models: Mapping[str, str],
        table: Mapping[str, ModelPrice | str],
        published: PriceList,
        sources: Mapping[str, str],
    ) -> None:
        """`models` are `provider:model` by alias, `sources` says where a key of the settings stands."""
        self._models = models
        self._table = table
        self._published = published
        self._sources = sources
        self._own = {alias: said.price() for alias, said in table.items() if isinstance(said, ModelPrice)}

    def require(self) -> None:
        """Raises Invalid when [prices] names a published price, and no list is installed."""
        for alias, said in self._table.items():
            if isinstance(said, str):
                self._told(alias, self._published.require)

    def require_found(self, alias: str) -> None:
        """Raises Invalid when [prices] names a published price for the alias that is not there."""
        if isinstance(self._table.get(alias), str):
            self.of(alias)

    def of(self, alias: str) -> Price | None:
        """The price of an alias on this day; None when nobody says. Raises as `require_found`."""
        if (own := self._own.get(alias)) is not None:
            return own
        said = self._table.get(alias)
        if isinstance(said, str):
            return self._told(alias, lambda: self._published.find(said))
        provider, _, model = self._models.get(alias, "").partition(":")
        if not model or provider in _NOBODYS:
            return None
        try:
            return self._published.find(f"{provider}/{model}")
        except Invalid:
            return None

    def listed(self) -> list[Priced]:
        """Every alias with its price, by name; one that [prices] alone names with what is wrong."""
        return [self._shown(alias) for alias in sorted({*self._models, *self._table})]

    def _shown(self, alias: str) -> Priced:
        if alias not in self._models:
            why = f"{self._place(alias)}: [models] names no alias {alias!r}; correct it or take it out"
            return Priced(alias, "nothing", None, why)
        try:
            return Priced(alias, self._models[alias], self.of(alias))
        except Invalid as error:
            return Priced(alias, self._models[alias], None, str(error))

    def _told(self, alias: str, look: Callable[[], T]) -> T:
        try:
            return look()
        except Invalid as error:
            raise Invalid(f"{self._place(alias)}: {error}") from None

    def _place(self, alias: str) -> str:
        return f"{self._sources.get(f'prices.{alias}', 'magsag.toml')}: prices.{alias}"
