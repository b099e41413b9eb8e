"""What the gate needs to know of one callable thing: how it is performed, and under which terms."""

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from inspect import iscoroutinefunction, signature
from typing import Any, Final

from magsag.catalog.bundle import Bundle, Entry
from magsag.catalog.code import FrozenCode
from magsag.catalog.contracts import Contract
from magsag.domain.approval import ApprovalRule
from magsag.domain.facts import Proposal
from magsag.domain.frozen import frozen
from magsag.domain.manifests import Agent, Flow, FlowStep, Retry, Skill
from magsag.domain.price import Price
from magsag.policy.judge import Applicable
from magsag.policy.record import Traits
from magsag.policy.throttle import Declared
from magsag.ports.model import ModelProvider
from magsag.ports.sandbox import Confines

ONCE: Final = Retry(attempts=1)


@frozen
class FunctionAct:
    """Python code of the catalog, or a function given to `ctx.call`."""

    function: Callable[..., Any]
    is_async: bool
    wants_context: bool
    spread: bool = False
    """the input is a list of arguments"""


@frozen
class ApartAct:
    """Python code of the catalog that acts, and is loaded, in a process of its own."""

    name: str
    code: FrozenCode
    confines: Confines


@frozen
class ShellAct:
    """A program, started without a shell; the input is `{run: [...]}`."""

    confines: Confines


@frozen
class ModelAct:
    """A request to a model."""

    provider: ModelProvider
    model: str
    priced: Callable[[], Price | None] = lambda: None

    @property
    def price(self) -> Price | None:
        """What it costs on this day."""
        return self.priced()


@frozen
class ChildAct:
    """A child run; `programs` drives it in this leg, unless it is a tree of its own."""

    entry: Entry[Agent] | Entry[Flow]
    detached: bool = False


@frozen
class WaitAct:
    """A wait of the program itself: for a signal, for a time, or for whichever comes first."""

    event: str | None
    seconds: float | None


@frozen
class QuestionAct:
    """A question of the program itself, which people answer."""

    rule: ApprovalRule


Act = FunctionAct | ApartAct | ShellAct | ModelAct | ChildAct | WaitAct | QuestionAct


@frozen
class ByField:
    """Some inputs have another effect, by the value of one of their fields."""

    field: str
    kinds: Mapping[str, tuple[Proposal, Applicable]]


@frozen
class Target:
    """One callable thing, resolved."""

    name: str
    """what its steps are called"""
    proposal: Proposal
    found: Applicable
    act: Act
    input: Contract | None = None
    output: Contract | None = None
    timeout_seconds: float | None = None
    retry: Retry = ONCE
    paid: bool = False
    """its outcome is written at once"""
    lookup: FunctionAct | ApartAct | None = None
    """of a reconcilable skill: asked whether it has acted"""
    by: ByField | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    """what its act is handed: name -> where it is found"""
    throttled: Declared | None = None
    """its breaker, rate and concurrency, where it has any"""
    cost: Mapping[str, int] | None = None
    """by unit, what one attempt costs at most, in money and tokens; None when nothing says so"""


def function_act(function: Callable[..., Any]) -> FunctionAct:
    """How catalog code is to be called: async or not, with `ctx` or without."""
    return FunctionAct(function, iscoroutinefunction(function), len(signature(function).parameters) > 1)


def for_input(target: Target, payload: object) -> Target:
    """The target with the effect that it has for this input."""
    if target.by is None or not isinstance(payload, Mapping):
        return target
    value = payload.get(target.by.field)
    kind = target.by.kinds.get(value) if isinstance(value, str) else None
    return target if kind is None else replace(target, proposal=kind[0], found=kind[1])


def for_step(target: Target, step: FlowStep) -> Target:
    """The target under a flow step's own timeout, retry and cost."""
    if step.timeout is None and step.retry is None and step.cost is None:
        return target
    cost = step.cost.amounts() if step.cost is not None else target.cost
    timeout, retry = step.timeout or target.timeout_seconds, step.retry or target.retry
    return replace(target, timeout_seconds=timeout, retry=retry, cost=cost)


def traits_of(bundle: Bundle, entry: Entry[Any]) -> Traits:
    """What a manifest declares besides the effect kind, and the labels of what goes in."""
    manifest = entry.manifest
    labels = bundle.contract(manifest.contracts.input).labels if manifest.contracts.input else ()
    if not isinstance(manifest, Skill):
        return Traits(labels=labels)
    return Traits(manifest.capabilities, manifest.risk or "unknown", manifest.categories, labels)
