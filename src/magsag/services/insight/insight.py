"""The read side: how runs stand and how they came there, from the ledger alone.

It needs neither catalog nor policies, so it answers for runs whose catalog is gone, and it is light: what only
some questions need is imported where they are asked. Times are microseconds since 1970.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic_core import from_json

from magsag.domain.approval import Answer, since_change
from magsag.domain.breaking import BreakerMoved
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.facts import (
    ENDS,
    DecisionRefused,
    LateOutcome,
    RunScored,
    SecretUsed,
    StepStatus,
)
from magsag.domain.ids import RunId
from magsag.engine.chain import body_in, damaged, unseal_in
from magsag.engine.run import Run, Step
from magsag.ports.ledger import Closure, Hit, RunQuery, RunRow, Store, Stored
from magsag.services.insight.awaited import awaited
from magsag.services.insight.tree import (
    FAILURES,
    TreeNode,
    child_of,
    elapsed,
    error_of,
    follow,
    step_name,
    tree_of,
)
from magsag.services.insight.views import FactView, RunView, ScoreView, StepView
from magsag.services.recording.known import known_row, unknown_run


class Insight:
    """Answers questions about runs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, query: RunQuery) -> list[RunRow]:
        """The runs that match, newest first."""
        return self._store.rows(query)

    def closure(self) -> Closure | None:
        """Why nothing runs in this ledger; None for one in use."""
        return self._store.closure()

    def ends(self, rows: Sequence[RunRow]) -> dict[RunId, int]:
        """When each of the rows that have ended did: a row moves once more when its run is erased."""
        ended = {row.run: row.updated for row in rows if row.status in ENDS}
        for run in self._store.touched_since(list(ended)) if ended else ():
            folded = self.fold(run)
            if folded is not None and folded.ended is not None:
                ended[run] = folded.ended.at
        return ended

    def find(self, prefix: str) -> RunId:
        """The run that is meant: an exact id, or the beginning of one root run's. Raises Invalid."""
        if prefix and self._store.row(RunId(prefix)) is not None:
            return RunId(prefix)
        found = self._store.named(prefix)
        if len(found) == 1:
            return found[0]
        if not prefix or not found:
            raise unknown_run(repr(prefix))
        raise Invalid(f"run {prefix!r} could be any of {', '.join(found)}: write more of its id")

    def show(self, run: RunId) -> RunView:
        """How a run stands. Raises Invalid for an unknown run."""
        row, folded = known_row(self._store, run), self.fold(run)
        if folded is None:
            raise unknown_run(run)
        return self._view(row, folded)

    def show_at(self, run: RunId, step: str) -> RunView:
        """How a run stood when a step had just come as far as it ever came. Raises Invalid for an unknown one."""
        row, recorded = known_row(self._store, run), self._store.read(run)
        ids = dict.fromkeys(id for stored in recorded if (id := _step_of(run, stored)) is not None)
        meant = next((id for id in (step, f"{step}#1") if id in ids), None)
        if meant is None:
            raise Invalid(f"run {run} has no step {step!r}; it has {', '.join(ids) or 'none'}")
        last = max(at for at, stored in enumerate(recorded) if _step_of(run, stored) == meant)
        folded = Run(run)
        for stored in recorded[: last + 1]:
            follow(folded, unseal_in(run, stored))
        then = replace(row, status=folded.status, parked_on=None, due=None, updated=folded.at)
        return self._view(replace(then, seq=recorded[last].seq, head=recorded[last].head), folded)

    def _view(self, row: RunRow, folded: Run) -> RunView:
        assert folded.started is not None
        value = self._value(row)
        ended = value(folded.ended.output) if folded.ended else None
        has_error = folded.status in FAILURES
        return RunView(
            row=row,
            started=folded.started,
            status=folded.status,
            input=value(folded.started.input),
            output=None if has_error else ended,
            error=error_of(ended) if has_error else None,
            reasons=awaited(folded),
            cancel_by=folded.cancel_by,
            ended=folded.ended.at if folded.ended is not None else None,
            erased_by=folded.erased_by,
            scores=tuple(score for scored in folded.scores for score in _scores(scored, value(scored.output))),
            steps=tuple(self._step(row.run, step, value) for step in folded.steps.values()),
            secrets=tuple(use for uses in folded.secrets.values() for use in uses),
            refused=tuple(folded.refused),
            breakers=tuple(folded.breakers),
        )

    def tree(self, run: RunId, now: int | None = None) -> TreeNode:
        """The run with all below it. `now` counts the time of what has not ended. Raises Invalid."""
        row, folded = known_row(self._store, run), self.fold(run)
        if folded is None:
            raise unknown_run(run)
        own = self._value(row)

        def value(data: bytes | None) -> Any:
            try:
                return own(data)
            except StoreBroken:  # a large value of a detached child run, whose tree is another
                return None

        return tree_of(folded, self.fold, value, now)

    def facts(self, run: RunId) -> Sequence[FactView]:
        """The facts of a run in their order. Raises Invalid for an unknown run."""
        value = self._value(known_row(self._store, run))
        return [_fact(run, stored, value) for stored in self._store.read(run)]

    def search(self, words: str, limit: int = 20) -> Sequence[Hit]:
        """Where all these words occur. Raises Invalid when there are none, or the store cannot search."""
        if not words.split():
            raise Invalid("nothing to search for: give at least one word")
        return self._store.search(words, limit)

    def fold(self, run: RunId) -> Run | None:
        """The run as its facts made it; None when there is no such run."""
        folded = Run(run)
        for stored in self._store.read(run):
            follow(folded, unseal_in(run, stored))
        return folded if folded.started is not None else None

    def _value(self, row: RunRow) -> Any:
        """Reads recorded bytes of this run, large values in full."""
        from magsag.services.recording.large import plain

        return lambda data: plain(self._store, row.root, data)

    def _step(self, run: RunId, step: Step, value: Any) -> StepView:
        proposal = step.proposal
        child = child_of(run, step, self._exists)
        return StepView(
            id=step.id,
            name=step_name(step.id, proposal),
            status=step.status,
            call=proposal.call if proposal else None,
            target=proposal.target if proposal else None,
            effect=proposal.effect.value if proposal else None,
            verdict=step.verdict,
            attempts=step.attempt,
            started=step.started_at or None,
            updated=step.at,
            ms=elapsed(step),
            error=error_of(from_json(step.output)) if step.status in _WITH_ERROR and step.output else None,
            child=child.id if child else None,
            late=tuple(value(output) for output in step.late),
            spent=step.spent,
            assumed=step.assumed,
            approved_by=tuple(one.by for one in since_change(step.answers) if one.answer is Answer.APPROVE),
            denied_by=tuple(one.by for one in step.answers if one.answer is Answer.DENY),
            standing=step.standing,
        )

    def _exists(self, run: RunId) -> Run | None:
        return Run(run) if self._store.row(run) is not None else None


def _scores(scored: RunScored, said: Any) -> Iterator[ScoreView]:
    """The scores of one evaluation; `said` is what its metrics said, by metric, None when that was erased."""
    for one in scored.scores:
        details = said.get(one.metric) if isinstance(said, dict) else None
        passed = (one.score, one.threshold, one.weight, one.passed)
        yield ScoreView(scored.evaluation, scored.on, one.metric, *passed, details)


def _fact(run: RunId, stored: Stored, value: Any) -> FactView:
    body = body_in(run, stored)
    try:
        return FactView(stored.seq, stored.kind, body["at"], body, value(stored.input), value(stored.output))
    except (TypeError, ValueError) as error:
        raise damaged(run, stored, error) from error


_WITH_ERROR: Final = frozenset({StepStatus.FAILED, StepStatus.IN_DOUBT})
_CHANGES_NO_STEP: Final = frozenset(kind.__name__ for kind in (LateOutcome, SecretUsed, BreakerMoved, DecisionRefused))


def _step_of(run: RunId, stored: Stored) -> str | None:
    """The step that a fact is about; what came late, and what it was handed, changed nothing."""
    step: str | None = body_in(run, stored).get("step") if stored.kind not in _CHANGES_NO_STEP else None
    return step
