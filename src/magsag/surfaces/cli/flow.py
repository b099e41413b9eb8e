"""`magsag flow`: run flows, check them, sum up and judge finished runs."""

from pathlib import Path

import click

from magsag.domain.errors import Invalid
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.making import put_made
from magsag.surfaces.cli.writing import counted, json_text, put_json, put_pairs, say, write_file

CAPABILITIES = ("agents", "skills", "shell", "for-each", "loops", "fallbacks", "dry-run", "only", "continue-from")


@click.group("flow", cls=Noun)
def command() -> None:
    """Run flows, check them, sum up and judge finished runs."""


@command.command("available")
@click.pass_obj
def available(call: Call) -> None:
    """Say whether flows can be run here, and what they may use."""
    from importlib.metadata import version

    if call.wants_json:
        put_json({"available": True, "version": version("magsag"), "capabilities": list(CAPABILITIES)})
    else:
        say(f"yes (magsag {version('magsag')}; capabilities: {', '.join(CAPABILITIES)})")


@command.command("validate")
@click.argument("name", metavar="PATH_OR_SLUG")
@click.pass_obj
def validate(call: Call, name: str) -> int:
    """Check one flow and all that it reaches. Exit 1 with findings."""
    from magsag.surfaces.cli.catalog import finding_document

    ref = flow_reference(call, name)
    findings = call.app.shelf.in_the_way(ref)
    if not findings:
        call.app.shelf.flow(ref)
    if call.wants_json:
        put_json([finding_document(finding) for finding in findings])
    else:
        for finding in findings:
            say(str(finding))
        say(counted(len(findings), "finding") if findings else "OK")
    return NO if findings else YES


@command.command("run")
@click.argument("name", metavar="[PATH_OR_SLUG]", required=False)
@click.option("--input", "source", metavar="FILE", help="The input as JSON; stdin without it, or for -.")
@click.option("--dry-run", is_flag=True, help="Print what would run, and run nothing.")
@click.option("--only", multiple=True, metavar="STEP", help="Run only this step; may be given again.")
@click.option("--continue-from", metavar="STEP", help="Run this step and those after it.")
@click.option("--run-id", metavar="ID", help="The run's id; a known one with the same input gives its result again.")
@click.option("--resume", metavar="RUN", help="Go on with a run; of an ended one its result.")
@click.option("--watch", is_flag=True, help="Show the tree of the run while it grows, on stderr.")
@click.option("--wait", is_flag=True, help="Stay while the run waits for time, signals, approvals or child runs.")
@click.option("--detach", is_flag=True, help="Put the run on record, print its id and leave it to a worker.")
@click.option("--output", metavar="FILE", help="Write the result there instead of to stdout.")
@click.pass_obj
def run(
    call: Call,
    name: str | None,
    source: str | None,
    dry_run: bool,
    only: tuple[str, ...],
    continue_from: str | None,
    run_id: str | None,
    resume: str | None,
    watch: bool,
    wait: bool,
    detach: bool,
    output: str | None,
) -> int:
    """Run a flow of the catalog, or one in a file, and print its output as JSON.

    Steps that are left out keep the outputs that they had in the newest earlier run of the flow. Without an input
    a flow that has no input contract gets {}.
    """
    from magsag.surfaces.cli.agent import resumed
    from magsag.surfaces.cli.driving import Asked, check_output, drive, refuse_findings
    from magsag.surfaces.cli.planning import flow_order, put_plan

    asked = Asked("flow", watch, output, detach=detach, wait=wait)
    check_output(output)
    if resume is not None:
        return drive(call, resumed(call, resume, name, source, run_id), asked)
    if name is None:
        raise Invalid("say which flow to run; `magsag catalog list` shows them")
    if only and continue_from:
        raise Invalid("--only and --continue-from exclude each other")
    ref = flow_reference(call, name)
    if (refused := refuse_findings(call, ref)) is not None:
        return refused
    if dry_run:
        put_plan(call, ref, only, continue_from)
        return YES
    return drive(call, flow_order(call, ref, source, run_id, only, continue_from), asked)


@command.command("show")
@click.argument("slug")
@click.pass_obj
def show(call: Call, slug: str) -> None:
    """Show a flow: its steps, and how it stands to its objectives."""
    from magsag.services.insight.documents import objectives_document
    from magsag.surfaces.cli.objectives import in_short, put_objectives

    entry = call.app.shelf.flow(slug)
    report, steps = call.app.objectives.report(entry), list(call.app.shelf.steps(entry))
    about = {"flow": entry.ref, "about": entry.manifest.description, "path": entry.path}
    if call.wants_json:
        put_json({**about, "steps": steps, "objectives": objectives_document(report)})
        return
    put_pairs({**about, "steps": ", ".join(steps), **in_short(report)})
    put_objectives(report)


@command.command("new")
@click.argument("slug")
@click.pass_obj
def new(call: Call, slug: str) -> None:
    """Start a flow from the template."""
    put_made(call, call.app.scaffold.flow(slug), f"magsag flow run {slug} --dry-run")


@command.command("summarize")
@click.option("--program", metavar="REF", help="Only runs of one program: agent:SLUG or flow:SLUG.")
@click.option("--output", metavar="FILE", help="Write the summary there too.")
@click.option("--pretty", is_flag=True, help="Indent the JSON.")
@click.pass_obj
def summarize(call: Call, program: str | None, output: str | None, pretty: bool) -> None:
    """Sum up all finished runs, of agents and flows alike, as JSON."""
    summary = call.app.summary.summarize(program).model_dump(mode="json", exclude_none=True)
    text = json_text(summary, indent=pretty)
    if output is not None and output != "-":
        write_file(output, text)
    say(text)


@command.command("gate")
@click.argument("summary", metavar="[SUMMARY]", required=False)
@click.option("--policy", metavar="FILE", help="A policy with flow_governance, instead of the catalog's.")
@click.option("--recompute", multiple=True, metavar="EXPORT", help="Judge the runs of this `run export` instead.")
@click.pass_obj
def gate(call: Call, summary: str | None, policy: str | None, recompute: tuple[str, ...]) -> int:
    """Hold finished runs against their objectives and limits. Exit 1 with the issues, and the runs that show them.

    Without a SUMMARY of `flow summarize` (or - for stdin) the runs of the ledger are judged. With --recompute, which
    may be given again, those in exported files, on any machine: the same runs give the same answer.
    """
    from magsag.surfaces.cli.gating import put_gate

    return put_gate(call, summary, policy, recompute)


def flow_reference(call: Call, name: str) -> str:
    """The flow that is meant: a file, wherever it stands, or a name of the catalog. Raises Invalid."""
    if Path(name).suffix in (".yaml", ".yml", ".json") or Path(name).is_file():
        from magsag.catalog.beside import read_beside

        call.flags["flow_file"] = name
        return read_beside(name).ref
    kind = name.partition(":")[0] if ":" in name else "flow"
    if kind != "flow":
        raise Invalid(f"{name} names no flow: write a slug such as my-flow, flow:my-flow@^1, or a file")
    ref = name if name.startswith("flow:") else f"flow:{name}"
    call.flags["reach"] = ref
    return ref
