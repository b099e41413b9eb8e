"""`magsag version`."""

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.writing import put_json, say


@click.command("version", cls=Leaf)
@click.pass_obj
def command(call: Call) -> None:
    """Print the version of MAGSAG and of Python."""
    import platform

    from magsag.services.recording.release import version

    about = {"magsag": version(), "python": platform.python_version()}
    if call.wants_json:
        put_json(about)
    else:
        say(f"magsag {about['magsag']} (Python {about['python']})")
