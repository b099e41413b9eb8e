"""A run and its facts as text. As JSON: `services.insight.documents`; as a tree: `trees`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from magsag.domain.facts import ENDS
from magsag.domain.frozen import frozen
from magsag.policy.refusals import SAID
from magsag.ports.ledger import RunQuery
from magsag.services.insight.documents import iso
from magsag.surfaces.cli.writing import json_text, put_pairs, put_table, say

if TYPE_CHECKING:
    from magsag.domain.breaking import BreakerMoved
    from magsag.domain.facts import DecisionRefused
    from magsag.services.insight.insight import Insight
    from magsag.services.insight.tree import ErrorView
    from magsag.services.insight.views import FactView, RunView, ScoreView, StepView


SCORED_RUNS: Final = 200
"""of so many child runs the scores are shown"""


@frozen
class Scored:
    """A score, with the run whose input or output it is about."""

    run: str
    program: str
    score: "ScoreView"


def scores_of(insight: "Insight", view: "RunView", below: bool = True) -> list[Scored]:
    """The scores of a run and of the runs below it."""
    rows = insight.list(RunQuery(root=view.row.root, roots_only=False, limit=None)) if below else []
    children = [row for row in rows if row.run.startswith(f"{view.row.run}.")][:SCORED_RUNS]
    views = [view, *(insight.show(row.run) for row in children)]
    return [Scored(one.row.run, one.started.program, score) for one in views for score in one.scores]


def put_run(view: "RunView", scores: Sequence[Scored], traceback: bool) -> None:
    """For people: head, scores, steps, then the result or the error."""
    put_pairs(dict(_head(view)))
    if scores:
        say("")
        heads = ("evaluation", "metric", "score", "threshold", "", "of")
        put_table(heads, [_score(one) for one in scores])
    if view.steps:
        say("")
        put_table(("step", "status", "effect", "verdict", "rule", "took", ""), [_step(step) for step in view.steps])
    for refused in view.refused:
        say(refusal_line(refused))
    for moved in view.breakers:
        say(_breaker_line(moved))
    for reason in view.reasons:
        say(f"\nwaits for {reason.on} at step {reason.step}: {reason.reason}")
    if view.error is not None:
        _put_error(view, view.error, traceback)
    elif view.output is not None:
        say("\noutput")
        say(json_text(view.output, indent=True))


def refusal_line(refused: "DecisionRefused") -> str:
    """Whose word did not count, about what, and why."""
    claimed = f", who said to be {refused.claimed}" if refused.claimed else ""
    about = f"approval {refused.ticket}" if refused.ticket else f"standing approval {refused.standing}"
    said = f"{refused.wanted} of {about} refused: {SAID[refused.refused_for]}"
    return f"{iso(refused.at)}  {refused.by} ({refused.proof}){claimed}  {said}"


def _breaker_line(moved: "BreakerMoved") -> str:
    """Whose breaker is in which state since then, and why."""
    by = f" by {moved.by} ({moved.proof})" if moved.by is not None else ""
    state = moved.state.value.replace("_", "-")
    return f"{iso(moved.at)}  breaker {moved.name} {state}{by} at step {moved.step}: {moved.reason}"


def fact_line(fact: "FactView") -> str:
    """`  3  2026-01-31T…Z  StepDone  task-decomposition#1  …`."""
    told = ("program", "step", "name", "state", "status", "type", "event", "wanted", "refused_for", "by", "on")
    about = [str(fact.body[key]) for key in told if fact.body.get(key)]
    verdict = fact.body.get("verdict")
    if isinstance(verdict, dict):
        about.append(f"{verdict.get('decision')} by {verdict.get('rule')}")
    if fact.body.get("standing"):
        about.append(f"standing approval {fact.body['standing']}")
    return f"{fact.seq:>5}  {iso(fact.at)}  {fact.kind:<16}  {'  '.join(about)}".rstrip()


def _head(view: "RunView") -> Iterator[tuple[str, object]]:
    yield "run", view.row.run
    yield "program", view.started.program
    yield "status", f"{view.status}" + (f", cancelled by {view.cancel_by}" if view.cancel_by else "")
    if view.row.status in ENDS and view.row.status is not view.status:
        yield "record", f"not as written: its row says {view.row.status}, its facts do not; see magsag audit verify"
    if view.erased_by:
        yield "erased", f"by {view.erased_by}: its payloads are gone"
    if view.row.parent:
        yield "parent", view.row.parent
    if view.started.forked_from:
        yield "forked from", view.started.forked_from
    yield "started", f"{iso(view.row.created)} by {view.started.actor}"
    if view.started.deadline:
        yield "deadline", iso(view.started.deadline)
    if view.ended is not None:
        yield "ended", iso(view.ended)
    if view.row.updated != view.ended:
        yield "updated", iso(view.row.updated)
    yield "environment", f"{view.started.environment}, mode {view.started.mode}"
    yield "bundle", view.row.bundle
    for use in view.secrets:
        changed = f", changed since {use.before}" if use.before else ""
        yield f"secret {use.name}", f"{use.reference} version {use.version}, first used by {use.step}{changed}"


def _score(one: Scored) -> tuple[str, ...]:
    score = one.score
    numbers = (f"{score.score:.4g}", f"{score.threshold:.4g}")
    of = f"{score.on} of {one.program.partition(':')[2]}"
    return (score.evaluation, score.metric, *numbers, "passed" if score.passed else "below", of)


def _step(step: "StepView") -> tuple[str, ...]:
    verdict = step.verdict
    judged = (str(verdict.decision), f"{verdict.rule} ({verdict.place})") if verdict else ("", "")
    took = "" if step.ms is None else f"{step.ms:.1f} ms"
    said = [f"{step.error.type}: {' '.join(step.error.message.split())}"] if step.error else []
    said += [f"approved by {', '.join(step.approved_by)}"] if step.approved_by else []
    said += [f"denied by {', '.join(step.denied_by)}"] if step.denied_by else []
    said += [f"standing approval {step.standing}"] if step.standing else []
    said += [_cost(step)] if step.spent else []
    said += [f"attempt {step.attempts}"] if step.attempts > 1 else []
    said += [f"run {step.child}"] if step.child else []
    said += [f"came late: {json_text(late, indent=False).strip()}" for late in step.late]
    return (step.id, str(step.status), step.effect or "", *judged, took, "; ".join(said))


def _cost(step: "StepView") -> str:
    from magsag.policy.budget import show

    amounts = ", ".join(show(unit, amount) for unit, amount in (step.spent or {}).items())
    return f"{amounts} at most" if step.assumed else amounts


def _put_error(view: "RunView", error: "ErrorView", traceback: bool) -> None:
    where = f" at step {error.step}" if error.step else ""
    say(f"\n{error.type}{where}: {error.message}")
    trace = error.details.get("traceback")
    if trace and traceback:
        say(str(trace).rstrip())
    elif trace:
        say(f"the traceback: magsag run show {view.row.run} --traceback")
    elif traceback:
        say("no traceback is on record: nothing was raised")
