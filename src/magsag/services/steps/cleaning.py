"""Masks what acts and programs gave, in a thread where that takes long: other runs go on meanwhile."""

from typing import Any

from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.threads import aside


async def cleaned(value: Any) -> Any:
    """The value without secrets, the value itself where it holds none.

    Raises StepFailed(invalid_value) for one that is nested deeper than any record, or holds itself.
    """
    while not RESOLVED.is_light(value):
        known = RESOLVED.size
        try:
            value = await aside(RESOLVED.cleaned, value)
        except RuntimeError:
            break  # it was changed under our eyes: nobody changes it while the loop waits
        if RESOLVED.size == known:
            return value  # else a secret was learnt meanwhile, which was not looked for
    return RESOLVED.cleaned(value)
