"""`magsag run replay`: what can be done with a record besides reading it. Added to the noun by `run`."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.domain.location import is_postgres
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.reading import read_bytes, stdin_bytes
from magsag.surfaces.cli.writing import counted, note, put_json, put_table, say, write_file


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
    steps = f"{counted(found.steps, 'step')} in {counted(found.runs, 'run')}"
    if call.wants_json:
        different = asdict(found.difference) if found.difference is not None else None
        put_json({"run": id, "runs": found.runs, "steps": found.steps, "difference": different})
    elif found.difference is None:
        say(f"run {id} replays to the same facts: {steps}")
    else:
        say(f"run {id} replays differently, after {steps}: {found.difference}")
    return YES if found.difference is None else NO


@click.command("fork", cls=Leaf)
@click.argument("run")
@click.option("--from", "step", metavar="STEP", required=True, help="The first step that is taken anew.")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="input.x=1, or plan.tone=short; JSON or text.")
@click.option("--run-id", metavar="ID", help="The id of the new run.")
@click.option("--output", metavar="FILE", help="Write the result there instead of to stdout.")
@click.pass_obj
def fork(call: Call, run: str, step: str, sets: tuple[str, ...], run_id: str | None, output: str | None) -> int:
    """Begin a new run with what was recorded before STEP, and go on from there.

    Steps before STEP are not taken again; STEP and what follows is, effects included, each judged by the policy
    in force. --set changes what was recorded. The exit code is that of the new run.
    """
    from magsag.surfaces.cli.driving import Asked, check_output, drive

    check_output(output)
    app = call.app
    origin = app.insight.find(run)
    made = app.forks.fork(origin, step, sets, run_id)
    if not call.is_quiet and not call.wants_json:
        note(f"run {made.run} takes over {counted(made.steps, 'step')} of {made.origin}, and goes on from {made.step}")
    noun = app.insight.show(made.run).started.program.partition(":")[0]
    return drive(call, made.run, Asked(noun, output=output))


@click.command("diff", cls=Leaf)
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="OTHER")
@click.pass_obj
def diff(call: Call, first: str, second: str) -> int:
    """Show where two runs part: steps, statuses, inputs and outputs by pointer, results.

    Exit 0 when they are the same, 1 when they are not. Ids and times make no difference.
    """
    app = call.app
    one, other = app.insight.find(first), app.insight.find(second)
    found = app.compare.partings(one, other)
    if call.wants_json:
        put_json({"first": one, "second": other, "differences": [asdict(parting) for parting in found]})
    elif not found:
        say(f"runs {one} and {other} are the same")
    else:
        step = next((parting.step for parting in found if parting.step is not None), None)
        say(f"runs {one} and {other} part" + (f" at step {step}" if step is not None else ""))
        heads = ("step", "what", "at", str(one), str(other))
        put_table(heads, [(it.step or "", it.what, it.pointer or "", it.first, it.second) for it in found])
    return NO if found else YES


@click.command("export", cls=Leaf)
@click.argument("run")
@click.option("--output", metavar="FILE", help="The file to write; stdout without it.")
@click.pass_obj
def export(call: Call, run: str, output: str | None) -> None:
    """Write a run, with all below it and its bundle, to one file that another ledger can import.

    Refused when a field that a contract marks x-redact holds a value.
    """
    app = call.app
    id = app.insight.find(run)
    write_file(output or "-", app.parcels.export(id))
    if app.insight.show(id).status is RunStatus.PARKED and not call.is_quiet:
        note(f"run {id} is parked in both ledgers now: cancel it in one of them before it goes on in the other")


@click.command("import", cls=Leaf)
@click.argument("file", metavar="FILE")
@click.option("--run", "id", metavar="RUN", help="Which one, when FILE is a folder that `data archive` wrote.")
@click.pass_obj
def take_in(call: Call, file: str, id: str | None) -> None:
    """Put an exported run into this ledger, after everything in the file was verified.

    FILE is - for stdin. Refused when the run is here already.
    """
    if id is not None:
        from magsag.services.keeping.archive import line_of

        data = line_of(Path(file), RunId(id))
    else:
        data = stdin_bytes() if file == "-" else read_bytes(file)
    run = call.app.parcels.take_in(data, file)
    view = call.app.insight.show(run)
    if call.wants_json:
        put_json({"run": run, "status": view.status.value, "head": view.row.head.hex()})
    else:
        say(f"run {run} is imported: {view.started.program}, {view.status}")


@click.command("erase", cls=Leaf)
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_obj
def erase(call: Call, run: str, yes: bool) -> None:
    """Take away what an ended run and all below it were told and what they said, for good.

    Facts, verdicts and the chain stay and verify; each erasure is a fact with your name. Backups, archives and
    exports made earlier are not reached.
    """
    app = call.app
    id = app.insight.find(run)
    if not yes and not _agrees(call, f"erase all payloads of run {id} for good?"):
        raise Invalid(f"run {id} stays as it is")
    gone = app.erasing.erase(id, app.settings.actor)
    if call.wants_json:
        put_json(asdict(gone))
        return
    say(f"run {id} is erased: the payloads of {counted(gone.facts, 'fact')} in {counted(gone.runs, 'run')}")
    if not gone.is_overwritten:
        if is_postgres(call.app.settings.ledger):
            note("old bytes stand in the server's files until its vacuum has passed: docs/storage.md")
        else:
            note("others are at work: old bytes may stand in the ledger's files until the next `magsag data vacuum`")
    if gone.words:
        said = (
            "1 reason that a person wrote stays" if gone.words == 1 else f"{gone.words} reasons that people wrote stay"
        )
        note(f"{said} with the decision: magsag audit log --run {id} --json")
    for copy in gone.copies:
        note(f"run {copy} took payloads over from it, and keeps them until it is erased too")


def _agrees(call: Call, question: str) -> bool:
    """Ask at the terminal; without one it must be said by a flag."""
    if call.wants_json or sys.stdin is None or not sys.stdin.isatty():
        raise Invalid(f"{question} Nothing brings them back: say --yes")
    return click.confirm(question, err=True)


COMMANDS = (replay, fork, diff, export, take_in, erase)
