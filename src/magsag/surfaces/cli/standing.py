"""Standing approvals as text and JSON."""

from typing import Any

from magsag.domain.approval import Acting, Reach
from magsag.domain.errors import Invalid
from magsag.services.insight.documents import iso
from magsag.services.people.refusals import Who
from magsag.services.people.standing_approvals import Beforehand, StandingView
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.writing import put_json, put_table, say

_COLUMNS = ("standing", "state", "owner", "for", "agent", "target", "rule", "until", "when")


def beforehand(reach: str | None, span: str | None, when: str | None) -> Beforehand | None:
    """What `--standing` says. Raises Invalid."""
    if reach is None:
        if span is not None or when is not None:
            raise Invalid("--for and --when go with --standing: write --standing run or --standing agent")
        return None
    if span is None:
        raise Invalid("a standing approval has an end: say for how long, e.g. --for 1h")
    from magsag.domain.manifests.base import duration_seconds

    try:
        return Beforehand(Reach(reach), float(duration_seconds(span)), when or "")
    except ValueError as error:
        raise Invalid(f"--for {span}: {error}") from None


def put_list(call: Call, found: list[StandingView], every: bool) -> None:
    """A table, or JSON."""
    if call.wants_json:
        put_json([_document(one) for one in found])
    elif not found:
        say("no standing approvals" if every else "no standing approval is in force")
    else:
        put_table(_COLUMNS, map(_line, found))


def put_revoked(call: Call, ended: StandingView, who: Who) -> None:
    """What is over now."""
    by = who if isinstance(who, Acting) else who.known
    if call.wants_json:
        put_json(_document(ended))
    else:
        say(f"standing approval {ended.id} of {ended.said.by} is revoked, says {by.id} ({by.proof})")


def _state(one: StandingView) -> str:
    return "revoked" if one.is_revoked else "over" if one.is_over else "in force"


def _line(one: StandingView) -> tuple[str, ...]:
    said = one.said
    reach = f"run {one.run}" if said.reach is Reach.RUN else "agent"
    about = (said.program, said.proposal.target, said.rule)
    return one.id, _state(one), said.by, reach, *about, str(iso(said.until)), said.when or "-"


def _document(one: StandingView) -> dict[str, Any]:
    said = one.said
    return {
        "id": one.id,
        "state": _state(one),
        "owner": said.by,
        "proof": said.proof,
        "reach": said.reach,
        "run": one.run,
        "ticket": said.ticket,
        "program": said.program,
        "target": said.proposal.target,
        "effect": said.proposal.effect,
        "rule": said.rule,
        "environment": said.environment,
        "when": said.when or None,
        "made": iso(said.at),
        "until": iso(said.until),
        "reason": said.reason,
    }
