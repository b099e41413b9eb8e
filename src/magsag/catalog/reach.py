"""What a run of an agent or flow can reach: the manifests and contracts that its findings are looked for in."""

from collections.abc import Iterator
from typing import Any

from magsag.catalog.bundle import Bundle, Entry
from magsag.catalog.references import CATALOG_KINDS, BadReference, Reference
from magsag.catalog.subschemas import BadRef, locate, subschemas
from magsag.domain.errors import Invalid
from magsag.domain.manifests import Agent, Contracts, Flow, FlowStep, Manifest


def reached(bundle: Bundle, ref: str) -> set[str]:
    """Exact references and `contract:name`s that a run of `ref` can reach, itself included.

    What does not resolve stands there without a version: `skill:send-offer`.
    """
    found: set[str] = set()
    waiting = [ref]
    while waiting:
        name, entry = _resolved(bundle, waiting.pop())
        if name is None or name in found:
            continue
        found.add(name)
        if entry is not None:
            waiting.extend(references(entry.manifest))
            for contract in contracts(entry.manifest):
                _add_contract(bundle, contract, found)
    return found


def models_reached(bundle: Bundle, ref: str) -> list[str]:
    """The model aliases that a run of `ref` names somewhere."""
    found = reached(bundle, ref)
    named = {name for entry in bundle.entries() if entry.ref in found for name in references(entry.manifest)}
    return sorted(name.removeprefix("model:") for name in named if name.startswith("model:"))


def references(manifest: Manifest) -> Iterator[str]:
    """What a manifest names: uses, its flow, evaluations, the steps of a flow."""
    if isinstance(manifest, Agent):
        yield from manifest.uses
        yield from manifest.evaluations
        if manifest.flow is not None:
            yield manifest.flow
    elif isinstance(manifest, Flow):
        for step in all_steps(manifest.steps):
            if step.uses is not None:
                yield step.uses


def contracts(manifest: Manifest) -> Iterator[str]:
    """The names of the contracts that a manifest's input and output must meet."""
    held = getattr(manifest, "contracts", None)
    if isinstance(held, Contracts):
        yield from (name for name in (held.input, held.output) if name is not None)


def all_steps(steps: tuple[FlowStep, ...]) -> Iterator[FlowStep]:
    """Every step, those inside loops included."""
    for step in steps:
        yield step
        yield from all_steps(step.steps or ())


def _resolved(bundle: Bundle, ref: str) -> tuple[str | None, Entry[Any] | None]:
    try:
        entry = bundle.find(ref)
        return entry.ref, entry
    except BadReference:
        return None, None
    except Invalid:
        reference = Reference.parse(ref)
        return (reference.name if reference.kind in CATALOG_KINDS else None), None


def _add_contract(bundle: Bundle, name: str, found: set[str]) -> None:
    if f"contract:{name}" in found:
        return
    found.add(f"contract:{name}")
    for _, schema in subschemas(bundle.schema_text(name)):
        if isinstance(ref := schema.get("$ref"), str):
            try:
                _add_contract(bundle, locate(name, ref, bundle.schema_text)[0], found)
            except BadRef:
                continue
