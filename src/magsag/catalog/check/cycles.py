"""Cycles: among agents and flows that call one another, and the search for them in any graph."""

from collections.abc import Mapping, Sequence

from magsag.catalog.check.index import Index, mentions
from magsag.catalog.document import Pointer
from magsag.catalog.survey import Candidate

Edges = Mapping[str, Sequence[str] | Mapping[str, Pointer]]
"""node -> the nodes it leads to, or each of them with the place in the manifest that says so"""


def check_call_cycles(index: Index) -> None:
    """One finding for each cycle, at the first of its uses."""
    callers: dict[str, Candidate] = {}
    edges: dict[str, dict[str, Pointer]] = {}
    for candidate in index.survey.manifests:
        if candidate.kind not in ("agent", "flow") or candidate.checked is None:
            continue
        name = str(candidate.subject)
        callers[name], edges[name] = candidate, {}
        for mention in mentions(candidate.checked):
            called = index.follow(mention.text)
            if called is not None and called.kind in ("agent", "flow"):
                edges[name].setdefault(str(called.subject), mention.pointer)
    for cycle in find_cycles(edges):
        path = " -> ".join(name.partition("@")[0] for name in (*cycle, cycle[0]))
        pointer = edges[cycle[0]][cycle[1 % len(cycle)]]
        callers[cycle[0]].notes.add(pointer, f"{path} call one another without end", "remove one of these uses")


def find_cycles(edges: Edges) -> list[list[str]]:
    """Cycles whose removal leaves none: one for each edge that leads back, beginning with its smallest node."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in sorted(edges):
        if start not in done:
            found += _cycles_from(start, edges, done)
    return sorted(found)


def _cycles_from(start: str, edges: Edges, done: set[str]) -> list[list[str]]:
    """Depth first, without recursion: flows may be long."""
    found: list[list[str]] = []
    path, place = [start], {start: 0}
    waiting = [iter(sorted(edges.get(start, ())))]
    while path:
        step = next(waiting[-1], None)
        if step is None:
            waiting.pop()
            left = path.pop()
            del place[left]
            done.add(left)
        elif step in place:
            cycle = path[place[step] :]
            first = cycle.index(min(cycle))
            found.append(cycle[first:] + cycle[:first])
        elif step not in done:
            place[step] = len(path)
            path.append(step)
            waiting.append(iter(sorted(edges.get(step, ()))))
    return found
