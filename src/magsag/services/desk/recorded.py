"""The decisions that a run has on record, each with what it takes to make it again."""

from magsag.domain import facts
from magsag.domain.facts import Count, Proposal, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.ids import StepId
from magsag.domain.sealed import Stored
from magsag.engine.run import Run
from magsag.policy.rules import Counted
from magsag.services.gate.notes import is_note


@frozen
class Decided:
    """One decision, as it is on record."""

    fact: facts.StepHeld | facts.StepStarted | facts.StepDone | facts.StepFailed
    proposal: Proposal
    verdict: Verdict
    at: int
    input: bytes | None


def decision_of(fact: facts.Fact, run: Run, seen: set[tuple[StepId, int]], stored: Stored) -> Decided | None:
    """The decision that a fact holds; a failure repeats the one that let its attempt start."""
    match fact:
        case facts.StepHeld() | facts.StepStarted():
            began, proposal, verdict = fact.at, fact.proposal, fact.verdict
        case facts.StepDone():
            if is_note(fact.proposal):
                return None
            began, proposal, verdict = fact.at - fact.took, fact.proposal, fact.verdict
        case facts.StepFailed(verdict=Verdict() as verdict) if (fact.step, fact.attempt) not in seen:
            earlier = run.steps[fact.step].proposal if fact.step in run.steps else None
            if (judged := fact.proposal or earlier) is None:
                return None
            began, proposal = fact.at - fact.took, judged
        case _:
            return None
    seen.add((fact.step, fact.attempt))
    known = run.steps.get(fact.step)
    recorded = (known.changed or known.input) if known is not None else None
    input = stored.input if stored.input is not None else recorded
    return Decided(fact, proposal, verdict, began, input)


class Course:
    """What a whole run did, for counts that nobody took at the time: by the times of the ledger."""

    def __init__(self, found: list[facts.Fact]) -> None:
        self._begun: dict[StepId, tuple[int, str]] = {}
        self._failed: dict[StepId, int] = {}
        self._succeeded: dict[StepId, int] = {}
        for fact in found:
            match fact:
                case facts.StepStarted():
                    self._begun.setdefault(fact.step, (fact.at, fact.proposal.target))
                case facts.StepDone():
                    self._begun.setdefault(fact.step, (fact.at - fact.took, fact.proposal.target))
                    self._succeeded[fact.step] = fact.at
                case facts.StepSucceeded():
                    self._succeeded[fact.step] = fact.at
                case facts.StepFailed() | facts.StepCancelled():
                    self._failed[fact.step] = fact.at
                case _:
                    pass

    def count(self, asked: Counted, decided: Decided) -> Count:
        """What other steps on the reference had done when this one was judged."""
        meant = [
            step
            for step, (began, target) in self._begun.items()
            if step != decided.fact.step and began <= decided.at and asked.pattern.matches(target)
        ]
        standing = [step for step in meant if self._failed.get(step, decided.at + 1) > decided.at]
        done = any(self._succeeded.get(step, decided.at + 1) <= decided.at for step in standing)
        return Count(asked.ref, len(standing), done)
