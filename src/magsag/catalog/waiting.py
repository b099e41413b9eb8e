"""Whether the steps of a flow can wait for one another without end.

A step starts when all that it waits for have landed, a fallback besides when what it stands for has ended; a
step lands when it has ended, one with a fallback when that has landed.
"""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from magsag.domain.graph import Node
from magsag.domain.manifests.flow import Fallback

_Event = tuple[str, str]


def circles(nodes: Mapping[str, Node]) -> Iterator[tuple[str, ...]]:
    """Each circle of steps that wait for one another, in the order of the file; a step is in one at most."""
    events = _events(nodes)
    while True:
        try:
            TopologicalSorter(events).prepare()
            return
        except CycleError as error:
            stuck = {id for id, _ in error.args[1]}
        yield tuple(id for id in nodes if id in stuck)
        events = {event: before - _all(stuck) for event, before in events.items() if event[0] not in stuck}


def _events(nodes: Mapping[str, Node]) -> dict[_Event, set[_Event]]:
    """What must have happened before each event."""
    before: dict[_Event, set[_Event]] = {}
    for id, node in nodes.items():
        before[id, "starts"] = {(other, "lands") for other in node.after} | {
            (other, "starts") for other in node.fallback_of
        }
        before[id, "lands"] = {(id, "starts"), *_fallback(node, nodes)}
    return before


def _fallback(node: Node, nodes: Mapping[str, Node]) -> list[_Event]:
    on_error = node.step.on_error
    if isinstance(on_error, Fallback) and on_error.fallback in nodes and on_error.fallback != node.id:
        return [(on_error.fallback, "lands")]
    return []


def _all(ids: set[str]) -> set[_Event]:
    return {(id, event) for id in ids for event in ("starts", "lands")}
