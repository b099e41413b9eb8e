"""Steps that can never run, because their condition is false for every value that the contracts allow.

One finding per cause: what needs such a step is named with it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from magsag.catalog.bundle import Compiled
from magsag.catalog.check.domains import Path, Schemas
from magsag.catalog.check.index import Index
from magsag.catalog.check.never import is_never_true
from magsag.catalog.check.steps import Waits, expressions_of, levels, waits_of
from magsag.catalog.check.tried import never_holds
from magsag.catalog.survey import Candidate
from magsag.domain.condition import Condition
from magsag.domain.graph import Graph
from magsag.domain.manifests import Contracts, Fallback, Flow, FlowStep

Roots = Mapping[Path, Schemas]
_GUARDS: Final = re.compile(r"has\(\s*steps\.([a-z][a-z0-9_]*)")
_SHELL: Final = {"type": "object", "properties": {"code": {"const": 0}}}
"""a shell step that ends with another code has failed and has no output"""


def check_conditions(candidate: Candidate, flow: Flow, index: Index, compiled: Compiled) -> None:
    """Add a finding for each such condition; one that does not compile has its finding already."""
    faulty = {fault.pointer for fault in compiled.faults}
    known = dict(_conditions(compiled.graph)) if compiled.graph is not None else {}
    given = _input(flow, index)
    for level, pointer in levels(flow.steps):
        roots = {**given, **_outputs(level, index)}
        for place, step in enumerate(level):
            where = (*pointer, place, "when")
            if step.when is None or where in faulty or not _is_never_true(step, known.get(step.id), roots):
                continue
            later = ", ".join(_lost_with(step.id, level, waits_of(level, pointer)))
            more = f", nor do {later}, which need it" if later else ""
            what = f"the step {step.id} never runs{more}: `when` is false for every value that the contracts allow"
            candidate.notes.add(where, what, "correct the condition, or remove the step")


def _is_never_true(step: FlowStep, compiled: Condition | None, roots: Roots) -> bool:
    return is_never_true(step.when or "", roots) or (compiled is not None and never_holds(compiled, roots))


def _conditions(graph: Graph) -> Iterator[tuple[str, Condition]]:
    """The compiled `when` of each step, those inside loops included."""
    for id, node in graph.nodes.items():
        if node.when is not None:
            yield id, node.when
        if node.body is not None:
            yield from _conditions(node.body)


def _input(flow: Flow, index: Index) -> Roots:
    schema = index.bundle.schema(flow.contracts.input) if flow.contracts.input is not None else None
    return {("input",): [(schema, schema)]} if schema is not None else {}


def _outputs(level: tuple[FlowStep, ...], index: Index) -> Roots:
    """What is known of the steps' outputs: what they use, the code of a program."""
    found: dict[tuple[str, ...], Schemas] = {}
    for step in level:
        if step.for_each is not None or isinstance(step.on_error, Fallback):
            continue
        if step.run is not None:
            found["steps", step.id] = [(_SHELL, _SHELL)]
        if step.uses is None:
            continue
        used = index.follow(step.uses)
        contracts = getattr(used.checked, "contracts", None) if used is not None else None
        name = contracts.output if isinstance(contracts, Contracts) else None
        if name is not None and (schema := index.bundle.schema(name)) is not None:
            found["steps", step.id] = [(schema, schema)]
    return found


def _lost_with(id: str, level: tuple[FlowStep, ...], waits: Waits) -> list[str]:
    """The steps that cannot run because this one never does: readers without a guard, and fallbacks of these."""
    lost, size = {id}, 0
    while size != len(lost):
        size = len(lost)
        for step in level:
            read = {name for name, where in waits[step.id].items() if not {"on_error", "needs"} & set(where)}
            callers = {name for name, found in waits.items() if "on_error" in found.get(step.id, ())}
            if (read - _guarded(step)) & lost or (callers and callers <= lost):
                lost.add(step.id)
    return [step.id for step in level if step.id in lost and step.id != id]


def _guarded(step: FlowStep) -> set[str]:
    return {name for _, source in expressions_of(step, ()) for name in _GUARDS.findall(source)}
