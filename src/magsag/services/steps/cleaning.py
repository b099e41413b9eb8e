"""Masks what acts and programs gave, in a thread where that takes long: other runs go on meanwhile."""

from typing import Any

from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.threads import aside


async def cleaned(value: Any) -> Any:
    """The value without secrets, the value itself where it holds none.

    Raises StepFailed(invalid_value) for one that is nested deeper than any record, or holds itself.
    """
    if RESOLVED.is_light(value):
        return RESOLVED.cleaned(value)
    try:
        return await aside(RESOLVED.cleaned, value)
    except RuntimeError:
        return RESOLVED.cleaned(value)  # it was changed under our eyes: nobody changes it while the loop waits
