"""Follows the runs of this process while they are driven, for people who watch. No decision rests on it.

Facts come from the loop's thread, pictures are asked for by a thread that draws: one lock keeps them apart.
"""

import threading
from collections.abc import Callable

from magsag.domain.errors import Broken
from magsag.domain.facts import Fact, RunStarted, StepFact
from magsag.domain.ids import RunId
from magsag.engine.run import Run
from magsag.ports.clock import Clock
from magsag.services.insight.insight import Insight
from magsag.services.insight.tree import TreeNode, follow, line_of, plain_value, tree_of


class Watch:
    """The run trees of this process, as far as facts were heard."""

    def __init__(self, insight: Insight, clock: Clock) -> None:
        self._insight = insight
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: dict[RunId, Run] = {}
        self._root: RunId | None = None
        self.told: Callable[[TreeNode, int], None] | None = None
        """called when a step or the root run changes, in the loop's thread: it, without what is below, and how deep"""

    def hear(self, id: RunId, fact: Fact) -> None:
        """Take a fact in; what cannot be shown is left out, since a run must not fail for being watched."""
        try:
            run = self._follow(id, fact)
        except Broken:
            return
        if self.told is not None and (id == self._root or isinstance(fact, StepFact)):
            step = run.steps[fact.step] if isinstance(fact, StepFact) else None
            self.told(line_of(run, step, plain_value, self._clock.now()), self._depth(run) + (step is not None))

    def tree(self) -> TreeNode | None:
        """The tree of the run that was heard of first, as it is now; None before anything was heard."""
        with self._lock:
            if self._root is None:
                return None
            return tree_of(self._runs[self._root], self._find, plain_value, self._clock.now())

    def _follow(self, id: RunId, fact: Fact) -> Run:
        """The first fact of a run that began earlier fetches what came before it."""
        with self._lock:
            run = self._runs.get(id)
            if run is None:
                run = self._runs[id] = self._begun(id, fact)
            if self._root is None:
                self._root = id
            follow(run, fact)
        return run

    def _depth(self, run: Run) -> int:
        """How many runs stand above it."""
        depth = 0
        while run.started is not None and (above := self._runs.get(run.started.parent or RunId(""))) is not None:
            run, depth = above, depth + 1
        return depth

    def _begun(self, id: RunId, fact: Fact) -> Run:
        if isinstance(fact, RunStarted):
            return Run(id)
        return self._insight.fold(id) or Run(id)

    def _find(self, id: RunId) -> Run | None:
        """A child run that an earlier leg ended speaks no more, so the ledger has all of it."""
        run = self._runs.get(id)
        if run is None and (known := self._insight.fold(id)) is not None:
            run = self._runs[id] = known
        return run
