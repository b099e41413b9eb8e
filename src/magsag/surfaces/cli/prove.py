"""`magsag prove`: promises, tried on the user's own project."""

from typing import TYPE_CHECKING

import click

from magsag.domain.errors import Invalid
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.placing import database
from magsag.surfaces.cli.proving_audit import audit
from magsag.surfaces.cli.writing import note, put_json, say

if TYPE_CHECKING:
    from magsag.services.proofs.bench import Said
    from magsag.services.proofs.crash import Tally

_SHOWN = 5
"""so many points that differ are told"""


@click.group("prove", cls=Noun)
def command() -> None:
    """Prove promises on your own project."""


command.add_command(audit)


@command.command("crash")
@click.argument("program", metavar="FLOW_OR_AGENT")
@click.option("--input", "source", metavar="FILE", help="The input as JSON; stdin without it, or for -.")
@click.option(
    "--store", type=click.Choice(["sqlite", "postgres"]), default="sqlite", show_default=True, help="Where facts live."
)
@click.option("--dsn", metavar="DSN", help="The database for --store postgres, if the project's ledger is not one.")
@click.option("--kill-at", type=click.IntRange(min=1), metavar="N", help="Try only this point, and tell all of it.")
@click.option("--points", type=click.IntRange(min=1), metavar="N", help="At most so many; those at effects always.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Which ones --points takes.")
@click.option("--really", is_flag=True, help="Let acts without a stand-in act for real, again and again.")
@click.pass_obj
def crash(
    call: Call,
    program: str,
    source: str | None,
    store: str,
    dsn: str | None,
    kill_at: int | None,
    points: int | None,
    seed: int,
    really: bool,
) -> int:
    """Kill a run with SIGKILL at every boundary, resume it, and compare what is left with a clean run.

    Boundaries are before and after each commit, each act and each lease. Acts that change something are not
    performed: stand-ins from catalog/proof.yaml are called, and their calls are counted. Nothing is written to the
    project's ledger.

    Exit 0 when every point was killed and ended as the clean run did, 1 when one did not, 2 when it cannot be proved:
    the input or a stand-in is wrong, an act has no stand-in, the run fails before any act with an effect or waits for
    somebody, or two clean runs differ.
    """
    from magsag.services.proofs.crash import Asked
    from magsag.surfaces.cli.driving import refuse_findings

    ref = _reference(call, program)
    refused = refuse_findings(call, ref, is_proof=True)
    if refused is not None:
        return refused
    asked = Asked(ref, _payload(call, ref, source), kill_at, points, seed)
    with call.app.crash_proof(really, database(call, store, dsn)) as proof:
        tally = proof.prove(asked, lambda done, of, story: _tell(call, done, of, story, kill_at is not None))
    _put(call, tally, store)
    return YES if tally.holds else NO


@command.command("approval")
@click.option("--procs", type=click.IntRange(1, 64), default=4, show_default=True, help="How many processes answer.")
@click.option(
    "--decisions",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="How many answers; 40 a process at least.",
)
@click.option("--restart", is_flag=True, help="Kill one process in the middle, and let another one go on.")
@click.option(
    "--store", type=click.Choice(["sqlite", "postgres"]), default="sqlite", show_default=True, help="Where facts live."
)
@click.option("--dsn", metavar="DSN", help="The database for --store postgres, if the project's ledger is not one.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Who answers when.")
@click.pass_obj
def approval(call: Call, procs: int, decisions: int, restart: bool, store: str, dsn: str | None, seed: int) -> int:
    """Answer one ticket from many processes at once, and alter every byte of what was approved.

    The quorum must be reached once, by people who each count once; the requester and a stranger never count; one
    effect happens although every process goes on with the run; an altered argument is not acted on. It happens in a
    temporary folder, or in schemas of the database that are dropped again, on a catalog of its own.

    Exit 0 when all of it is so, 1 when anything is not.
    """
    from dataclasses import asdict

    from magsag.services.proofs.approval import Asked as Tried

    with call.app.approval_proof(database(call, store, dsn)) as proof:
        tally = proof.prove(Tried(procs, decisions, restart, seed))
    counts = {name: count for name, count in asdict(tally).items() if name != "wrong"}
    if call.wants_json:
        put_json({**counts, "wrong": tally.wrong, "holds": tally.holds})
    else:
        say(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
        for line in tally.wrong:
            say(f"wrong: {line}")
    return YES if tally.holds else NO


@command.command("budget")
@click.option("--procs", type=click.IntRange(1, 64), default=4, show_default=True, help="How many processes spend.")
@click.option(
    "--tasks",
    type=click.IntRange(min=4),
    default=64,
    show_default=True,
    help="How many tasks of six acts; few tasks have more.",
)
@click.option("--kills", type=click.IntRange(min=0), default=10, show_default=True, help="How many SIGKILLs.")
@click.option(
    "--store", type=click.Choice(["sqlite", "postgres"]), default="sqlite", show_default=True, help="Where facts live."
)
@click.option("--dsn", metavar="DSN", help="The database for --store postgres, if the project's ledger is not one.")
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Which prices, and who is killed when."
)
@click.pass_obj
def budget(call: Call, procs: int, tasks: int, kills: int, store: str, dsn: str | None, seed: int) -> int:
    """Spend one budget from many processes at once, at random prices, while they are killed and replaced.

    What is held back and spent is watched from outside all the time, and added up from the facts afterwards: never
    above the cap, at least 95 % of it used, nothing held back after the last recovery, every refusal budget_exhausted.
    It happens in a temporary folder, or in a schema of the database that is dropped again, on a catalog of its own.

    Exit 0 when all of it is so, 1 when anything is not.
    """
    from dataclasses import asdict

    from magsag.services.proofs.budget import Asked as Spent

    with call.app.budget_proof(database(call, store, dsn)) as proof:
        tally = proof.prove(Spent(procs, tasks, kills, seed))
    if call.wants_json:
        put_json({**asdict(tally), "used": round(tally.used, 4), "holds": tally.holds})
    else:
        say(f"{tally.tasks} tasks, {tally.acts} attempts, {tally.kills} kills, {tally.refused} refused")
        say(f"{tally.used:.1%} of the cap used, {tally.assumed} charges assumed, {tally.looks} looks at it")
        for line in tally.wrong:
            say(f"wrong: {line}")
    return YES if tally.holds else NO


@command.command("gate")
@click.option("--runners", metavar="NAMES", help="Which, with commas between: local, workers; all without it.")
@click.option("--cases", type=click.IntRange(min=20), default=500, show_default=True, help="How many requests.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Which requests.")
@click.pass_obj
def gate(call: Call, runners: str | None, cases: int, seed: int) -> int:
    """Put the same random requests before the gate by every runner and surface, and compare all decisions.

    Each way has a ledger of its own and uses the product as people do: the command, a Python program, workers. The
    logs of decisions must have one sha256: verdict, rule, place, reason, policy hash and counts. Then the policies
    are spoilt under runs that wait to be driven: everything must be denied. It happens in a temporary folder, on a
    catalog of its own.

    Exit 0 when all of it is so, 1 when anything is not.
    """
    from dataclasses import asdict

    from magsag.services.proofs.gate import RUNNERS, Asked

    named = RUNNERS if runners is None else tuple(name.strip() for name in runners.split(",") if name.strip())
    asked = Asked(named, cases, seed)
    with call.app.gate_proof() as proof:
        tally = proof.prove(asked)
    if call.wants_json:
        put_json({**asdict(tally), "holds": tally.holds})
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in tally.decisions.items())
        say(f"{tally.cases} cases, {sum(tally.decisions.values())} decisions: {counts}")
        for way, hash in tally.hashes.items():
            say(f"{way}: {hash}; {tally.denied[way]} denied without policies")
        for line in tally.wrong:
            say(f"wrong: {line}")
    return YES if tally.holds else NO


def _reference(call: Call, program: str) -> str:
    """An agent or a flow; a bare slug may be either. Raises Invalid."""
    if ":" in program:
        kind = program.partition(":")[0]
        if kind not in ("agent", "flow"):
            raise Invalid(f"{program} is neither an agent nor a flow: write agent:SLUG or flow:SLUG")
        return call.app.shelf.entry(program).ref
    found = [ref for kind in ("agent", "flow") if (ref := _found(call, f"{kind}:{program}")) is not None]
    if len(found) > 1:
        raise Invalid(f"{program} is an agent and a flow: write agent:{program} or flow:{program}")
    return found[0] if found else call.app.shelf.flow(program).ref


def _found(call: Call, ref: str) -> str | None:
    try:
        return call.app.shelf.entry(ref).ref
    except Invalid:
        return None


def _payload(call: Call, ref: str, source: str | None) -> object:
    from magsag.surfaces.cli.planning import flow_input
    from magsag.surfaces.cli.reading import read_input

    return flow_input(call.app.shelf.flow(ref), source) if ref.startswith("flow:") else read_input(source)


def _tell(call: Call, done: int, of: int, story: "Said", is_verbose: bool) -> None:
    """Progress, on stderr."""
    if call.is_quiet:
        return
    end = "differs" if story["differences"] else "in doubt, then identical" if story["doubts"] else "identical"
    note(f"[{done}/{of}] point {story['number']}, {story['point']}: {end}")
    for line in story["lines"] if is_verbose else ():
        note(f"  {line}")


def _put(call: Call, tally: "Tally", store: str) -> None:
    """The result, on stdout."""
    counts = {
        "points": tally.points,
        "kills": tally.kills,
        "identical": tally.identical,
        "in_doubt": tally.in_doubt,
    }
    failures = tally.failures[:_SHOWN]
    if call.wants_json:
        told = [{key: one[key] for key in ("number", "point", "differences", "lines")} for one in failures]
        about = {"program": tally.program, "store": store, "status": tally.status, "boundaries": tally.boundaries}
        put_json({**about, **counts, "differing": told})
        return
    say(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
    if tally.points < tally.boundaries:
        say(f"{tally.points} of {tally.boundaries} points were tried; without --points all are")
    if tally.status not in ("succeeded", "partial"):
        say(f"the clean run is {tally.status}, and that is what each of them was compared with")
    for one in failures:
        say(f"point {one['number']}, {one['point']}:")
        for line in [*one["differences"], *one["lines"]]:
            say(f"  {line}")
