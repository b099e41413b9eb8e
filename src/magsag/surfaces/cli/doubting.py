"""`magsag run resolve`: shows what is known of a doubt, takes a person's word, and drives the run on."""

import sys
from typing import TYPE_CHECKING

from magsag.domain.errors import Invalid
from magsag.domain.facts import StepStatus
from magsag.domain.ids import RunId
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.driving import Asked, drive
from magsag.surfaces.cli.reading import parse
from magsag.surfaces.cli.writing import json_text, note

if TYPE_CHECKING:
    from magsag.services.people.doubts import Doubt, Said

_CHOICES = "--succeeded JSON, --failed or --retry"


def resolve(call: Call, run: RunId, step: str, said: "Said | None") -> int:
    """End the doubt and drive the run on; the exit code is the run's."""
    import asyncio

    app = call.app
    doubt = app.doubts.find(run, step)
    if doubt.late or said is None:
        _show(doubt)
    if said is None:
        said = _asked(call)
    root = asyncio.run(app.doubts.resolve(run, step, said))
    program = app.insight.show(root).started.program
    return drive(call, root, Asked(program.partition(":")[0]))


def said_of(call: Call, succeeded: str | None, failed: bool, retry: bool) -> "Said | None":
    """What the flags say; None when they say nothing. Raises Invalid when they say two things."""
    from magsag.services.people.doubts import Said

    if (succeeded is not None) + failed + retry > 1:
        raise Invalid(f"a doubt ends in one way: say one of {_CHOICES}")
    by = call.app.settings.actor
    if succeeded is not None:
        return Said(StepStatus.SUCCEEDED, by, parse(succeeded.encode("utf-8", "surrogatepass"), "--succeeded"))
    if failed:
        return Said(StepStatus.FAILED, by)
    return Said(StepStatus.WAITING, by) if retry else None


def _show(doubt: "Doubt") -> None:
    """What a person needs for looking outside, on stderr."""
    from magsag.services.insight.documents import iso

    note(f"{doubt.target} at step {doubt.step} of run {doubt.run} is in doubt since {iso(doubt.since)}")
    note(f"  why              {doubt.reason}")
    if doubt.said:
        note(f"  it said          {doubt.said}")
    note(f"  idempotency key  {doubt.key}")
    note(f"  input            {json_text(doubt.input, indent=False).strip()}")
    for late in doubt.late:
        note(f"  late outcome     {json_text(late, indent=False).strip()}")


def _asked(call: Call) -> "Said":
    """Ask at the terminal; without one it must be said by a flag."""
    if call.wants_json or sys.stdin is None or not sys.stdin.isatty():
        raise Invalid(f"look outside whether it happened, then say {_CHOICES}")
    import click

    how = click.prompt("how did it end", type=click.Choice(["succeeded", "failed", "retry"]), err=True)
    output = click.prompt("its output, as JSON", err=True) if how == "succeeded" else None
    said = said_of(call, output, how == "failed", how == "retry")
    assert said is not None
    return said
