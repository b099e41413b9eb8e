"""The steps of a flow, or of a loop in it, compiled level by level: what each may read, and what it waits for.

Every fault is reported with a pointer into the manifest and the column inside the text that stands there;
a step with a fault is compiled as far as it goes, so that all faults are found in one go.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final, NamedTuple

from magsag.catalog.document import Pointer
from magsag.catalog.outputs import Schema, Target, object_of, outputs_of
from magsag.catalog.waiting import circles
from magsag.domain.condition import CheckedCondition, ConditionInvalid, Conditions
from magsag.domain.graph import Graph, Node, Template
from magsag.domain.manifests.flow import Fallback, FlowStep
from magsag.domain.shapes import Shape

Report = Callable[[Pointer, int, str], None]
Names = Mapping[str, object]

_KEYWORDS: Final = re.compile(
    "as|break|const|continue|else|false|for|function|if|import|in|let|loop|namespace|null|package|return|true|var"
    "|void|while"
)
_NOT_FOR_LOOPS: Final = {
    "with": ("with_", "its inner steps read `input` and `previous`"),
    "for_each": ("for_each", "give it to an inner step"),
    "retry": ("retry", "give it to an inner step"),
    "timeout": ("timeout", "give it to an inner step"),
}


class _Read(NamedTuple):
    """A step that an expression reads, and whether only behind `has(...)`."""

    id: str
    guarded: bool


class Level:
    """The steps that see one another by their bare ids."""

    def __init__(
        self,
        steps: Sequence[FlowStep],
        pointer: Pointer,
        names: Names,
        target: Target,
        conditions: Conditions,
        report: Report,
        around: Mapping[str, Schema | None] | None = None,
    ) -> None:
        """`around`: the outputs of the steps around this loop; None for a whole flow."""
        self._steps = steps
        self._pointer = pointer
        self._target = target
        self._conditions = conditions
        self._report = report
        own = outputs_of(steps, target)
        self._own = frozenset(own)
        self._seen: dict[str, Schema | None] = {**(around or {}), **own}
        previous = {} if around is None else {"previous": object_of(own, nullable=True)}
        self.names: Names = {**names, **previous, "steps": object_of(self._seen, open=True)}
        self.outside: list[_Read] = []
        """what is read of the level around"""
        self._check_ids(around or {})

    def graph(self) -> Graph:
        """Compile every step."""
        nodes: dict[str, Node] = {}
        for index, step in enumerate(self._steps):
            nodes[step.id] = self._node(step, (*self._pointer, index))
        for id, callers in self._callers().items():
            nodes[id] = replace(nodes[id], fallback_of=frozenset(callers))
        for circle in circles(nodes):
            index = next(index for index, step in enumerate(self._steps) if step.id == circle[0])
            who = f"the steps {', '.join(circle)} wait for one another" if len(circle) > 1 else "it waits for itself"
            self._report((*self._pointer, index), 1, f"{who}: none of them can ever start")
        return Graph(nodes, None)

    def output(self, source: str, pointer: Pointer) -> CheckedCondition | None:
        """Compile the flow's `output`, which alone may read `steps` as a whole."""
        condition = self._compile(source, pointer, self.names)
        if condition is not None:
            self.reads(condition, pointer, whole=True)
        return condition

    def reads(
        self, condition: CheckedCondition, pointer: Pointer, offset: int = 0, reader: str = "", whole: bool = False
    ) -> list[_Read]:
        """The steps that a condition reads."""
        found: list[_Read] = []
        for path, start in condition.reads_at.items():
            if path[0] != "steps" or (whole and len(path) == 1):
                continue
            if len(path) == 1:
                fault = "name the step that is read: `steps.ID`; only `output` may read all of them"
                self._report(pointer, start + offset, fault)
            elif path[1] == reader or path[1] not in self._seen:
                column = condition.source.find(path[1], start + len("steps") - 1) + 1 or start
                self._report(pointer, column + offset, self._not_readable(path[1], reader))
            else:
                found.append(_Read(path[1], path[:2] in condition.guards))
        return found

    def _node(self, step: FlowStep, pointer: Pointer) -> Node:
        reads: list[_Read] = []
        when = self._read(step.when, (*pointer, "when"), self.names, reads, step.id)
        self._demand(when, "boolean", (*pointer, "when"), "not true or false")
        for_each = self._read(step.for_each, (*pointer, "for_each"), self.names, reads, step.id)
        self._demand(for_each, "array", (*pointer, "for_each"), "not a list")
        names = self.names if for_each is None else {**self.names, "item": self._item(for_each)}
        value = self._template(step.with_, (*pointer, "with"), names, reads, step.id)
        if step.run is not None:
            value = self._template(list(step.run), (*pointer, "run"), names, reads, step.id)
        self._check_input(step, pointer)
        needed = [_Read(id, True) for id in self._needed(step, pointer)]
        node = Node(step.id, step, when, None, for_each, frozenset(), frozenset(), frozenset())
        if step.loop is not None:
            node = self._loop(node, pointer, reads)
        reads += needed
        self.outside += [read for read in reads if read.id not in self._own]
        after = frozenset(read.id for read in reads if read.id in self._own)
        return replace(
            node,
            input=None if value is None else Template(value),
            after=after,
            guarded=after - {read.id for read in reads if not read.guarded},
        )

    def _loop(self, node: Node, pointer: Pointer, reads: list[_Read]) -> Node:
        """Compile the body, whose reads of this level make the loop wait."""
        step = node.step
        for key, (attribute, instead) in _NOT_FOR_LOOPS.items():
            if getattr(step, attribute) is not None:
                self._report((*pointer, key), 1, f"a loop takes no `{key}`: {instead}")
        around = {id: schema for id, schema in self._seen.items() if id != step.id}
        names = {name: schema for name, schema in self.names.items() if name != "steps"}
        body = Level(step.steps or (), (*pointer, "steps"), names, self._target, self._conditions, self._report, around)
        graph = body.graph()
        place = (*pointer, "loop", "until")
        until = (
            None
            if step.loop is None
            else self._compile(step.loop.until, place, {**self.names, "steps": body.names["steps"]})
        )
        self._demand(until, "boolean", place, "not true or false")
        if until is not None:
            reads += [read for read in body.reads(until, place) if read.id not in body._own]
        reads += body.outside
        return replace(node, loop=step.loop, until=until, body=graph)

    def _template(self, value: object, pointer: Pointer, names: Names, reads: list[_Read], reader: str) -> object:
        """The value with every text that starts with `=` compiled; `==` stands for a text that does."""
        if isinstance(value, dict):
            return {key: self._template(part, (*pointer, key), names, reads, reader) for key, part in value.items()}
        if isinstance(value, list):
            return [self._template(part, (*pointer, index), names, reads, reader) for index, part in enumerate(value)]
        if not isinstance(value, str) or not value.startswith("="):
            return value
        if value.startswith("=="):
            return value[1:]
        return self._read(value[1:], pointer, names, reads, reader, offset=1)

    def _read(
        self, source: str | None, pointer: Pointer, names: Names, reads: list[_Read], reader: str, offset: int = 0
    ) -> CheckedCondition | None:
        condition = None if source is None else self._compile(source, pointer, names, offset)
        if condition is not None:
            reads += self.reads(condition, pointer, offset, reader)
        return condition

    def _compile(self, source: str, pointer: Pointer, names: Names, offset: int = 0) -> CheckedCondition | None:
        try:
            return self._conditions.compile(source, names)
        except ConditionInvalid as fault:
            self._report(pointer, fault.column + offset, str(fault))
            return None

    def _demand(self, condition: CheckedCondition | None, kind: str, pointer: Pointer, not_that: str) -> None:
        if condition is not None and condition.kinds is not None and kind not in condition.kinds:
            self._report(pointer, 1, f"it gives {' or '.join(sorted(condition.kinds))}, {not_that}")

    def _item(self, for_each: CheckedCondition) -> Shape | None:
        """What each item is, when the list is a field of something known."""
        if for_each.path is None:
            return None
        root = Shape.of(self.names[for_each.path[0]])
        there = root.at(for_each.path[1:]) if root is not None else None
        return there.item() if isinstance(there, Shape) else None

    def _check_input(self, step: FlowStep, pointer: Pointer) -> None:
        """Hold the keys of a written-out `with` against the input of what the step uses."""
        shape = Shape.of(self._target(step.uses)[0]) if step.uses is not None else None
        if shape is None or not isinstance(step.with_, dict):
            return
        for key in dict.fromkeys(key for part in shape.parts() for key in part.get("required") or ()):
            if key not in step.with_:
                self._report((*pointer, "with"), 1, f"{step.uses} needs `{key}`")
        for key in step.with_:
            if shape.excludes(key):
                self._report((*pointer, "with", key), 1, f"{step.uses} takes no `{key}`")

    def _needed(self, step: FlowStep, pointer: Pointer) -> list[str]:
        known = [id for id in step.needs if id in self._seen and id != step.id]
        for index, id in enumerate(step.needs):
            if id not in known:
                self._report((*pointer, "needs", index), 1, self._not_readable(id, step.id))
        return known

    def _callers(self) -> dict[str, list[str]]:
        """Each fallback with the steps that name it."""
        found: dict[str, list[str]] = {}
        for index, step in enumerate(self._steps):
            if not isinstance(step.on_error, Fallback):
                continue
            id = step.on_error.fallback
            if id in self._own and id != step.id:
                found.setdefault(id, []).append(step.id)
            else:
                place = (*self._pointer, index, "on_error", "fallback")
                self._report(place, 1, self._not_readable(id, step.id) + "; a fallback stands beside its step")
        return found

    def _check_ids(self, around: Mapping[str, object]) -> None:
        known = set(around)
        for index, step in enumerate(self._steps):
            if step.id in known:
                self._report((*self._pointer, index, "id"), 1, f"the id `{step.id}` is used twice")
            if _KEYWORDS.fullmatch(step.id):
                self._report((*self._pointer, index, "id"), 1, f"`{step.id}` is a word of CEL: call the step otherwise")
            known.add(step.id)

    def _not_readable(self, id: str, reader: str) -> str:
        if id == reader:
            return f"the step `{id}` names itself"
        for step in self._steps:
            if any(inner.id == id for inner in step.steps or ()):
                return f"the step `{id}` is inside the loop `{step.id}`: write `steps.{step.id}.{id}`"
        close = get_close_matches(id, [known for known in self._seen if known != reader], n=1)
        return f"there is no step `{id}` here" + (f". Did you mean `{close[0]}`?" if close else "")
