"""The command line. One file per noun, loaded when it is used; exit codes and errors are decided in `failing`."""

import sys
from collections.abc import Sequence

import click

from magsag.surfaces.cli.call import Call, OpenApp
from magsag.surfaces.cli.groups import NounGroup

__all__ = ["cli", "main"]

NOUNS = {
    "agent": "Run agents, see them, start new ones.",
    "flow": "Run flows, check them, sum up and judge finished runs.",
    "run": "Look at runs, and cancel them.",
    "approval": "See what waits for a yes, and decide it.",
    "budget": "See what may still be spent, and set caps.",
    "policy": "Check policies, ask them, test them, try others on the past.",
    "catalog": "Check the catalog and look around in it.",
    "skill": "Start a new skill.",
    "audit": "Read the record: who decided what, by which rule.",
    "data": "Keep the ledger in order.",
    "serve": "Drive the runs of this ledger that nobody drives.",
    "prove": "Prove promises on your own project.",
    "init": "Make a new project in a folder.",
    "config": "Show the settings in force.",
    "doctor": "Check that everything is in working order.",
    "completion": "Print the completion script for a shell.",
    "version": "Print the version.",
}
EPILOG = """\b
Exit codes: 0 yes; 1 the answer is no; 2 the question was wrong; 3 parked; 4 MAGSAG is broken; 130 interrupted.
The flags above work after every command too."""


@click.command(cls=NounGroup, nouns=NOUNS, epilog=EPILOG)
@click.version_option(
    None, "-V", "--version", package_name="magsag", prog_name="magsag", message="%(prog)s %(version)s"
)
def cli() -> None:
    """Run teams of agents under rules that a company can audit."""


def main(open_app: OpenApp, arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line; the exit code."""
    from magsag.surfaces.cli.failing import closed, guarded

    given = list(sys.argv[1:] if arguments is None else arguments)
    call = Call(open_app)
    return closed(call, guarded(cli, given, call))
