"""What `flow gate` judges and how it says so: a summary in a file, the ledger, or exported runs."""

from typing import TYPE_CHECKING

from magsag.domain.errors import Invalid
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.reading import parse, read_bytes, stdin_bytes
from magsag.surfaces.cli.writing import put_json, say

if TYPE_CHECKING:
    from magsag.domain.summary import FlowSummary


def put_gate(call: Call, summary: str | None, policy: str | None, exports: tuple[str, ...]) -> int:
    """Judge, and say it. Raises Invalid for what cannot be judged."""
    from magsag.services.insight.summary import governance_of, read_summary

    limits = governance_of(policy, read_bytes(policy)) if policy is not None else None
    document = read_summary(_judged(call, summary, exports))
    found = call.app.summary.gate(document, limits)
    if call.wants_json:
        issues = [one.said for one in found]
        objectives = [one.model_dump(mode="json", exclude_none=True) for one in document.objectives]
        evidence = {one.said: list(one.runs) for one in found}
        put_json({"passed": not found, "issues": issues, "evidence": evidence, "objectives": objectives})
        return NO if found else YES
    say("GOVERNANCE GATE FAILED" if found else "GOVERNANCE GATE PASSED")
    for one in found:
        say(f"- {one.said}")
        if one.runs:
            say(f"  runs {', '.join(one.runs)}")
    return NO if found else YES


def _judged(call: Call, summary: str | None, exports: tuple[str, ...]) -> "FlowSummary | object":
    if summary is not None and exports:
        raise Invalid("give a summary or --recompute, not both")
    if exports:
        return call.app.summary.recompute([(name, read_bytes(name)) for name in exports])
    if summary is None:
        return call.app.summary.summarize()
    return parse(stdin_bytes(), "summary") if summary == "-" else parse(read_bytes(summary), summary)
