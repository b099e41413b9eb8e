"""Words of verdicts that readers of the ledger know too: what the product says by itself, and what was only shown."""

from typing import Final

from magsag.domain.facts import Verdict

BUILT_IN: Final = "built-in"
"""the place of what no policy says"""
NOT_PERFORMED: Final = "dry-run"
"""the rule of a verdict that lets nothing happen"""


def is_not_performed(verdict: Verdict | None) -> bool:
    """Whether a step with this verdict was only shown."""
    return verdict is not None and (verdict.rule, verdict.place) == (NOT_PERFORMED, BUILT_IN)
