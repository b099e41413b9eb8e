"""`magsag init`."""

from pathlib import Path

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.making import put_made


@click.command("init", cls=Leaf)
@click.argument("folder", metavar="DIR")
@click.pass_obj
def command(call: Call, folder: str) -> None:
    """Make a working project in a new or empty folder.

    A main agent, a sub-agent, a skill with an effect, contracts, a flow, a policy and tests.
    """
    made = call.app.scaffold.project(Path(folder))
    put_made(call, made, f"cd {folder} && magsag agent run triage-mag --input examples/tickets.json --watch")
