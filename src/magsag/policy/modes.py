"""Modes: how much a run may do, whatever the rules allow. A mode can tighten a verdict, never loosen it.

| mode            | acts with an effect | reads that reach for the network | for a shell or the workspace |
|-----------------|---------------------|----------------------------------|------------------------------|
| `implement`     | as the rules say    | as the rules say                 | as the rules say             |
| `safe_mode`     | ask                 | as the rules say                 | denied                       |
| `dry_run`       | not performed       | as the rules say                 | not performed                |
| `analysis_only` | denied              | denied                           | denied                       |

Not performed means: judged as always, then put on record with what the rules would have said, and not done.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.facts import Decision, Verdict
from magsag.domain.settings import Mode
from magsag.domain.verdicts import BUILT_IN, NOT_PERFORMED, PROGRAM_ASKS

_CHANGING: Final = frozenset({"shell", "workspace"})
_OUTSIDE: Final = _CHANGING | {"network"}


def under(mode: str, verdict: Verdict, effect: Effect, capabilities: Collection[str]) -> Verdict:
    """The verdict in this mode; a mode that nobody knows denies."""
    if verdict.decision is Decision.DENY or mode == Mode.IMPLEMENT:
        return verdict
    changes = effect in EFFECTFUL or not _CHANGING.isdisjoint(capabilities)
    match mode:
        case Mode.SAFE_MODE:
            return _safe(verdict, effect, capabilities)
        case Mode.DRY_RUN:
            return _shown(verdict) if changes or verdict.rule == PROGRAM_ASKS else verdict
        case Mode.ANALYSIS_ONLY:
            is_outside = not _OUTSIDE.isdisjoint(capabilities)
            return _denied(verdict, "analysis-only", _why(effect, capabilities)) if changes or is_outside else verdict
        case _:
            return _denied(verdict, "unknown-mode", f"nobody knows the mode {mode!r}")


def _safe(verdict: Verdict, effect: Effect, capabilities: Collection[str]) -> Verdict:
    if not _CHANGING.isdisjoint(capabilities):
        return _denied(verdict, "safe-mode", _why(effect, capabilities))
    if effect not in EFFECTFUL or verdict.decision is Decision.ASK:
        return verdict
    reason = f"rule {verdict.rule} ({verdict.place}) allows it, and in safe_mode every effect is asked about"
    return replace(verdict, decision=Decision.ASK, rule="safe-mode", place=BUILT_IN, reason=reason)


def _shown(verdict: Verdict) -> Verdict:
    because = f": {verdict.reason}" if verdict.reason else ""
    reason = f"not performed; rule {verdict.rule} ({verdict.place}) would {verdict.decision}{because}"
    return replace(verdict, decision=Decision.ALLOW, rule=NOT_PERFORMED, place=BUILT_IN, reason=reason)


def _denied(verdict: Verdict, rule: str, reason: str) -> Verdict:
    return replace(verdict, decision=Decision.DENY, rule=rule, place=BUILT_IN, reason=reason)


def _why(effect: Effect, capabilities: Collection[str]) -> str:
    """What of an act the mode does not let happen."""
    if effect in EFFECTFUL:
        return f"an act that is {effect} changes something, and this mode changes nothing"
    return f"it reaches for {', '.join(sorted(_OUTSIDE.intersection(capabilities)))}, which this mode does not"
