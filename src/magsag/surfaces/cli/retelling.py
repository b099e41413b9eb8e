"""`magsag run replay`: what can be done with a record besides reading it. Added to the noun by `run`."""

from dataclasses import asdict

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.writing import put_json, say


@click.command("replay", cls=Leaf)
@click.argument("run")
@click.option("--catalog", metavar="DIR", help="Replay on the code of this catalog, not on the bundle of the run.")
@click.pass_obj
def replay(call: Call, run: str, catalog: str | None) -> int:
    """Run a recorded run's program again, offline, every step answered from the record.

    Nothing acts and nothing is written. Exit 0 when it comes to the same facts, 1 with the first difference.
    """
    import asyncio

    app = call.app
    id = app.insight.find(run)
    found = asyncio.run(app.replay.replay(id, catalog))
    counted = f"{found.steps} steps in {found.runs} run{'s' * (found.runs != 1)}"
    if call.wants_json:
        different = asdict(found.difference) if found.difference is not None else None
        put_json({"run": id, "runs": found.runs, "steps": found.steps, "difference": different})
    elif found.difference is None:
        say(f"run {id} replays to the same facts: {counted}")
    else:
        say(f"run {id} replays differently, after {counted}: {found.difference}")
    return YES if found.difference is None else NO


COMMANDS = (replay,)
