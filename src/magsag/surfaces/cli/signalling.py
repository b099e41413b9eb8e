"""`magsag run signal`: tells a run of an event, and drives it on."""

from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.driving import Asked, drive
from magsag.surfaces.cli.failing import YES
from magsag.surfaces.cli.reading import parse, read_input
from magsag.surfaces.cli.writing import note, put_json


def signal(call: Call, run: RunId, event: str, payload: object, detach: bool, wait: bool) -> int:
    """Put the signal on record and drive the run on; the exit code is the run's, 0 when others shall drive it."""
    if detach and wait:
        raise Invalid("--detach drives nothing: leave out --wait")
    app = call.app
    root = app.events.signal(run, event, payload, app.settings.actor)
    if detach:
        if call.wants_json:
            put_json({"run": run, "event": event})
        elif not call.is_quiet:
            note(f"run {run} is told of {event}; whoever drives it goes on with it")
        return YES
    program = app.insight.show(root).started.program
    return drive(call, root, Asked(program.partition(":")[0], wait=wait))


def payload_of(text: str | None, source: str | None) -> object:
    """What is told: JSON of the command line, a file's or stdin's; null without any. Raises Invalid."""
    if text is not None and source is not None:
        raise Invalid("say what is told once: as JSON behind the event, or by --input")
    if text is not None:
        return parse(text.encode("utf-8", "surrogatepass"), "the signal's JSON")
    return None if source is None else read_input(source)
