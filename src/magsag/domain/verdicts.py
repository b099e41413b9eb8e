"""Words of verdicts that readers of the ledger know too: what the product says by itself, and what was only shown."""

from typing import Final

from magsag.domain.facts import Verdict
from magsag.domain.ids import StepId

BUILT_IN: Final = "built-in"
"""the place of what no policy says"""
DETACH: Final = "detach"
"""the verb of a delegation whose child run is a tree of its own"""
START: Final = StepId("@start")
"""the step that a run takes before its program, when its start has to be approved"""
APPROVE: Final = "approve"
"""the verb of a program's own question to people"""
QUESTION: Final = "approval:question"
"""the target of such a question"""
PROGRAM_ASKS: Final = "program-asks"
"""the rule of a verdict that asks because the program wants to know"""
NOT_PERFORMED: Final = "dry-run"
"""the rule of a verdict that lets nothing happen"""


def is_not_performed(verdict: Verdict | None) -> bool:
    """Whether a step with this verdict was only shown."""
    return verdict is not None and verdict.rule == NOT_PERFORMED and verdict.place == BUILT_IN
