"""What wakes a run that stands still, in the words of the command line."""

from typing import assert_never

from magsag.domain.facts import ParkedOn, ParkReason
from magsag.domain.ids import RunId
from magsag.services.steps.moment import spoken


def wake_of(reason: ParkReason, run: RunId) -> str:
    """What wakes a parked run, as far as this version knows how."""
    again = f"magsag agent run --resume {run}"
    cancel = f"magsag run cancel {run} ends it"
    match reason.on:
        case ParkedOn.APPROVAL:
            if reason.ticket is None:
                return f"`{again}` goes on; {cancel}"
            verbs = [f"{verb}: magsag approval {verb} {reason.ticket}" for verb in ("approve", "deny")]
            return "        ".join([*verbs, f"end: magsag run cancel {run}"])
        case ParkedOn.DOUBT:
            ended = f"`magsag run resolve {run} {reason.step} --succeeded JSON | --failed | --retry`"
            return f"look outside whether {reason.step} happened, then {ended} goes on; {cancel}"
        case ParkedOn.DIVERGENCE:
            return f"the program has to do again what is on record; `{again}` tries it once more; {cancel}"
        case ParkedOn.EVENT:
            told = f"`magsag run signal {reason.run or run} {reason.event} JSON` goes on"
            return f"{told}; {_then(reason, again)}{cancel}"
        case ParkedOn.TIME:
            return f"{_then(reason, again)}{cancel}"
        case ParkedOn.CHILD:
            return f"it wakes when run {reason.run} ends: `{again} --wait` stays until then; {cancel}"
        case _:
            assert_never(reason.on)


def _then(reason: ParkReason, again: str) -> str:
    """When it wakes by itself, and who stays with it until then."""
    if reason.due is None:
        return f"`{again} --wait` stays until then; "
    return f"it wakes at {spoken(reason.due)}: `{again} --wait` stays until then; "
