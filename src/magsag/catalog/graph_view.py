"""A catalog, or the steps of one flow, drawn: as text, as Mermaid, as JSON."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from magsag.catalog.bundle import Bundle, Entry
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.graph import Graph, Node
from magsag.domain.manifests import Agent, Fallback, Flow, FlowStep


class Edge(NamedTuple):
    """One line of the drawing."""

    source: str
    target: str
    label: str
    """`uses`, `flow`, `scores`, `step`; between steps `then`, `fallback`, `inside`"""


@frozen
class Drawing:
    """What is drawn: nodes with their text, in order, and the lines between them."""

    nodes: dict[str, str]
    edges: list[Edge]
    is_flow: bool = False


def of_catalog(bundle: Bundle) -> Drawing:
    """Every manifest and what it names."""
    return Drawing({entry.ref: _entry_text(entry) for entry in bundle.entries()}, edges(bundle))


def edges(bundle: Bundle) -> list[Edge]:
    """Who names whom, as exact references; what does not resolve is left out."""
    return [edge for entry in bundle.entries() for edge in _of_entry(bundle, entry)]


def of_flow(bundle: Bundle, entry: Entry[Flow]) -> Drawing:
    """The steps of a flow and what they wait for. Raises Invalid when it does not compile."""
    drawing = Drawing({}, [], is_flow=True)
    _add_steps(drawing, bundle.graph(entry), "")
    return drawing


def as_text(drawing: Drawing) -> str:
    """A tree for each manifest that nobody names, what was drawn before only named again; a flow as a list."""
    if drawing.is_flow:
        return "\n".join(_listed(drawing, name, text) for name, text in drawing.nodes.items())
    led_to = {edge.target for edge in drawing.edges if edge.source != edge.target}
    lines: list[str] = []
    seen: set[str] = set()
    for name in [*(name for name in drawing.nodes if name not in led_to), *drawing.nodes]:
        if name not in seen:
            lines.append(drawing.nodes[name])
            lines += _branches(drawing, name, "", seen)
    return "\n".join(lines)


def as_mermaid(drawing: Drawing) -> str:
    """A Mermaid flowchart."""
    ids = {name: f"n{number}" for number, name in enumerate(drawing.nodes)}
    lines = ["flowchart LR"]
    lines += [f'    {ids[name]}["{_mermaid_text(text)}"]' for name, text in drawing.nodes.items()]
    lines += [f"    {ids[edge.source]} -->|{edge.label}| {ids[edge.target]}" for edge in drawing.edges]
    return "\n".join(lines)


def as_json(drawing: Drawing) -> str:
    """`{nodes: [{id, text}], edges: [{source, target, label}]}`."""
    nodes = [{"id": name, "text": text} for name, text in drawing.nodes.items()]
    return json.dumps({"nodes": nodes, "edges": [edge._asdict() for edge in drawing.edges]}, indent=2)


def _of_entry(bundle: Bundle, entry: Entry[Any]) -> Iterable[Edge]:
    manifest = entry.manifest
    named: list[tuple[str, str]] = []
    if isinstance(manifest, Agent):
        named += [(manifest.flow, "flow")] if manifest.flow is not None else []
        named += [(ref, "uses") for ref in manifest.uses]
        named += [(ref, "scores") for ref in manifest.evaluations]
    elif isinstance(manifest, Flow):
        named += [(ref, "step") for ref in dict.fromkeys(_used(manifest.steps))]
    for ref, label in named:
        try:
            yield Edge(entry.ref, bundle.find(ref).ref, label)
        except Invalid:
            continue


def _used(steps: Sequence[FlowStep]) -> Iterable[str]:
    for step in steps:
        if step.uses is not None:
            yield step.uses
        yield from _used(step.steps or ())


def _entry_text(entry: Entry[Any]) -> str:
    role = f" ({entry.manifest.role})" if isinstance(entry.manifest, Agent) else ""
    effect = getattr(entry.manifest, "effect", None)
    return entry.ref + role + (f" [{effect}]" if effect is not None else "")


def _add_steps(drawing: Drawing, graph: Graph, prefix: str) -> None:
    for id, node in graph.nodes.items():
        drawing.nodes[prefix + id] = _step_text(node)
        if node.body is not None:
            _add_steps(drawing, node.body, f"{prefix}{id}.")
            first = [f"{prefix}{id}.{inner}" for inner, body in node.body.nodes.items() if not body.after]
            drawing.edges.extend(Edge(prefix + id, name, "inside") for name in first)
    for id, node in graph.nodes.items():
        drawing.edges.extend(Edge(prefix + other, prefix + id, "then") for other in sorted(node.after))
        if isinstance(node.step.on_error, Fallback):
            drawing.edges.append(Edge(prefix + id, prefix + node.step.on_error.fallback, "fallback"))


def _step_text(node: Node) -> str:
    step = node.step
    act = step.uses or (" ".join(step.run) if step.run is not None else "")
    if step.loop is not None:
        act = f"loop, at most {step.loop.max_rounds} rounds, until {step.loop.until}"
    text = f"{step.id}: {act}"
    text += f" for each of {step.for_each}" if step.for_each is not None else ""
    return text + (f" when {step.when}" if step.when is not None else "")


def _listed(drawing: Drawing, name: str, text: str) -> str:
    """One step with what it waits for; the steps of a loop are indented."""
    level, _, _ = name.rpartition(".")
    before = [edge.source for edge in drawing.edges if edge.target == name and edge.label == "then"]
    callers = [edge.source for edge in drawing.edges if edge.target == name and edge.label == "fallback"]
    notes = [f"after {', '.join(before)}"] if before else []
    notes += [f"fallback of {', '.join(callers)}"] if callers else []
    prefix = f"{level}." if level else ""
    said = "; ".join(notes).replace(prefix, "") if prefix else "; ".join(notes)
    return "   " * name.count(".") + text + (f"   ({said})" if said else "")


def _branches(drawing: Drawing, name: str, indent: str, seen: set[str]) -> list[str]:
    seen.add(name)
    lines: list[str] = []
    children = [edge for edge in drawing.edges if edge.source == name]
    for edge in children:
        is_last = edge is children[-1]
        again = " (see above)" if edge.target in seen and _leads_on(drawing, edge.target) else ""
        text = drawing.nodes.get(edge.target, edge.target)
        lines.append(f"{indent}{'└─' if is_last else '├─'} {edge.label} {text}{again}")
        if edge.target not in seen:
            lines += _branches(drawing, edge.target, indent + ("   " if is_last else "│  "), seen)
    return lines


def _leads_on(drawing: Drawing, name: str) -> bool:
    return any(edge.source == name for edge in drawing.edges)


def _mermaid_text(text: str) -> str:
    return re.sub(r'["<>{}|\\`#]', lambda match: f"#{ord(match[0])};", text)
