"""Whether what the audit log is asked about exists: a slip of the keyboard is no proof that nothing was decided.

What the ledger knows counts, and what is in today's catalog; runs outlive their catalog, so either will do.
"""

from collections.abc import Callable, Iterable
from typing import Final

from magsag.catalog.load import Loaded
from magsag.catalog.references import did_you_mean
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.verdicts import NOT_PERFORMED, PROGRAM_ASKS
from magsag.policy.delegation import CHILDREN, CYCLE, DEPTH
from magsag.policy.judge import ALLOW_WITHOUT_EFFECTS, ASK_BEFORE_EFFECTS, UNREADABLE

_BUILT_IN: Final = (
    *("rate", "concurrency", "breaker", "budget", "approval"),
    *("safe-mode", "analysis-only", "unknown-mode", "durable-off", "not-in-uses"),
    *(ASK_BEFORE_EFFECTS, ALLOW_WITHOUT_EFFECTS, UNREADABLE, PROGRAM_ASKS, NOT_PERFORMED, CHILDREN, CYCLE, DEPTH),
)
"""what decides without a policy"""


@frozen
class Names:
    """What is known: exact references, ids of rules, and people of people.yaml."""

    refs: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset(_BUILT_IN)
    people: frozenset[str] = frozenset()


def names_of(loaded: Loaded, models: Iterable[str]) -> Names:
    """Those of today's catalog; `models` are aliases."""
    refs = {*(entry.ref for entry in loaded.bundle.entries()), *(f"model:{alias}" for alias in models)}
    rules = {*_BUILT_IN, *(rule.id for rule in loaded.policies.rules)}
    return Names(frozenset(refs), frozenset(rules), frozenset(loaded.people.by_id))


def refuse_unknown(option: str, asked: str, known: set[str], fits: Callable[[str, str], bool]) -> None:
    """Raises Invalid, with the nearest one, where none fits."""
    if any(fits(asked, one) for one in known):
        return
    words = {word for one in known for word in (one, one.partition("@")[0], one.partition(":")[2].partition("@")[0])}
    guess = did_you_mean(asked, sorted(words)) or "`magsag catalog list` and `magsag audit log` show what there is"
    raise Invalid(f"{option} {asked}: neither the ledger nor the catalog knows it; {guess}")
