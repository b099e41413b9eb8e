"""`magsag doctor`."""

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.writing import put_json, say


@click.command("doctor", cls=Leaf)
@click.pass_obj
def command(call: Call) -> int:
    """Check machine, settings, ledger and catalog. Exit 1 when something fails."""
    lines = call.app.health.lines()
    if call.wants_json:
        put_json([{"name": one.name, "state": one.state, "text": one.text, "mend": one.mend} for one in lines])
    else:
        width = max(len(line.name) for line in lines)
        for line in lines:
            mend = f"  -> {line.mend}" if line.mend else ""
            say(f"{line.state:<4}  {line.name:<{width}}  {line.text}{mend}")
    return int(any(line.state == "fail" for line in lines))
