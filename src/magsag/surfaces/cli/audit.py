"""`magsag audit`: the record as a risk person reads it."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from magsag.domain.errors import Damaged, Invalid
from magsag.domain.facts import Decision
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.verifying import verify
from magsag.surfaces.cli.writing import counted, put_json, put_table, say

if TYPE_CHECKING:
    from magsag.services.insight.audit_entries import Entry


@click.group("audit", cls=Noun)
def command() -> None:
    """Read the record: who decided what, by which rule, and whether it is still what was written."""


command.add_command(verify)


@command.command("export")
@click.argument("destination", metavar="DEST")
@click.option("--run", metavar="RUN", help="Only this run, with the runs of its tree.")
@click.option("--since", metavar="TIME", help="Only runs that were touched in the last 30d, 12h, 5m.")
@click.pass_obj
def export(call: Call, destination: str, run: str | None, since: str | None) -> None:
    """Write facts, anchors and a verifier into a new folder, for an auditor elsewhere.

    `python verify.py DEST` in it needs Python alone. A run in which a field that a contract marks x-redact holds a
    value, or a secret shows, goes without its payloads.
    """
    exported = call.app.audit_exports.write(destination, run, seconds_of(since) if since is not None else None)
    if call.wants_json:
        put_json(asdict(exported))
        return
    say(f"exported to {destination}: {counted(exported.runs, 'run')}, {counted(exported.facts, 'fact')}")
    for root in exported.withheld:
        say(f"run {root}: its payloads stay here: a secret shows, or nobody can tell")


@command.command("log")
@click.option("--run", metavar="RUN", help="Only this run, with the runs of its tree.")
@click.option("--agent", metavar="REF", help="Only what runs of this agent or flow did.")
@click.option("--tool", metavar="REF", help="Only what was decided about this: skill:SLUG, agent:SLUG, SLUG.")
@click.option(
    "--rule", metavar="ID", help="Only what this rule decided, or rate, concurrency, breaker, budget, approval refused."
)
@click.option(
    "--person", metavar="ID", help="Only what this person started, decided, resolved, cancelled, erased or was refused."
)
@click.option("--decision", type=click.Choice([str(one) for one in Decision]), help="Only such verdicts.")
@click.option("--since", metavar="TIME", help="Only the last 30d, 12h, 5m.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="The newest; 0 for all.")
@click.pass_obj
def log(
    call: Call,
    run: str | None,
    agent: str | None,
    tool: str | None,
    rule: str | None,
    person: str | None,
    decision: str | None,
    since: str | None,
    limit: int,
) -> None:
    """List verdicts, what people said, and which secrets were used, in the order of time."""
    from magsag.services.insight.audit import Asked
    from magsag.services.insight.documents import iso

    last = seconds_of(since) if since is not None else None
    asked = Asked(agent, tool, rule, person, Decision(decision) if decision else None, last, limit or None, run)
    damage = None
    try:
        found = call.app.audit.log(asked)
    except Damaged as error:
        damage, found = error, list(error.rest)
    if call.wants_json:
        put_json([{**asdict(entry), "at": iso(entry.at)} for entry in found])
    elif not found:
        say("nothing was decided")
    else:
        put_table(("time", "run", "what", "step", "decision", "by"), [_line(entry) for entry in found])
    if damage is not None:
        raise damage


def _line(entry: "Entry") -> tuple[str, ...]:
    from magsag.services.insight.documents import iso

    rule = f"{entry.rule} ({entry.place})" if entry.rule and entry.place else entry.rule or entry.by or ""
    decided = entry.said or entry.decision or entry.kind
    return (str(iso(entry.at)), entry.run, entry.target or entry.program, entry.step or "", decided, rule)


def seconds_of(since: str) -> float:
    """What `--since` says. Raises Invalid."""
    from magsag.domain.manifests.base import duration_seconds

    try:
        return float(duration_seconds(since))
    except ValueError as error:
        raise Invalid(f"--since {since}: {error}") from None
