"""`magsag prove audit`: a ledger tampered with in many ways, every one of which must be seen."""

from dataclasses import asdict

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.placing import database
from magsag.surfaces.cli.writing import put_json, say


@click.command("audit", cls=Leaf)
@click.option(
    "--mutations", type=click.IntRange(min=1), default=1000, show_default=True, help="In how many ways it is changed."
)
@click.option(
    "--store", type=click.Choice(["sqlite", "postgres"]), default="sqlite", show_default=True, help="Where facts live."
)
@click.option("--dsn", metavar="DSN", help="The database for --store postgres, if the project's ledger is not one.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Which changes.")
@click.pass_obj
def audit(call: Call, mutations: int, store: str, dsn: str | None, seed: int) -> int:
    """Tamper with a ledger in many ways, one after the other: every one must be found, and nothing else.

    Real runs write it, with approvals, child runs, records, large values, one erased and one vacuumed. Then rows and
    anchors are edited, deleted, swapped, cut off and written anew with digests and chains to match; approvers are
    changed.
    Each is judged by `audit verify` and by the verifier of an export, which shares no code with it, and undone. It
    happens in a temporary folder, or in a schema of the database that is dropped again, on a catalog of its own.

    Exit 0 when all is found and nothing in untouched, erased and vacuumed ledgers, 1 otherwise.
    """
    from magsag.services.proofs.audit import Asked

    with call.app.audit_proof(database(call, store, dsn)) as proof:
        tally = proof.prove(Asked(mutations, seed))
    if call.wants_json:
        put_json({**asdict(tally), "store": store, "holds": tally.holds})
        return YES if tally.holds else NO
    say(f"{tally.runs} runs with {tally.facts} facts, tampered with in {tally.mutations} ways")
    say(", ".join(f"{count} {kind}" for kind, count in tally.kinds.items()))
    say(f"found: {tally.found} by audit verify, {tally.found_alone} by the verifier of an export")
    say(f"false alarms: {tally.false_alarms} on {tally.copies} untouched, erased and vacuumed ledgers")
    for line in tally.wrong:
        say(f"wrong: {line}")
    return YES if tally.holds else NO
