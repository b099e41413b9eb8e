"""What a program may call: references resolved once to everything the gate needs to know of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import iscoroutinefunction
from typing import Any, Final

from magsag.catalog.bundle import Bundle, Entry
from magsag.catalog.contracts import Contract
from magsag.catalog.reach import all_steps
from magsag.catalog.references import Reference
from magsag.domain.approval import ApprovalRule
from magsag.domain.effects import Effect
from magsag.domain.errors import Invalid
from magsag.domain.facts import Decision, Proposal, Verdict
from magsag.domain.manifests import Agent, Flow, FlowStep, Skill
from magsag.domain.manifests.isolation import Isolation
from magsag.domain.verdicts import APPROVE, BUILT_IN, DETACH, QUESTION
from magsag.policy.judge import Applicable, applicable, settled
from magsag.policy.people import People
from magsag.policy.record import PLAIN, Traits
from magsag.policy.rules import Policies
from magsag.ports.model import BoundModel
from magsag.services.steps.apart import confines_of_skill, confines_of_step
from magsag.services.steps.limits import limits_of
from magsag.services.steps.target import (
    ONCE,
    ApartAct,
    ByField,
    ChildAct,
    FunctionAct,
    ModelAct,
    QuestionAct,
    ShellAct,
    Target,
    WaitAct,
    function_act,
    traits_of,
)

SHELL: Final = Traits(capabilities=("shell",))
"""of a program in a flow"""
_UNNAMED: Final = frozenset({"call", "shell", "sleep", "wait_for", APPROVE})
"""verbs of which `uses` says nothing"""


@dataclass(slots=True)
class Targets:
    """Resolves what one program calls; answers are kept, since bundles do not change."""

    bundle: Bundle
    policies: Policies
    models: Mapping[str, BoundModel]
    program: str
    entry: Entry[Agent] | Entry[Flow]
    uses: Sequence[str] | None
    """what its manifest allows; None for flows, whose steps are their uses"""
    above: tuple[str, ...] = ()
    """the programs above it, whose rules hold for it too"""
    people: Callable[[], People] | None = None
    """those in force; None where nobody is asked"""
    _known: dict[tuple[str, str], Target] = field(default_factory=dict)
    _code: FunctionAct | None = None
    _uses: dict[str, str] | None = None
    """`kind:slug` of the manifest's `uses` -> the exact reference that the first mention resolves to"""

    @property
    def code(self) -> FunctionAct:
        """The function of an agent that is written in Python. Raises Invalid."""
        if self._code is None:
            self._code = function_act(self.bundle.function(self.entry))
        return self._code

    def skill(self, ref: str) -> Target:
        """Raises Invalid for an unknown skill."""
        return self._known.get(("skill", ref)) or self._keep("skill", ref, self._skill(ref))

    def declared(self, target: Target, effect: Effect | None) -> Target:
        """The target with the effect that a step declares."""
        if effect is None or (effect is target.proposal.effect and target.by is None):
            return target
        proposal = replace(target.proposal, effect=effect)
        return replace(target, proposal=proposal, found=self.permitted(proposal, target.found.traits), by=None)

    def child(self, ref: str, detached: bool = False) -> Target:
        """An agent or a flow. Raises Invalid when it is unknown."""
        call = DETACH if detached else "delegate"
        return self._known.get((call, ref)) or self._keep(call, ref, self._child(ref, call))

    def model(self, alias: str) -> Target:
        """Raises Invalid for an alias without a provider."""
        return self._known.get(("model", alias)) or self._keep("model", alias, self._model(alias))

    def shell(self, step: FlowStep) -> Target:
        """A `run` step of a flow."""
        name = f"{step.id} {step.effect}"
        return self._known.get(("shell", name)) or self._keep("shell", name, self._shell(step))

    def function(self, function: Callable[..., Any]) -> Target:
        """A function given to `ctx.call`: a `read` by its nature, since it may look but not act."""
        name = getattr(function, "__qualname__", "function").replace(".<locals>", "").rpartition(".")[2]
        proposal = Proposal("call", f"call:{name}", Effect.READ)
        act = FunctionAct(function, iscoroutinefunction(function), wants_context=False, spread=True)
        return Target(name, proposal, self._found(proposal), act)

    def wait(self, event: str | None, seconds: float | None) -> Target:
        """A `sleep`, or with an event a `wait_for`."""
        ref = "sleep" if event is None else f"event:{event}"
        target = self._known.get(("wait", ref))
        if target is None:
            proposal = Proposal("sleep" if event is None else "wait_for", ref, Effect.WAIT)
            target = self._keep("wait", ref, Target(ref, proposal, self._found(proposal), WaitAct(event, None)))
        return replace(target, act=WaitAct(event, seconds))

    def question(self, rule: ApprovalRule) -> Target:
        """What people are asked by the program itself."""
        proposal = Proposal(APPROVE, QUESTION, Effect.WAIT)
        return Target(APPROVE, proposal, self._found(proposal), QuestionAct(rule))

    def recorded(self, proposal: Proposal) -> Target:
        """What a step on record called. Raises Invalid when the bundle does not have it."""
        match proposal.call:
            case "skill":
                return self.declared(self.skill(proposal.target), proposal.effect)
            case "delegate" | "detach":
                return self.child(proposal.target, proposal.call == DETACH)
            case _:
                act = ShellAct(confines_of_step(self._program(proposal.target.partition(":")[2])))
                return Target(proposal.target, proposal, self._found(proposal, SHELL), act)

    def _keep(self, call: str, ref: str, target: Target) -> Target:
        self._known[call, ref] = target
        return target

    def _skill(self, ref: str) -> Target:
        entry: Entry[Skill] = self.bundle.find(self._pinned("skill", ref), "skill")
        manifest = entry.manifest
        proposal = Proposal("skill", entry.ref, Effect(manifest.effect))
        traits = traits_of(self.bundle, entry)
        return Target(
            manifest.slug,
            proposal,
            self.permitted(proposal, traits),
            self._function(entry, manifest.entrypoint),
            self._contract(manifest.contracts.input),
            self._contract(manifest.contracts.output),
            manifest.timeout,
            manifest.retry or ONCE,
            lookup=self._function(entry, manifest.lookup) if manifest.lookup else None,
            by=self._by_field(manifest, proposal, traits),
            secrets=manifest.secrets,
            throttled=limits_of(manifest),
            cost=manifest.cost.amounts() if manifest.cost is not None else None,
        )

    def _function(self, entry: Entry[Skill], entrypoint: str) -> FunctionAct | ApartAct:
        """What acts apart is not even loaded here."""
        confines = confines_of_skill(entry.manifest)
        if confines.isolation is not Isolation.IN_PROCESS:
            return ApartAct(entry.ref, self.bundle.code(entry, entrypoint), confines)
        return function_act(self.bundle.loaded(entry, entrypoint))

    def _program(self, id: str) -> FlowStep | None:
        """The `run` step of that id; None where the flow has none any more."""
        manifest = self.entry.manifest
        if isinstance(manifest, Agent) and manifest.flow is not None:
            manifest = self.bundle.find(manifest.flow, "flow").manifest
        steps = all_steps(manifest.steps) if isinstance(manifest, Flow) else ()
        return next((step for step in steps if step.id == id and step.run is not None), None)

    def _by_field(self, manifest: Skill, proposal: Proposal, traits: Traits) -> ByField | None:
        for name, effects in (manifest.effect_by or {}).items():
            proposals = {value: replace(proposal, effect=Effect(effect)) for value, effect in effects.items()}
            return ByField(name, {value: (one, self.permitted(one, traits)) for value, one in proposals.items()})
        return None

    def _child(self, ref: str, call: str) -> Target:
        kind = ref.partition(":")[0] if ref.startswith(("agent:", "flow:")) else "agent"
        entry: Entry[Agent] | Entry[Flow] = self.bundle.find(self._pinned(kind, ref), kind)
        manifest = entry.manifest
        proposal = Proposal(call, entry.ref, Effect.DELEGATE)
        timeout, retry = (manifest.timeout, manifest.retry) if isinstance(manifest, Agent) else (None, None)
        return Target(
            manifest.slug,
            proposal,
            self.permitted(proposal, traits_of(self.bundle, entry)),
            ChildAct(entry, call == DETACH),
            self._contract(manifest.contracts.input),
            None,
            timeout,
            retry or ONCE,
            throttled=limits_of(manifest),
        )

    def _model(self, alias: str) -> Target:
        bound = self.models.get(alias)
        if bound is None:
            known = ", ".join(sorted(self.models)) or "none"
            raise Invalid(
                f"model alias {alias!r} is bound to nothing (bound: {known}). "
                f'Bind it in magsag.toml: [models] {alias} = "scripted:FILE"'
            )
        proposal = Proposal("model", f"model:{alias}", Effect.READ)
        return Target(
            alias,
            proposal,
            self.permitted(proposal),
            ModelAct(bound.provider, bound.model, bound.priced),
            paid=True,
            throttled=bound.throttled,
        )

    def _shell(self, step: FlowStep) -> Target:
        proposal = Proposal("shell", f"shell:{step.id}", Effect(step.effect or Effect.UNREPEATABLE))
        return Target(step.id, proposal, self._found(proposal, SHELL), ShellAct(confines_of_step(step)))

    def _contract(self, name: str | None) -> Contract | None:
        return self.bundle.contract(name) if name else None

    def _found(self, proposal: Proposal, traits: Traits = PLAIN) -> Applicable:
        return applicable(self.policies, proposal.target, proposal.effect, self.program, traits, self.above)

    def judged(self, proposal: Proposal, traits: Traits = PLAIN) -> Applicable:
        """What the policies say of a proposal of the program's, whatever it calls."""
        if proposal.call in _UNNAMED:
            return self._found(proposal, traits)
        return self.permitted(proposal, traits)

    def permitted(self, proposal: Proposal, traits: Traits = PLAIN) -> Applicable:
        """What the rules say, unless the manifest's `uses` does not name the target: then a deny."""
        if self.uses is None or any(Reference.parse(ref).matches(proposal.target) for ref in self.uses):
            return self._found(proposal, traits)
        reason = f"{self.program} does not name {proposal.target} in its `uses`"
        return settled(Verdict(Decision.DENY, "not-in-uses", BUILT_IN, reason, self.policies.hash), traits)

    def _pinned(self, kind: str, ref: str) -> str:
        """A bare slug means the version that the manifest's `uses` asks for."""
        plain = ref.removeprefix(f"{kind}:")
        return self._exact_uses().get(f"{kind}:{plain}", ref)

    def _exact_uses(self) -> dict[str, str]:
        if self._uses is None:
            exact = [ref for ref in map(self._exact, self.uses or ()) if ref]
            self._uses = {ref.partition("@")[0]: ref for ref in reversed(exact)}
        return self._uses

    def _exact(self, ref: str) -> str | None:
        if ref.startswith("model:"):
            return ref
        try:
            return self.bundle.find(ref).ref
        except Invalid:
            return None
