"""Evaluations: pure metrics over an agent's input or output, put on record, and failing the run where they must.

A metric that raises or answers anything but `{score, details}` scores 0: what cannot be measured has not passed.
"""

from typing import Any

from magsag.catalog.bundle import Bundle, Entry
from magsag.domain import facts
from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.manifests import Agent, Eval, Metric
from magsag.domain.values import encode
from magsag.services.steps.raised import raised


def evaluate(bundle: Bundle, entry: Entry[Eval], payload: object) -> tuple[tuple[facts.Score, ...], dict[str, object]]:
    """The scores of all metrics of one evaluation, and the details of each by its name."""
    answers = [_score(bundle, entry, metric, payload) for metric in entry.manifest.metrics]
    return tuple(score for score, _ in answers), {score.metric: details for score, details in answers}


def evaluations(bundle: Bundle, agent: Entry[Agent], on: str) -> list[Entry[Eval]]:
    """The evaluations of an agent that look at its `input` or `output`."""
    entries: list[Entry[Eval]] = [bundle.find(ref, "eval") for ref in agent.manifest.evaluations]
    return [entry for entry in entries if on in entry.manifest.on]


def failed_metric(entry: Entry[Eval], scores: tuple[facts.Score, ...], on: str) -> StepFailed | None:
    """The error of the first metric that must pass and did not."""
    strict = {metric.id for metric in entry.manifest.metrics if metric.fail_on_threshold}
    for score in scores:
        if score.metric in strict and not score.passed:
            type = ErrorType.INPUT_CONTRACT if on == "input" else ErrorType.OUTPUT_CONTRACT
            message = (
                f"evaluation {entry.ref}: {score.metric} of the {on} scores {score.score:.4f}, "
                f"below the threshold {score.threshold:g}"
            )
            return StepFailed(type, message, {"evaluation": entry.ref, "metric": score.metric, "score": score.score})
    return None


def _score(bundle: Bundle, entry: Entry[Eval], metric: Metric, payload: object) -> tuple[facts.Score, object]:
    try:
        answer: Any = bundle.function(entry, metric.id)(payload)
        score = float(answer["score"])
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"a metric scores from 0 to 1, not {score:g}")
        _, details = encode(answer.get("details"), f"details of metric {metric.id}")
    except Exception as error:
        score, details = 0.0, {"error": raised(error).message}
    passed = score >= metric.threshold
    return facts.Score(metric.id, score, metric.threshold, metric.weight, passed), details
