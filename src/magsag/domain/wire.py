"""How a fact is written down: its body as JSON, its payloads beside it. The only file that knows old forms.

A body is `{"kind", "schema", ...}`; nested records (proposal, verdict) are JSON objects; what is None is
left out. `input` and `output` are no part of the body; `engine.chain` puts their salted commitments there.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, get_args

from pydantic_core import from_json

from magsag.domain.approval import Answer, ApprovalRule, Ask, OnExpire, Proof, Reach, RefusedFor
from magsag.domain.breaking import BreakerState
from magsag.domain.budget import Bound
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, StoreBroken
from magsag.domain.facts import (
    Count,
    Decision,
    Fact,
    ParkedOn,
    ParkReason,
    Proposal,
    RunStatus,
    Score,
    StepStatus,
    Verdict,
)

SCHEMA: Final = 1
"""the schema of the facts that this version writes"""

KINDS: Final[Mapping[str, type[Fact]]] = {cls.__name__: cls for cls in get_args(Fact)}
_PAYLOADS: Final = frozenset({"input", "output"})
_BODY_FIELDS: Final = {
    cls: tuple(field.name for field in fields(cls) if field.name not in _PAYLOADS) for cls in KINDS.values()
}
_PAYLOAD_FIELDS: Final = {
    cls: frozenset(field.name for field in fields(cls) if field.name in _PAYLOADS) for cls in KINDS.values()
}
UPCASTERS: Final[Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""(kind, old schema) -> what turns such a body into the next schema's"""


def body_of(fact: Fact) -> dict[str, object]:
    """The fact's body as a JSON object, without its payloads."""
    body: dict[str, object] = {"kind": type(fact).__name__, "schema": SCHEMA}
    for name in _BODY_FIELDS[type(fact)]:
        if (value := getattr(fact, name)) is not None:
            body[name] = value
    return body


def payloads_of(fact: Fact) -> tuple[bytes | None, bytes | None]:
    """The fact's input and output bytes; None where there is none."""
    return getattr(fact, "input", None), getattr(fact, "output", None)


def fact_of(body: bytes, input: bytes | None, output: bytes | None) -> Fact:
    """Read a fact back. Raises StoreBroken for what is damaged, and for a kind or schema of a newer version."""
    try:
        return _read(body, input, output)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreBroken(f"a fact is damaged ({error}); run `magsag data check`") from error


def _read(body: bytes, input: bytes | None, output: bytes | None) -> Fact:
    data: dict[str, Any] = from_json(body)
    kind, schema = data.pop("kind", None), data.pop("schema", None)
    cls = KINDS.get(kind)
    if cls is None or not isinstance(schema, int) or schema > SCHEMA:
        raise StoreBroken(f"fact of kind {kind!r}, schema {schema!r}: written by a newer magsag; install that version")
    for old in range(schema, SCHEMA):
        data = UPCASTERS[kind, old](data)
    for name, read in _NESTED.items():
        if name in data:
            data[name] = read(data[name])
    wanted = _PAYLOAD_FIELDS[cls]
    data.pop("input_hash", None)
    data.pop("output_hash", None)
    if "input" in wanted:
        data["input"] = input
    if "output" in wanted:
        data["output"] = output
    made: Fact = cls(**data)
    return made


def _proposal(data: dict[str, Any]) -> Proposal:
    return Proposal(data["call"], data["target"], Effect(data["effect"]))


def _verdict(data: dict[str, Any]) -> Verdict:
    counts = tuple(Count(*one) for one in data.get("counts", ()))
    return Verdict(Decision(data["decision"]), data["rule"], data["place"], data["reason"], data["policy"], counts)


def _ask(data: dict[str, Any]) -> Ask:
    rule = dict(data["rule"])
    for name in ("roles", "people", "escalate_to"):
        rule[name] = tuple(rule[name])
    rule["on_expire"] = OnExpire(rule["on_expire"])
    return Ask(data["ticket"], ApprovalRule(**rule), data["opened"], data["binding"])


def _reasons(data: list[dict[str, Any]]) -> tuple[ParkReason, ...]:
    return tuple(ParkReason(**{**item, "on": ParkedOn(item["on"])}) for item in data)


def _bounds(data: list[dict[str, Any]]) -> tuple[Bound, ...]:
    return tuple(Bound(**item) for item in data)


def _scores(data: list[dict[str, Any]]) -> tuple[Score, ...]:
    return tuple(Score(**item) for item in data)


_PARKED_ON: Final = {str(member): member for member in ParkedOn}


def _parked_on(data: str) -> str:
    return _PARKED_ON.get(data, data)  # RunScored has an `on` too: `input` or `output`


_NESTED: Final[Mapping[str, Callable[[Any], object]]] = {
    "proposal": _proposal,
    "verdict": _verdict,
    "ask": _ask,
    "answer": Answer,
    "proof": Proof,
    "reach": Reach,
    "refused_for": RefusedFor,
    "reasons": _reasons,
    "scores": _scores,
    "bounds": _bounds,
    "type": ErrorType,
    "status": RunStatus,
    "how": StepStatus,
    "state": BreakerState,
    "on": _parked_on,
    "select": tuple,
    "lineage": tuple,
}
