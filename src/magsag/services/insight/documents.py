"""What the read side says, as JSON: the form that `--json`, the API and `Project` share. Times are ISO 8601, UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from magsag.domain.facts import DecisionRefused, ParkReason, Verdict
from magsag.policy.slo import SloReport
from magsag.ports.ledger import Hit, RunRow
from magsag.services.insight.tree import ErrorView, TreeNode
from magsag.services.insight.views import FactView, RunView, StepView

if TYPE_CHECKING:
    from magsag.services.people.approvals import TicketView

Document = dict[str, Any]


def iso(at: int | None) -> str | None:
    """Microseconds since 1970 as text."""
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="microseconds")


def row_document(row: RunRow) -> Document:
    """A run as lists show it."""
    return {
        "run": row.run,
        "root": row.root,
        "parent": row.parent,
        "program": row.program,
        "status": row.status.value,
        "parked_on": row.parked_on.value if row.parked_on else None,
        "due": iso(row.due),
        "created": iso(row.created),
        "updated": iso(row.updated),
        "actor": row.actor,
        "requester": row.requester,
        "bundle": row.bundle,
        "trace_id": row.trace_id,
        "facts": row.seq,
        "head": row.head.hex(),
    }


def run_document(view: RunView) -> Document:
    """A run with all that is known of it but its facts."""
    return {
        **row_document(view.row),
        "status": view.status.value,
        "environment": view.started.environment,
        "mode": view.started.mode,
        "forked_from": view.started.forked_from,
        "deadline": iso(view.started.deadline),
        "input": view.input,
        "output": view.output,
        "error": _error(view.error),
        "waits_for": _reasons(view.reasons),
        "cancel_by": view.cancel_by,
        "ended": iso(view.ended),
        "erased_by": view.erased_by,
        "scores": [asdict(score) for score in view.scores],
        "steps": [_step(step) for step in view.steps],
        "refused": [refusal_document(one) for one in view.refused],
        "secrets": [{**asdict(use), "at": iso(use.at)} for use in view.secrets],
        "breakers": [{**asdict(moved), "at": iso(moved.at)} for moved in view.breakers],
    }


def tree_document(node: TreeNode) -> Document:
    """A tree, or a part of one."""
    return {
        "name": node.name,
        "kind": node.kind,
        "status": node.status.value,
        "run": node.run,
        "step": node.step,
        "target": node.target,
        "child": node.child,
        "is_partial": node.is_partial,
        "ms": node.ms,
        "attempts": node.attempts,
        "tokens": node.tokens,
        "cost_usd": node.nano_usd / 1e9,
        "assumed": node.assumed,
        "verdict": _verdict(node.verdict),
        "error": _error(node.error),
        "waits_for": _reasons(node.reasons),
        "children": [tree_document(below) for below in node.children],
    }


def fact_document(fact: FactView) -> Document:
    """A fact as it is recorded."""
    payloads = {"input": fact.input, "output": fact.output}
    kept = {name: value for name, value in payloads.items() if f"{name}_hash" in fact.body}
    return {"seq": fact.seq, "kind": fact.kind, "at": iso(fact.at), "body": fact.body, **kept}


def refusal_document(refused: DecisionRefused) -> Document:
    """Somebody's word that did not count."""
    return {**asdict(refused), "at": iso(refused.at)}


def hit_document(hit: Hit) -> Document:
    """Where a search found its words."""
    return {"run": hit.run, "seq": hit.seq, "kind": hit.kind, "text": hit.text}


def objectives_document(report: SloReport | None) -> Document | None:
    """How a program stands; None for one without objectives."""
    return None if report is None else report_document(report)


def report_document(report: SloReport) -> Document:
    """How a program stands; values in the units of its objectives."""
    objectives = [
        {
            "objective": one.name,
            "target": one.target,
            "observed": one.observed,
            "count": one.count,
            "missed": one in report.missed,
            "error_budget_left": one.budget_left,
            "burn_rate": {"long": one.burn_long, "short": one.burn_short},
            "evidence": list(one.evidence),
        }
        for one in report.objectives
    ]
    about = {"program": report.program, "window_seconds": report.window, "action": report.action}
    return {**about, "runs": report.runs, "min_runs": report.min_runs, "objectives": objectives}


def reason_document(reason: ParkReason) -> Document:
    """One thing that a parked run waits for."""
    document: Document = {"on": reason.on.value, "step": reason.step, "reason": reason.reason, "due": iso(reason.due)}
    return {**document, "event": reason.event, "run": reason.run, "ticket": reason.ticket}


def _step(step: StepView) -> Document:
    return {
        "id": step.id,
        "name": step.name,
        "status": step.status.value,
        "call": step.call,
        "target": step.target,
        "effect": step.effect,
        "verdict": _verdict(step.verdict),
        "attempts": step.attempts,
        "started": iso(step.started),
        "updated": iso(step.updated),
        "ms": step.ms,
        "error": _error(step.error),
        "child": step.child,
        "late": list(step.late),
        "spent": _amounts(step.spent),
        "assumed": step.assumed,
        "approved_by": list(step.approved_by),
        "denied_by": list(step.denied_by),
        "standing": step.standing,
    }


def _amounts(spent: Mapping[str, int] | None) -> Document | None:
    from magsag.policy.budget import plain

    return None if spent is None else {unit: plain(unit, amount) for unit, amount in spent.items()}


def _reasons(reasons: Sequence[ParkReason]) -> list[Document]:
    return [reason_document(one) for one in reasons]


def _verdict(verdict: Verdict | None) -> Document | None:
    if verdict is None:
        return None
    counts = {one.ref: {"count": one.number, "after": one.after} for one in verdict.counts}
    said = {name: value for name, value in asdict(verdict).items() if name != "counts"}
    return {**said, "decision": verdict.decision.value, **({"counts": counts} if counts else {})}


def _error(error: ErrorView | None) -> Document | None:
    return None if error is None else asdict(error)


def ticket_document(ticket: "TicketView") -> Document:
    """A ticket as JSON; times are ISO 8601, UTC."""
    about, asked = ticket.about, ticket.about.ticket.ask
    rule = asked.rule
    return {
        "id": ticket.id,
        "state": ticket.state,
        "run": ticket.run,
        "root": ticket.root,
        "step": ticket.step,
        "program": about.program,
        "target": about.proposal.target,
        "effect": about.proposal.effect,
        "rule": about.verdict.rule,
        "place": about.verdict.place,
        "reason": about.verdict.reason,
        "requesters": about.ticket.requesters,
        "quorum": rule.quorum,
        "roles": rule.roles,
        "people": rule.people,
        "approvers": about.ticket.approvers,
        "answers": [
            {
                "by": one.by.id,
                "proof": one.by.proof,
                "answer": one.answer,
                "at": iso(one.at),
                "reason": one.reason,
                "with_other_arguments": one.binding is not None,
            }
            for one in about.ticket.answers
        ],
        "refused": [refusal_document(one) for one in ticket.refused],
        "opened": iso(asked.opened),
        "expires": iso(ticket.expires),
        "deadline": iso(ticket.deadline),
        "on_expire": rule.on_expire,
        "escalated": ticket.is_escalated,
        "unanswerable": ticket.unanswerable,
        "question": ticket.question,
        "arguments": ticket.arguments,
        "changed": ticket.changed,
    }
