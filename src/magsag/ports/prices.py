"""A published list of what models cost."""

from typing import Protocol

from magsag.domain.price import Price


class PriceList(Protocol):
    """Looks models up. Reading it may take a while: asked only when something has to be priced."""

    def require(self) -> None:
        """Raises Invalid, with the next move, where the list is not installed; reads nothing of it."""

    def find(self, reference: str) -> Price:
        """The price of `provider/model` on this day.

        Raises Invalid for one that it does not have, or does not price by tokens.
        """
