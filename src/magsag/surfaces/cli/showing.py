"""A run, its tree and its facts, as text and as JSON documents."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from magsag.surfaces.cli.run import iso, row_document
from magsag.surfaces.cli.writing import json_text, put_pairs, put_table, say

if TYPE_CHECKING:
    from magsag.services.insight import FactView, RunView, ScoreView, StepView
    from magsag.services.tree import ErrorView, TreeNode


def put_run(view: "RunView", traceback: bool) -> None:
    """For people: head, scores, steps, then the result or the error."""
    put_pairs(dict(_head(view)))
    if view.scores:
        say("")
        put_table(("evaluation", "on", "metric", "score", "threshold", ""), [_score(score) for score in view.scores])
    if view.steps:
        say("")
        put_table(("step", "status", "effect", "verdict", "rule", "took", ""), [_step(step) for step in view.steps])
    for reason in view.reasons:
        say(f"\nwaits for {reason.on} at step {reason.step}: {reason.reason}")
    if view.error is not None:
        _put_error(view, view.error, traceback)
    elif view.output is not None:
        say("\noutput")
        say(json_text(view.output, indent=True))


def run_document(view: "RunView") -> dict[str, object]:
    """A run with everything, as JSON."""
    return {
        **row_document(view.row),
        "status": view.status,
        "environment": view.started.environment,
        "mode": view.started.mode,
        "input": view.input,
        "output": view.output,
        "error": plain(view.error),
        "reasons": plain(view.reasons),
        "cancel_by": view.cancel_by,
        "scores": plain(view.scores),
        "steps": plain(view.steps),
    }


def tree_document(node: "TreeNode") -> dict[str, object]:
    """A tree as nested objects."""
    return {**{field.name: plain(getattr(node, field.name)) for field in fields(node)}}


def fact_document(fact: "FactView") -> dict[str, object]:
    """One fact: its body with what belongs to it in full."""
    return {
        "seq": fact.seq,
        "kind": fact.kind,
        "at": iso(fact.at),
        "body": fact.body,
        "input": fact.input,
        "output": fact.output,
    }


def fact_line(fact: "FactView") -> str:
    """`  3  2026-01-31T…Z  StepDone  task-decomposition#1  …`."""
    about = [str(fact.body[key]) for key in ("step", "status", "type", "by", "on") if fact.body.get(key)]
    verdict = fact.body.get("verdict")
    if isinstance(verdict, dict):
        about.append(f"{verdict.get('decision')} by {verdict.get('rule')}")
    return f"{fact.seq:>5}  {iso(fact.at)}  {fact.kind:<16}  {'  '.join(about)}".rstrip()


def plain(value: Any) -> Any:
    """Dataclasses as objects, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return value


def _head(view: "RunView") -> Iterator[tuple[str, object]]:
    yield "run", view.row.run
    yield "program", view.started.program
    yield "status", f"{view.status}" + (f", cancelled by {view.cancel_by}" if view.cancel_by else "")
    if view.row.parent:
        yield "parent", view.row.parent
    yield "started", f"{iso(view.row.created)} by {view.started.actor}"
    yield "updated", iso(view.row.updated)
    yield "environment", f"{view.started.environment}, mode {view.started.mode}"
    yield "bundle", view.row.bundle


def _score(score: "ScoreView") -> tuple[str, ...]:
    numbers = (f"{score.score:.4g}", f"{score.threshold:.4g}")
    return (score.evaluation, score.on, score.metric, *numbers, "passed" if score.passed else "below")


def _step(step: "StepView") -> tuple[str, ...]:
    verdict = step.verdict
    judged = (str(verdict.decision), f"{verdict.rule} ({verdict.place})") if verdict else ("", "")
    took = "" if step.ms is None else f"{step.ms:.1f} ms"
    said = [f"{step.error.type}: {' '.join(step.error.message.split())}"] if step.error else []
    said += [f"attempt {step.attempts}"] if step.attempts > 1 else []
    said += [f"run {step.child}"] if step.child else []
    return (step.id, str(step.status), step.effect or "", *judged, took, "; ".join(said))


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
