"""`magsag run`: look at runs, cancel them, and end doubts."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from magsag.domain.errors import Damaged, Invalid
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.location import shown
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import YES
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.retelling import COMMANDS
from magsag.surfaces.cli.writing import note, put_json, put_table, say

if TYPE_CHECKING:
    from magsag.domain.ids import RunId
    from magsag.ports.ledger import RunQuery, RunRow

_SHORT: Final = 8
"""so much of a bundle's hash is shown, when runs of several are listed"""


@click.group("run", cls=Noun)
def command() -> None:
    """Look at runs, cancel them, and end doubts. RUN may be shortened as long as it is clear."""


@command.command("list")
@click.option("--status", type=click.Choice([str(one) for one in RunStatus]), help="Only runs that stand so.")
@click.option("--parked-on", type=click.Choice([str(one) for one in ParkedOn]), help="Only what waits for this.")
@click.option("--program", metavar="REF", help="Only runs of one program: agent:SLUG, flow:SLUG, or SLUG.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="How many; 0 for all.")
@click.option("--all", "children", is_flag=True, help="Child runs too.")
@click.pass_obj
def list_runs(
    call: Call, status: str | None, parked_on: str | None, program: str | None, limit: int, children: bool
) -> None:
    """List runs, the newest first."""
    from magsag.ports.ledger import RunQuery

    query = RunQuery(
        roots_only=not children,
        status=RunStatus(status) if status else None,
        parked_on=ParkedOn(parked_on) if parked_on else None,
        limit=limit or None,
    )
    damage = None
    try:
        rows = _rows(call, query, program)
    except Damaged as error:
        rows, damage = list(error.rest), error
    _put_rows(call, rows)
    if damage is not None:
        raise damage


def _put_rows(call: Call, rows: "list[RunRow]") -> None:
    if not call.is_quiet and (closure := call.app.insight.closure()) is not None:
        note(f"note: {closure.why()}")
    if call.wants_json:
        from magsag.services.insight.documents import row_document

        put_json([row_document(row) for row in rows])
        return
    if not rows:
        say("no runs")
        if not call.app.has_ledger and not call.is_quiet:
            note(f"there is no ledger yet at {shown(call.app.settings.ledger)}: the first run makes it")
        return
    heads = ["run", "program", "status", "started", "took"]
    ends = call.app.insight.ends(rows)
    lines = [[row.run, row.program, _status(row), _time(row.created), _took(row, ends)] for row in rows]
    if len({row.bundle for row in rows}) > 1:
        heads.append("bundle")
        lines = [[*line, row.bundle[:_SHORT]] for line, row in zip(lines, rows, strict=True)]
    put_table(heads, lines)


@command.command("show")
@click.argument("run")
@click.option("--at", "step", metavar="STEP", help="As it stood when this step had its last word.")
@click.option("--traceback", is_flag=True, help="Show the whole traceback of what catalog code raised.")
@click.pass_obj
def show(call: Call, run: str, step: str | None, traceback: bool) -> None:
    """Show how a run stands: its steps with verdicts, the scores in it and below, its result or error."""
    from magsag.services.insight.documents import run_document
    from magsag.surfaces.cli.showing import put_run, scores_of

    insight = call.app.insight
    id = insight.find(run)
    view = insight.show_at(id, step) if step is not None else insight.show(id)
    scores = scores_of(insight, view, below=step is None)
    if call.wants_json:
        listed = [{"run": one.run, "program": one.program, **asdict(one.score)} for one in scores]
        put_json({**run_document(view), "scores": listed})
    else:
        put_run(view, scores, traceback)


@command.command("tree")
@click.argument("run")
@click.pass_obj
def tree(call: Call, run: str) -> None:
    """Draw a run with all below it."""
    node = call.app.insight.tree(call.app.insight.find(run))
    if call.wants_json:
        from magsag.services.insight.documents import tree_document

        put_json(tree_document(node))
        return
    from magsag.surfaces.cli.trees import draw

    say(draw(node))


@command.command("facts")
@click.argument("run")
@click.pass_obj
def facts(call: Call, run: str) -> None:
    """List the facts of a run, in the order in which they were recorded."""
    from magsag.services.insight.documents import fact_document
    from magsag.surfaces.cli.showing import fact_line

    found = call.app.insight.facts(call.app.insight.find(run))
    if call.wants_json:
        put_json([fact_document(fact) for fact in found])
        return
    for fact in found:
        say(fact_line(fact))


@command.command("search")
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many hits.")
@click.pass_obj
def search(call: Call, words: tuple[str, ...], limit: int) -> None:
    """Find facts in which all these words occur."""
    hits = call.app.insight.search(" ".join(words), limit)
    if call.wants_json:
        from magsag.services.insight.documents import hit_document

        put_json([hit_document(hit) for hit in hits])
    elif not hits:
        say("nothing found")
    else:
        put_table(("run", "fact", "text"), [(hit.run, f"{hit.seq} {hit.kind}", _line(hit.text)) for hit in hits])


@command.command("cancel")
@click.argument("run")
@click.pass_obj
def cancel(call: Call, run: str) -> int:
    """Cancel a run and all below it; an act that is under way ends first."""
    import asyncio

    app = call.app
    id = app.insight.find(run)
    result = asyncio.run(app.runs.cancel(id, app.settings.actor))
    if result.status is RunStatus.RUNNING:
        raise Invalid(f"run {result.run} is asked to stop; its driver has not said yet that it did")
    if call.wants_json:
        put_json({"run": result.run, "status": result.status})
    else:
        say(f"run {result.run} {result.status}")
    return YES


@command.command("resolve")
@click.argument("run")
@click.argument("step")
@click.option("--succeeded", metavar="JSON", help="It happened, and this is its output.")
@click.option("--failed", is_flag=True, help="It did not happen, and it shall not: the step has failed.")
@click.option("--retry", is_flag=True, help="It did not happen: judge it again and let it act.")
@click.pass_obj
def resolve(call: Call, run: str, step: str, succeeded: str | None, failed: bool, retry: bool) -> int:
    """End the doubt of a STEP after looking outside, and go on with the run.

    STEP is what the parked run names; below a delegation it is a path: step/child-step. Without a flag it shows
    what is known, late outcomes included, and asks. The exit code is the run's, 2 when the step is not in doubt.
    """
    from magsag.surfaces.cli.doubting import resolve as resolve_doubt
    from magsag.surfaces.cli.doubting import said_of

    said = said_of(call, succeeded, failed, retry)
    return resolve_doubt(call, call.app.insight.find(run), step, said)


@command.command("signal")
@click.argument("run")
@click.argument("event")
@click.argument("payload", metavar="[JSON]", required=False)
@click.option("--input", "source", metavar="FILE", help="What is told, as JSON in a file; stdin for -.")
@click.option("--detach", is_flag=True, help="Put the signal on record and leave the run to whoever drives it.")
@click.option("--wait", is_flag=True, help="Stay while the run waits for time, signals, approvals or child runs.")
@click.pass_obj
def signal(call: Call, run: str, event: str, payload: str | None, source: str | None, detach: bool, wait: bool) -> int:
    """Tell a run of an EVENT, and go on with it.

    One signal satisfies one ctx.wait_for of that event, whether the wait began before or after; without JSON it tells
    null. A child run is named by its own id. The exit code is the run's, 2 when it is unknown or has ended.
    """
    from magsag.surfaces.cli.signalling import payload_of
    from magsag.surfaces.cli.signalling import signal as tell

    return tell(call, call.app.insight.find(run), event, payload_of(payload, source), detach, wait)


def _rows(call: Call, query: "RunQuery", program: str | None) -> "list[RunRow]":
    """A slug without its kind is an agent's, else a flow's."""
    if program is None:
        return call.app.insight.list(query)
    name = program.partition("@")[0]
    for one in [name] if ":" in name else [f"agent:{name}", f"flow:{name}"]:
        if rows := call.app.insight.list(replace(query, program=one)):
            return rows
    return []


def _status(row: "RunRow") -> str:
    return f"parked on {row.parked_on}" if row.parked_on else str(row.status)


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _took(row: "RunRow", ends: "dict[RunId, int]") -> str:
    if row.status is RunStatus.RUNNING:
        return ""
    until = ends.get(row.run, row.updated)
    seconds = max(0, until - row.created) / 1e6
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _line(text: str) -> str:
    return " ".join(text.split())


for _command in COMMANDS:
    command.add_command(_command)
