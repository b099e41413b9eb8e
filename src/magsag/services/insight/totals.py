"""Adds finished runs up, tree by tree. What the sums mean stands in `domain.summary`; nothing is read here.

The engine's own waits and races are no steps. An error is counted where it arose: a delegation that failed
because its child run failed adds none of its own, and a run that failed by itself, without a failed step, does.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.facts import RunStatus, StepStatus
from magsag.domain.ids import RunId, StepId
from magsag.engine.run import Run, Step
from magsag.policy.slo import EVIDENCE
from magsag.services.insight.tree import Value, elapsed, error_of, step_name, usage_of

NANO_USD: Final = 1_000_000_000
"""money is kept as integers of 1e-9 USD"""
_NO_RUN: Final = RunId("")


@dataclass(slots=True)
class ReadRun:
    """A run as it was read, with what its steps cost."""

    run: Run
    value: Value
    nano_usd: defaultdict[StepId, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(slots=True)
class _Evidence:
    """Root runs behind a figure."""

    failed: dict[RunId, None] = field(default_factory=dict)
    mcp_failed: dict[RunId, None] = field(default_factory=dict)
    ms: dict[RunId, float] = field(default_factory=dict)
    """the longest step of each"""

    def took(self, root: RunId, ms: float) -> None:
        self.ms[root] = max(ms, self.ms.get(root, 0.0))

    def document(self) -> dict[str, object]:
        slowest = sorted(self.ms, key=lambda root: (-self.ms[root], root))[:EVIDENCE]
        return {"failed": newest(self.failed), "slowest": slowest, "mcp_failed": newest(self.mcp_failed)}


def newest(roots: Iterable[RunId]) -> list[RunId]:
    """The last of those that came in the order of their beginnings."""
    return list(roots)[: -EVIDENCE - 1 : -1]


@dataclass(slots=True)
class _Use:
    """Calls of a model or of tools."""

    calls: int = 0
    errors: int = 0
    input: int = 0
    output: int = 0
    nano_usd: int = 0
    roots: dict[RunId, None] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        tokens = {"input": self.input, "output": self.output, "total": self.input + self.output}
        return {"calls": self.calls, "errors": self.errors, "tokens": tokens, "cost_usd": self.nano_usd / NANO_USD}


@dataclass(slots=True)
class _Below:
    """What a step used, itself and in its child runs."""

    models: set[str] = field(default_factory=set)
    calls: int = 0
    errors: int = 0

    def add(self, other: "_Below") -> None:
        self.models |= other.models
        self.calls += other.calls
        self.errors += other.errors


@dataclass(slots=True)
class _Step:
    """One step's name over all runs."""

    successes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    ms: float = 0.0
    below: _Below = field(default_factory=_Below)
    evidence: _Evidence = field(default_factory=_Evidence)

    @property
    def runs(self) -> int:
        return self.successes + self.failures.total()

    def document(self, name: str) -> dict[str, object]:
        return {
            "name": name,
            "runs": self.runs,
            "successes": self.successes,
            "errors": self.failures.total(),
            "success_rate": self.successes / self.runs,
            "avg_latency_ms": _mean(self.ms, self.runs),
            "mcp": {"calls": self.below.calls, "errors": self.below.errors},
            "models": sorted(self.below.models),
            "error_types": dict(sorted(self.failures.items())),
            "evidence": self.evidence.document(),
        }


@dataclass(slots=True)
class Totals:
    """The sums so far."""

    runs: Counter[RunStatus] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    steps: defaultdict[str, _Step] = field(default_factory=lambda: defaultdict(_Step))
    models: defaultdict[str, _Use] = field(default_factory=lambda: defaultdict(_Use))
    mcp: _Use = field(default_factory=_Use)
    evidence: _Evidence = field(default_factory=_Evidence)
    _root: RunId = _NO_RUN
    """of the tree that is being added"""

    def add_tree(self, root: RunId, status: RunStatus, tree: Mapping[RunId, ReadRun]) -> None:
        """One finished run with all its child runs, also those of attempts that were given up."""
        self.runs[status] += 1
        self._root = root
        if status is not RunStatus.SUCCEEDED:
            self.evidence.failed[root] = None
        children: defaultdict[tuple[RunId, StepId], list[ReadRun]] = defaultdict(list)
        for read in tree.values():
            started = read.run.started
            if started is not None and started.parent is not None and started.parent_step is not None:
                children[started.parent, started.parent_step].append(read)
        self._add_run(tree[root], children)

    def _add_run(self, read: ReadRun, children: Mapping[tuple[RunId, StepId], list[ReadRun]]) -> _Below:
        used, run = _Below(), read.run
        if run.ended is not None and run.status in (RunStatus.FAILED, RunStatus.DENIED):
            error = error_of(read.value(run.ended.output))
            if error is not None and error.step is None:
                self.errors[error.type] += 1
        for step in run.steps.values():
            below = _Below()
            for child in children.get((run.id, step.id), ()):
                below.add(self._add_run(child, children))
            self._add_use(read, step, below)
            self._add_step(step, below, _has_failed(children.get((run.id, step.id), ())))
            used.add(below)
        return used

    def _add_step(self, step: Step, below: _Below, child_failed: bool) -> None:
        if step.status not in (StepStatus.SUCCEEDED, StepStatus.FAILED) or _is_wait(step):
            return
        total = self.steps[step_name(step.id, step.proposal)]
        ms = elapsed(step) or 0.0
        total.ms += ms
        for evidence in (total.evidence, self.evidence):
            evidence.took(self._root, ms)
        total.below.add(below)
        if below.errors:
            total.evidence.mcp_failed[self._root] = None
        if step.status is StepStatus.SUCCEEDED:
            total.successes += 1
            return
        type = (step.error_type or ErrorType.RAISED).value
        total.failures[type] += 1
        total.evidence.failed[self._root] = None
        if not child_failed:
            self.errors[type] += 1

    def _add_use(self, read: ReadRun, step: Step, below: _Below) -> None:
        """Count a call of a model or of an MCP tool."""
        call = step.proposal.call if step.proposal else None
        if call not in ("model", "tool") or step.status not in (StepStatus.SUCCEEDED, StepStatus.FAILED):
            return
        use = self.mcp
        if call == "model":
            name = _model_name(step, read.value)
            below.models.add(name)
            use = self.models[name]
        failed = step.status is StepStatus.FAILED
        use.calls += 1
        use.roots[self._root] = None
        if failed and call == "tool":
            self.evidence.mcp_failed[self._root] = None
        use.errors += failed
        use.nano_usd += read.nano_usd[step.id]
        usage = usage_of(step, read.value)
        use.input += usage.input
        use.output += usage.output
        if call == "tool":
            below.calls += 1
            below.errors += failed

    def document(self) -> dict[str, object]:
        runs, successes = self.runs.total(), self.runs[RunStatus.SUCCEEDED]
        finished = sum(step.runs for step in self.steps.values())
        return {
            "runs": runs,
            "successes": successes,
            "success_rate": successes / runs if runs else 0.0,
            "avg_latency_ms": _mean(sum(step.ms for step in self.steps.values()), finished),
            "errors": {"total": self.errors.total(), "by_type": dict(sorted(self.errors.items()))},
            "mcp": self.mcp.document(),
            "steps": [step.document(name) for name, step in sorted(self.steps.items())],
            "models": [
                {"name": name, **use.document(), "runs": newest(use.roots)} for name, use in sorted(self.models.items())
            ],
            "evidence": self.evidence.document(),
        }


def _has_failed(children: Sequence[ReadRun]) -> bool:
    return any(child.run.status in (RunStatus.FAILED, RunStatus.DENIED) for child in children)


def _is_wait(step: Step) -> bool:
    return step.proposal is not None and step.proposal.effect is Effect.WAIT


def _model_name(step: Step, value: Value) -> str:
    """The model that answered; the alias where no answer came."""
    answer = value(step.output) if step.status is StepStatus.SUCCEEDED else None
    name = answer.get("model") if isinstance(answer, dict) else None
    return name if isinstance(name, str) else step_name(step.id, step.proposal)


def _mean(total: float, count: int) -> float:
    return round(total / count, 3) if count else 0.0
