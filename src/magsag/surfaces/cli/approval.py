"""`magsag approval`: what asks wait for, and the people who decide."""

from typing import TYPE_CHECKING, Final

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import AS, Noun
from magsag.surfaces.cli.writing import put_json, put_table, say

if TYPE_CHECKING:
    from magsag.ports.ledger import TicketQuery

_DETACH: Final = "Record it and leave the run to whoever drives next."


@click.group("approval", cls=Noun)
def command() -> None:
    """See what waits for a yes, and decide it. ID may be shortened as long as it is clear.

    Who you are: the user of the operating system; the owner of the key in MAGSAG_API_KEY; or --as. Who may decide
    stands in people.yaml and in the rule that asked.
    """


@command.command("list")
@click.option("--run", metavar="RUN", help="Only tickets of this run and of all below it.")
@click.option("--all", "every", is_flag=True, help="Decided, spent and expired ones too.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="How many; 0 for all.")
@click.pass_obj
def list_tickets(call: Call, run: str | None, every: bool, limit: int) -> None:
    """List what waits for a decision, the oldest first."""
    from magsag.services.insight.documents import ticket_document
    from magsag.surfaces.cli.approving import line

    found = call.app.approvals.list(_query(call, run, every, limit))
    if call.wants_json:
        put_json([ticket_document(ticket) for ticket in found])
    elif not found:
        say("no approvals" if every else "nothing waits for an approval")
    else:
        put_table(("approval", "state", "run", "step", "target", "rule", "approved", "expires"), map(line, found))


@command.command("show")
@click.argument("id")
@click.pass_obj
def show(call: Call, id: str) -> None:
    """Show what is asked for, with its arguments, who may decide, and what was said."""
    from magsag.services.insight.documents import ticket_document
    from magsag.surfaces.cli.approving import put_ticket

    approvals = call.app.approvals
    ticket = approvals.show(approvals.find(id))
    if call.wants_json:
        put_json(ticket_document(ticket))
    else:
        put_ticket(ticket)


@command.command("approve")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the record.")
@click.option(
    "--with", "arguments", metavar="JSON", help="Approve these arguments instead; what was said before is void."
)
@click.option("--standing", type=click.Choice(["run", "agent"]), help="Approve the same, asked again, beforehand.")
@click.option("--for", "span", metavar="TIME", help="With --standing: for how long, e.g. 1h; at most 30d.")
@click.option("--when", metavar="CEL", help="With --standing: only acts of which this holds, as in a rule.")
@click.option("--as", "claim", metavar="NAME", help=AS)
@click.option("--detach", is_flag=True, help=_DETACH)
@click.pass_obj
def approve(
    call: Call,
    id: str,
    reason: str,
    arguments: str | None,
    standing: str | None,
    span: str | None,
    when: str | None,
    claim: str | None,
    detach: bool,
) -> int:
    """Say yes, and go on with the run once enough people have.

    With --standing the same act of the same agent is approved beforehand, in this run and below it, or in any run of
    this agent, until the time is up: `magsag approval standing` lists and revokes such approvals.

    The exit code is the run's: 3 while more people have to approve. With --detach 0. 1 when you may not decide.
    """
    from magsag.domain.approval import Answer
    from magsag.surfaces.cli.approving import Word, decide
    from magsag.surfaces.cli.standing import beforehand

    word = Word(Answer.APPROVE, reason, arguments, claim, detach, beforehand(standing, span, when))
    return decide(call, id, word)


@command.command("deny")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; the step fails with it.")
@click.option("--as", "claim", metavar="NAME", help=AS)
@click.option("--detach", is_flag=True, help=_DETACH)
@click.pass_obj
def deny(call: Call, id: str, reason: str, claim: str | None, detach: bool) -> int:
    """Say no: the step is denied, and the run goes on from there. The exit code is the run's, with --detach 0."""
    from magsag.domain.approval import Answer
    from magsag.surfaces.cli.approving import Word, decide

    return decide(call, id, Word(Answer.DENY, reason, None, claim, detach))


@command.command("watch")
@click.option("--run", metavar="RUN", help="Only tickets of this run and of all below it.")
@click.option("--seconds", type=click.FloatRange(min=0), help="Stop after this time; without it when interrupted.")
@click.pass_obj
def watch(call: Call, run: str | None, seconds: float | None) -> None:
    """Print a line for each ticket that is opened or changes; with --json an object each."""
    from magsag.surfaces.cli.approving import follow

    follow(call, _query(call, run, True, 0), seconds)


@command.group("standing", cls=Noun)
def standing() -> None:
    """See and end what people approved beforehand, with `magsag approval approve ID --standing`."""


@standing.command("list")
@click.option("--all", "every", is_flag=True, help="Revoked ones and those whose time is up too.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="How many; 0 for all.")
@click.pass_obj
def list_standing(call: Call, every: bool, limit: int) -> None:
    """List the standing approvals in force, the oldest first."""
    from magsag.surfaces.cli.standing import put_list

    put_list(call, call.app.standing_approvals.list(every, limit or None), every)


@standing.command("revoke")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the record.")
@click.option("--as", "claim", metavar="NAME", help=AS)
@click.pass_obj
def revoke(call: Call, id: str, reason: str, claim: str | None) -> None:
    """End a standing approval now. Anybody in people.yaml may; 1 when you may not, or it is over already."""
    from magsag.surfaces.cli.standing import put_revoked

    found = call.app.standing_approvals
    who = call.app.identity.trying(claim)
    put_revoked(call, found.revoke(found.find(id), who, reason), who)


def _query(call: Call, run: str | None, every: bool, limit: int) -> "TicketQuery":
    from magsag.ports.ledger import TicketQuery

    insight = call.app.insight
    root = insight.show(insight.find(run)).row.root if run is not None else None
    return TicketQuery(root=root, waiting=not every, limit=limit or None)
