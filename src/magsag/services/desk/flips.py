"""Other policies tried on the past: which recorded decisions would have come out otherwise, and by which rule.

Each decision is made again from its record: the run's beginning, the proposal, the input, the moment, what conditions
counted, and what the manifests of the run's own bundle declare. What was erased since is not decidable, never
"unchanged". Refusals that no policy makes (limits, switches) stay what they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from magsag.catalog.bundle import Bundle
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.facts import Proposal, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.domain.manifests import Agent
from magsag.domain.verdicts import BUILT_IN, START
from magsag.engine.chain import unseal
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.policy.delegation import CHILDREN, CYCLE, DEPTH
from magsag.policy.judge import judge
from magsag.policy.record import PLAIN, Traits
from magsag.policy.rules import Policies
from magsag.policy.slo import is_of_objectives, stricter
from magsag.ports.clock import Clock
from magsag.ports.ledger import RunQuery, RunRow, Store
from magsag.services.desk.recorded import Course, Decided, decision_of
from magsag.services.gate.judging import APPROVALS_OFF, concluded, record_of
from magsag.services.insight.lineage import Lineages
from magsag.services.recording.large import plain
from magsag.services.steps.target import traits_of
from magsag.services.steps.targets import SHELL, Targets

NO_POLICY: Final = frozenset({"durable-off", CYCLE, DEPTH, CHILDREN})
"""built-in refusals that no policy can lift"""


@frozen
class Flip:
    """A recorded decision that would come out otherwise."""

    run: RunId
    step: StepId
    target: str
    was: Verdict
    would_be: Verdict


@frozen
class NotDecidable:
    """A recorded decision that cannot be made again."""

    run: RunId
    step: StepId
    target: str
    why: str


@dataclass(slots=True)
class Tried:
    """What came out."""

    runs: int = 0
    decisions: int = 0
    equal: int = 0
    """the same verdict, byte for byte: rule, place, reason and hash"""
    alike: int = 0
    """the same decision, said otherwise"""
    flips: list[Flip] = field(default_factory=list)
    not_decidable: list[NotDecidable] = field(default_factory=list)

    def by_rule(self) -> dict[tuple[str, str, str, str], list[Flip]]:
        """The flips by (decision, rule) before and after, the most frequent first."""
        groups: dict[tuple[str, str, str, str], list[Flip]] = {}
        for flip in self.flips:
            key = (flip.was.decision.value, flip.was.rule, flip.would_be.decision.value, flip.would_be.rule)
            groups.setdefault(key, []).append(flip)
        return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


class PolicyReplay:
    """Makes recorded decisions again."""

    def __init__(
        self,
        store: Store,
        pinned: Callable[[str], Bundle],
        clock: Clock,
        draft: Callable[[Mapping[str, bytes]], Policies],
        catalog: Path,
    ) -> None:
        self._store = store
        self._pinned = pinned
        self._clock = clock
        self._draft = draft
        self._catalog = catalog

    def policies(self, drafts: Sequence[Path]) -> Policies:
        """Policies from these files and folders alone, as if they stood in the catalog. Raises Invalid."""
        files: dict[str, bytes] = {}
        for path in [one for draft in drafts for one in _policy_files(draft)]:
            try:
                data = path.read_bytes()
            except OSError as error:
                raise Invalid(f"{path}: cannot be read: {error.strerror}") from error
            name = _name_in(self._catalog, path)
            if name in files:
                raise Invalid(f"{path}: another file already stands for {name}; give each a name of its own")
            files[name] = data
        return self._draft(files)

    def replay(self, policies: Policies, last_seconds: float | None = None) -> Tried:
        """Every decision of the ledger, or of runs touched in so much time, under these policies."""
        since = 0 if last_seconds is None else self._clock.now() - int(last_seconds * 1e6)
        tried, known = Tried(), _Known(policies, self._pinned, Lineages(self._store))
        for row in self._store.rows(RunQuery(roots_only=False, limit=None)):
            if row.updated >= since:
                tried.runs += 1
                for decided, run, later in self._decisions(row, since):
                    self._try(tried, known, row, run, decided, later)
        return tried

    def _decisions(self, row: RunRow, since: int) -> Iterator[tuple[Decided, Run, Course]]:
        """Each decision with the run as it stood, and what the whole run came to."""
        stored = self._store.read(row.run)
        found = [unseal(one) for one in stored]
        course = Course(found)
        run = Run(row.run)
        seen: set[tuple[StepId, int]] = set()
        for one, fact in zip(stored, found, strict=True):
            if (decided := decision_of(fact, run, seen, one)) is not None and decided.at >= since:
                yield decided, run, course
            evolve(run, fact)

    def _try(self, tried: Tried, known: "_Known", row: RunRow, run: Run, decided: Decided, course: Course) -> None:
        tried.decisions += 1
        step, was = decided.fact.step, decided.verdict
        if (was.place == BUILT_IN and was.rule in NO_POLICY) or step == START:
            tried.equal += 1
            return
        try:
            verdict = self._verdict(known, row, run, decided, course)
        except (Invalid, StoreBroken, LookupError) as error:
            tried.not_decidable.append(NotDecidable(row.run, step, decided.proposal.target, str(error)))
            return
        if verdict == was:
            tried.equal += 1
        elif verdict.decision is was.decision:
            tried.alike += 1
        else:
            tried.flips.append(Flip(row.run, step, decided.proposal.target, was, verdict))

    def _verdict(self, known: "_Known", row: RunRow, run: Run, decided: Decided, course: Course) -> Verdict:
        if decided.input is None:
            raise Invalid("its input was erased")
        args = plain(self._store, row.root, decided.input)
        targets, traits = known.targets(run, decided.proposal)
        found = targets.judged(decided.proposal, traits)
        told = {one.ref: one for one in decided.verdict.counts}
        counts = tuple(told.get(one.ref) or course.count(one, decided) for one in found.counts)
        record = record_of(run, decided.proposal, args, decided.at, counts, traits)
        verdict = judge(record, found, known.policies.hash)
        verdict = replace(verdict, counts=counts) if counts else verdict
        approvals = not decided.verdict.reason.endswith(APPROVALS_OFF)
        if is_of_objectives(decided.verdict):
            verdict = stricter(verdict, decided.verdict)
        return concluded(verdict, record.mode, decided.proposal, traits, approvals)


_SUFFIXES: Final = (".yaml", ".yml", ".json")


def _policy_files(path: Path) -> list[Path]:
    if not path.is_dir():
        if path.suffix not in _SUFFIXES and path.is_file():
            raise Invalid(f"{path}: no policy file; their names end in {', '.join(_SUFFIXES)}")
        return [path]
    found = sorted(one for one in path.rglob("*") if one.suffix in _SUFFIXES and one.is_file())
    if not found:
        raise Invalid(f"{path}: no policy stands in this folder; name a policy file, or a folder with one")
    return found


def _name_in(catalog: Path, path: Path) -> str:
    """Where the file stands in the catalog, or would: places in verdicts are to be the same."""
    try:
        return path.resolve().relative_to(catalog.resolve()).as_posix()
    except ValueError:
        return f"policies/{path.name}"


class _Known:
    """What programs may call, under the policies that are tried."""

    def __init__(self, policies: Policies, pinned: Callable[[str], Bundle], lineages: Lineages) -> None:
        self.policies = policies
        self._pinned = pinned
        self._lineages = lineages
        self._targets: dict[tuple[str, str, tuple[str, ...]], Targets] = {}
        self._traits: dict[tuple[str, str], Traits] = {}

    def targets(self, run: Run, proposal: Proposal) -> tuple[Targets, Traits]:
        """Raises Invalid when the run's bundle does not have its program or the target."""
        assert run.started is not None
        above = self._lineages.above(run.started)
        key = (run.started.bundle, run.started.program, above)
        known = self._targets.get(key)
        if known is None:
            bundle = self._pinned(run.started.bundle)
            entry = bundle.find(run.started.program)
            uses = entry.manifest.uses if isinstance(entry.manifest, Agent) and entry.manifest.flow is None else None
            known = self._targets[key] = Targets(bundle, self.policies, {}, key[1], entry, uses, above)
        place = (run.started.bundle, proposal.target)
        if place not in self._traits:
            self._traits[place] = self._declared(known.bundle, proposal)
        return known, self._traits[place]

    @staticmethod
    def _declared(bundle: Bundle, proposal: Proposal) -> Traits:
        if proposal.target.startswith(("skill:", "agent:", "flow:")):
            return traits_of(bundle, bundle.find(proposal.target))
        return SHELL if proposal.call == "shell" else PLAIN
