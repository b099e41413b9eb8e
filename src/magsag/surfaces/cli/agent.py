"""`magsag agent`: run agents, see them, start new ones."""

from typing import TYPE_CHECKING

import click

from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import AS, Noun
from magsag.surfaces.cli.making import put_made
from magsag.surfaces.cli.writing import put_json, put_pairs, put_table, say

if TYPE_CHECKING:
    from magsag.services.driving.runs import Order


@click.group("agent", cls=Noun)
def command() -> None:
    """Run agents, see them, start new ones."""


@command.command("run")
@click.argument("slug", required=False)
@click.option("--input", "source", metavar="FILE", help="The input as JSON; stdin without it, or for -.")
@click.option("--run-id", metavar="ID", help="The run's id; a known one with the same input gives its result again.")
@click.option("--resume", metavar="RUN", help="Go on with a run; of an ended one its result. RUN may be shortened.")
@click.option("--watch", is_flag=True, help="Show the tree of the run while it grows, on stderr.")
@click.option("--wait", is_flag=True, help="Stay while the run waits for time, signals, approvals or child runs.")
@click.option("--detach", is_flag=True, help="Put the run on record, print its id and leave it to a worker.")
@click.option("--output", metavar="FILE", help="Write the result there instead of to stdout.")
@click.option("--debug", is_flag=True, help="Let breakpoint() in catalog code reach the terminal.")
@click.pass_obj
def run(
    call: Call,
    slug: str | None,
    source: str | None,
    run_id: str | None,
    resume: str | None,
    watch: bool,
    wait: bool,
    detach: bool,
    output: str | None,
    debug: bool,
) -> int:
    """Run an agent and print its output as JSON.

    Exit 0 when it succeeded, 1 when it failed, was denied or is partial, 2 for a wrong question, 3 when it is
    parked, 130 when it was interrupted.
    """
    from magsag.surfaces.cli.driving import Asked, check_output, drive, refuse_findings

    check_output(output)
    call.flags["debug"] = debug
    asked = Asked("agent", watch, output, debug, detach, wait)
    if resume is not None:
        return drive(call, resumed(call, resume, slug, source, run_id), asked)
    if slug is None:
        raise Invalid("say which agent to run; `magsag agent list` shows them")
    ref = _reference(slug)
    call.flags["reach"] = ref
    refused = refuse_findings(call, ref)
    if refused is not None:
        return refused
    call.app.shelf.entry(ref)
    return drive(call, _order(ref, source, run_id, debug), asked)


@command.command("list")
@click.pass_obj
def list_agents(call: Call) -> None:
    """List the agents of the catalog."""
    items = [item for item in call.app.shelf.items() if item.ref.startswith("agent:")]
    if call.wants_json:
        put_json([{"ref": item.ref, "about": item.about, "path": item.path} for item in items])
    else:
        put_table(("agent", "about"), [(item.ref.removeprefix("agent:"), item.about) for item in items])


@command.command("show")
@click.argument("slug")
@click.pass_obj
def show(call: Call, slug: str) -> None:
    """Show an agent: what it may call, its objectives, and how breakers, rates and concurrency below it stand."""
    from magsag.services.insight.documents import objectives_document
    from magsag.surfaces.cli.limiting import agent_document, limited_row
    from magsag.surfaces.cli.objectives import in_short, put_objectives

    view = call.app.agents.view(_reference(slug))
    report = call.app.objectives.report(call.app.shelf.entry(view.ref))
    if call.wants_json:
        put_json({**agent_document(view), "objectives": objectives_document(report)})
        return
    about = {"agent": view.ref, "role": view.role, "about": view.about, "path": view.path}
    put_pairs({**about, "uses": ", ".join(view.uses) or "nothing", **in_short(report)})
    put_objectives(report)
    if view.limited:
        say("")
        put_table(("limited", "breaker", "rate", "concurrency"), map(limited_row, view.limited))


@command.command("close-breaker")
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the record.")
@click.option("--as", "claim", metavar="NAME", help=AS)
@click.pass_obj
def close_breaker(call: Call, name: str, reason: str, claim: str | None) -> None:
    """Close the breaker of NAME by hand, for all processes: skill:SLUG, agent:SLUG or provider:NAME.

    For people who stand in people.yaml; it is on record in the run whose call had opened the breaker.
    """
    app = call.app
    run = app.breakers.close(name, app.identity.acting(claim), reason)
    if call.wants_json:
        put_json({"name": name, "state": "closed", "run": run})
    else:
        say(f"the breaker of {name} is closed" + (f"; run {run} says by whom" if run is not None else ""))


@command.command("new")
@click.argument("slug")
@click.option("--role", type=click.Choice(["main", "sub"]), help="main delegates to others; sub by default for *-sag.")
@click.pass_obj
def new(call: Call, slug: str, role: str | None) -> None:
    """Start an agent from the template of its role."""
    role = role or ("sub" if slug.endswith("-sag") else "main")
    made = call.app.scaffold.agent(slug, role)
    put_made(call, made, f"magsag agent run {slug}")


def resumed(call: Call, resume: str, slug: str | None, *more: str | None) -> RunId:
    """The run to go on with. Raises Invalid for an unknown one, or for what does not belong to resuming."""
    if any(one is not None for one in more):
        raise Invalid("--resume takes the run's own input: leave out --input and --run-id")
    call.flags["reach"] = ""
    run = call.app.insight.find(resume)
    if slug is not None:
        program = call.app.insight.show(run).started.program
        if program.partition("@")[0].partition(":")[2] != slug.partition("@")[0].removeprefix("agent:"):
            raise Invalid(f"run {run} is of {program}, not of {slug}; leave the name out to resume it")
    return run


def _reference(slug: str) -> str:
    kind = slug.partition(":")[0] if ":" in slug else "agent"
    if kind != "agent":
        raise Invalid(f"{slug} names no agent: write a slug such as my-agent, or agent:my-agent@^1")
    return slug if slug.startswith("agent:") else f"agent:{slug}"


def _order(ref: str, source: str | None, run_id: str | None, debug: bool) -> "Order":
    from magsag.services.driving.runs import Order
    from magsag.surfaces.cli.reading import give_terminal_back, read_input

    payload = read_input(source)
    if debug and source in (None, "-"):
        give_terminal_back()
    return Order(ref, payload, run_id)
