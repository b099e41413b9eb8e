"""What people ask of policies before anything runs: are they sound, what would they say, is it what they should say.

Nothing is acted on and nothing is recorded; the verdict is made by the same judgement as at the gate.
"""

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, Final

from magsag.catalog.bundle import Bundle, Entry
from magsag.catalog.findings import Finding
from magsag.catalog.load import Loaded
from magsag.catalog.patterns import pattern
from magsag.catalog.references import BadReference
from magsag.domain.condition import ConditionFailed
from magsag.domain.effects import Effect
from magsag.domain.errors import Invalid
from magsag.domain.facts import Count, Decision, Proposal, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.manifests import Agent, PolicyCase, Skill
from magsag.domain.settings import Mode, Settings
from magsag.policy.judge import Applicable, answered, judge
from magsag.policy.record import PLAIN, Record, Traits
from magsag.policy.rules import CompiledRule
from magsag.ports.clock import Clock
from magsag.services.gate.judging import concluded
from magsag.services.steps.moment import moment
from magsag.services.steps.target import traits_of
from magsag.services.steps.targets import SHELL, Targets

NOON: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""the moment of a question that names none: a Monday"""


@frozen
class Question:
    """An act that might be wanted."""

    agent: str
    on: str
    args: object = None
    effect: Effect | None = None
    env: str | None = None
    mode: str | None = None
    at: datetime | None = NOON
    """None for now"""
    count: Mapping[str, int] = field(default_factory=dict)
    after: frozenset[str] = frozenset()
    below: tuple[str, ...] = ()
    """the programs that delegate to the agent, the outermost first"""


@frozen
class RuleSays:
    """One rule about the target."""

    id: str
    place: str
    decision: Decision
    applies: bool | None
    """None when its condition cannot be evaluated, which denies"""
    why: str = ""
    """why it cannot"""
    when: str | None = None


@frozen
class Answer:
    """What would be said."""

    record: Record
    rules: tuple[RuleSays, ...]
    verdict: Verdict


@frozen
class CaseResult:
    """One case of a test table."""

    place: str
    case: str
    expected: Decision
    expected_rule: str | None
    verdict: Verdict | None
    fault: str = ""
    """why the case could not be asked"""

    @property
    def passed(self) -> bool:
        """Whether the policies say what they should."""
        verdict = self.verdict
        return verdict is not None and verdict.decision is self.expected and self.expected_rule in (None, verdict.rule)


class Rulebook:
    """Questions to the policies in force."""

    def __init__(self, loaded: Callable[[], Loaded], settings: Settings, clock: Clock) -> None:
        self._loaded = loaded
        self._settings = settings
        self._clock = clock

    def findings(self) -> list[Finding]:
        """What is wrong in policies and their tests."""
        return [one for one in self._loaded().findings if one.subject is None or one.path.startswith("policies/")]

    def describe(self) -> dict[str, Any]:
        """What is in force: rules, windows, hash, and why nothing is, when they cannot be used."""
        policies = self._loaded().policies
        return {
            "rules": len(policies.rules),
            "windows": sorted(policies.windows),
            "hash": policies.hash,
            "broken": policies.broken,
        }

    def answer(self, question: Question) -> Answer:
        """The verdict, and what each rule about the target says. Raises Invalid for what cannot be asked."""
        loaded = self._loaded()
        program = _program(loaded.bundle, question.agent)
        asked = _wanted(loaded.bundle, question)
        uses = program.manifest.uses if isinstance(program.manifest, Agent) and program.manifest.flow is None else None
        above = tuple(_program(loaded.bundle, ref).ref for ref in question.below)
        targets = Targets(loaded.bundle, loaded.policies, {}, program.ref, program, uses, above)
        found = targets.judged(asked.proposal, asked.traits)
        record = self._record(program.ref, question, asked, found)
        verdict = judge(record, found, loaded.policies.hash)
        approvals = self._settings.features.approvals
        rules = tuple(_says(rule, answer) for rule, answer in answered(record, found))
        return Answer(record, rules, concluded(verdict, record.mode, asked.proposal, asked.traits, approvals))

    def test(self) -> list[CaseResult]:
        """Every case of every table, in the order of their files."""
        return [self._case(one.place, one.case) for one in self._loaded().cases]

    def faults(self) -> list[Finding]:
        """Errors that leave cases out, or that make the policies deny everything: no test of them says yes then."""
        is_broken = self._loaded().policies.broken is not None
        tables = [one for one in self._loaded().findings if (one.subject or "").startswith("policy_test:")]
        found = self.findings() if is_broken else []
        return [one for one in dict.fromkeys((*tables, *found)) if one.severity == "error"]

    def _case(self, place: str, case: PolicyCase) -> CaseResult:
        try:
            question = Question(
                case.agent,
                case.on,
                case.args,
                Effect(case.effect) if case.effect else None,
                case.env,
                case.mode,
                moment_of(case.at),
                case.count,
                frozenset(case.after),
            )
            return CaseResult(place, case.case, case.expect, case.rule, self.answer(question).verdict)
        except Invalid as error:
            return CaseResult(place, case.case, case.expect, case.rule, None, str(error))

    def _record(self, program: str, question: Question, asked: "_Wanted", found: Applicable) -> Record:
        counts = [Count(one.ref, question.count.get(one.ref, 0), one.ref in question.after) for one in found.counts]
        about: dict[str, object] = {
            "id": "asked",
            "program": program,
            "parent": "",
            "requester": self._settings.actor,
            "actor": self._settings.actor,
            "count": {one.ref: one.number for one in counts},
            "after": {one.ref: one.after for one in counts},
        }
        env, mode = question.env or self._settings.environment, question.mode or self._settings.mode
        if mode not in tuple(Mode):
            raise Invalid(f"there is no mode {mode!r}; the modes are {', '.join(Mode)}")
        at = self._clock.now() if question.at is None else int(question.at.timestamp() * 1_000_000)
        proposal = asked.proposal
        return Record(program, proposal.target, proposal.effect, asked.args, about, env, mode, moment(at), asked.traits)


@frozen
class _Wanted:
    """The act of a question, as the gate would see it."""

    proposal: Proposal
    traits: Traits
    args: object


def moment_of(text: str | None) -> datetime:
    """A moment in ISO 8601; UTC when it names no zone. Raises Invalid."""
    if text is None:
        return NOON
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no moment; write one such as 2026-03-02T09:00:00Z") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _program(bundle: Bundle, ref: str) -> Entry[Any]:
    if not ref.startswith(("agent:", "flow:")):
        ref = f"agent:{ref}"
    return bundle.find(ref, ref.partition(":")[0])


def _wanted(bundle: Bundle, question: Question) -> _Wanted:
    kind = question.on.partition(":")[0]
    if kind in ("skill", "agent", "flow"):
        return _of_catalog(bundle, bundle.find(question.on, kind), question)
    try:
        if "*" in question.on:
            raise BadReference(f"{question.on!r} is a glob", "ask about one target")
        pattern(question.on)
    except BadReference as error:
        raise Invalid(str(error)) from None
    effect = question.effect or (Effect.READ if kind in ("model", "call") else Effect.UNREPEATABLE)
    traits = SHELL if kind == "shell" else Traits(declared=question.effect is not None) if kind == "tool" else PLAIN
    return _Wanted(Proposal(kind, question.on, effect), traits, question.args)


def _of_catalog(bundle: Bundle, entry: Entry[Any], question: Question) -> _Wanted:
    """A skill, agent or flow; its input has to meet its contract, as at the gate."""
    args, name = question.args, entry.manifest.contracts.input
    if name is not None:
        contract = bundle.contract(name)
        if problems := contract.problems(args):
            said = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in problems[:5])
            fix = "; give the input with --args, in a table with `args`" if args is None else ""
            raise Invalid(f"the input of {entry.ref} does not meet contract {name}: {said}{fix}")
        args = contract.redact(args)
    if not isinstance(entry.manifest, Skill):
        return _Wanted(Proposal("delegate", entry.ref, Effect.DELEGATE), traits_of(bundle, entry), args)
    effect = question.effect or _effect(entry.manifest, args)
    return _Wanted(Proposal("skill", entry.ref, effect), traits_of(bundle, entry), args)


def _effect(skill: Skill, args: object) -> Effect:
    for name, kinds in (skill.effect_by or {}).items():
        value = args.get(name) if isinstance(args, Mapping) else None
        if isinstance(value, str) and value in kinds:
            return Effect(kinds[value])
    return Effect(skill.effect)


def _says(rule: CompiledRule, answer: bool | ConditionFailed) -> RuleSays:
    failed = isinstance(answer, ConditionFailed)
    applies = None if isinstance(answer, ConditionFailed) else answer
    return RuleSays(rule.id, rule.place, rule.decision, applies, str(answer) if failed else "", rule.written)
