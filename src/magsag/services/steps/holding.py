"""What an attempt holds until it has ended: the leave to call what is limited, and what is kept back of budgets."""

from magsag.domain.budget import Reserve
from magsag.domain.frozen import frozen


@frozen
class Admission:
    """The leave to call what is limited, to be given back with how that went."""

    caller: str
    epoch: int
    """of the breaker"""


@frozen
class Charge:
    """What an attempt holds back."""

    reserves: tuple[Reserve, ...]

    @property
    def reserved(self) -> dict[str, int]:
        """By budget."""
        return {one.budget.id: one.amount for one in self.reserves}

    @property
    def worst(self) -> dict[str, int]:
        """By unit."""
        return {one.budget.unit: one.amount for one in self.reserves}
