"""The steps of a flow: what each waits for, and whether they wait for one another without end.

Reads them by the text of the expressions, so that one that does not compile hides nothing else.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from magsag.catalog.check.cycles import find_cycles
from magsag.catalog.document import Pointer
from magsag.catalog.survey import Candidate
from magsag.domain.manifests import Fallback, Flow, FlowStep

_READS: Final = re.compile(r"(?<![\w.])steps\.([a-z][a-z0-9_]*)")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
Waits = dict[str, dict[str, Pointer]]
"""step -> the steps of its level that must land before it does, with the place that says so"""


def check_cycles_of_steps(candidate: Candidate, flow: Flow) -> bool:
    """One finding for each cycle; whether there is one."""
    told = [_check_cycles(candidate, waits_of(level, pointer)) for level, pointer in levels(flow.steps)]
    return any(told)


def levels(
    steps: tuple[FlowStep, ...], pointer: Pointer = ("steps",)
) -> Iterator[tuple[tuple[FlowStep, ...], Pointer]]:
    """The steps of the flow, then those of each loop."""
    yield steps, pointer
    for place, step in enumerate(steps):
        if step.steps:
            yield from levels(step.steps, (*pointer, place, "steps"))


def waits_of(level: tuple[FlowStep, ...], pointer: Pointer) -> Waits:
    """What each step waits for: `needs`, what it reads, and the fallback that may run in its place."""
    known = {step.id for step in level}
    waits: Waits = {}
    for place, step in enumerate(level):
        here = (*pointer, place)
        found = waits.setdefault(step.id, {})
        for index, name in enumerate(step.needs):
            found.setdefault(name, (*here, "needs", index))
        for name, where in _reads(step, here):
            found.setdefault(name, where)
        if isinstance(step.on_error, Fallback):
            found.setdefault(step.on_error.fallback, (*here, "on_error", "fallback"))
        for name in [name for name in found if name not in known]:
            del found[name]
    return waits


def _reads(step: FlowStep, pointer: Pointer) -> Iterator[tuple[str, Pointer]]:
    """The steps that its expressions read, by their text; a loop reads what its steps read outside of it."""
    for where, source in expressions_of(step, pointer):
        yield from ((name, where) for name in _named(source))
    own = {inner.id for inner in step.steps or ()}
    found = [pair for place, inner in enumerate(step.steps or ()) for pair in _reads(inner, (*pointer, "steps", place))]
    if step.loop is not None:
        found += [(name, (*pointer, "loop", "until")) for name in _named(step.loop.until)]
    yield from ((name, where) for name, where in found if name not in own)


def _named(source: str) -> list[str]:
    return _READS.findall(_QUOTED.sub('""', source))


def expressions_of(step: FlowStep, pointer: Pointer) -> Iterator[tuple[Pointer, str]]:
    """The expressions of a step itself, with their places."""
    for name in ("when", "for_each"):
        if (source := getattr(step, name)) is not None:
            yield (*pointer, name), source
    yield from _marked(step.with_, (*pointer, "with"))
    yield from _marked(list(step.run or ()), (*pointer, "run"))


def _marked(value: Any, pointer: Pointer) -> Iterator[tuple[Pointer, str]]:
    """The texts that begin with `=`, wherever they stand in a value."""
    if isinstance(value, str) and value.startswith("=") and not value.startswith("=="):
        yield pointer, value[1:]
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _marked(part, (*pointer, key))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _marked(part, (*pointer, place))


def _check_cycles(candidate: Candidate, waits: Waits) -> bool:
    cycles = [cycle for cycle in find_cycles(waits) if len(cycle) > 1]
    for cycle in cycles:
        turns = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        pointer = waits[turns[0][0]][turns[0][1]]
        path = " -> ".join((*cycle, cycle[0]))
        if all("on_error" in waits[one][other] for one, other in turns):
            what = f"{path} are only one another's fallback, so nobody can call them"
            candidate.notes.add(pointer, what, "let a step that runs by itself name the fallback")
        elif any("on_error" in waits[one][other] for one, other in turns):
            what = f"{path} wait for one another: a fallback cannot wait for the step that it stands for"
            candidate.notes.add(pointer, what, "let the fallback read something else")
        else:
            what = f"{path} wait for one another without end"
            fix = "to repeat steps write a `loop` with max_rounds; else remove one of these"
            candidate.notes.add(pointer, what, fix)
    return bool(cycles)
