"""`magsag skill`."""

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.making import put_made


@click.group("skill", cls=Noun)
def command() -> None:
    """Start a new skill."""


@command.command("new")
@click.argument("slug")
@click.pass_obj
def new(call: Call, slug: str) -> None:
    """Start a skill from the template."""
    put_made(call, call.app.scaffold.skill(slug), f"magsag catalog show skill:{slug}")
