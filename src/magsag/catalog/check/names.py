"""Whether what a manifest names exists: references with their version ranges, contracts; deprecated ones warned."""

from typing import Final

from magsag.catalog.check.index import Index, Mention, walk
from magsag.catalog.document import Pointer
from magsag.catalog.references import BadReference, Reference, did_you_mean
from magsag.catalog.survey import Candidate
from magsag.domain.manifests import Agent, Contracts, Flow

_CALLED: Final = ("agent", "flow", "skill", "model")
"""what the code of an agent may call"""


def check_names(candidate: Candidate, index: Index) -> None:
    """Add findings for everything that resolves to nothing."""
    manifest = candidate.checked
    if isinstance(manifest, Agent):
        _check_agent(candidate, manifest, index)
    elif isinstance(manifest, Flow):
        for pointer, step in walk(manifest.steps):
            if step.uses is not None:
                mention = Mention((*pointer, "uses"), step.uses)
                _check(candidate, mention, ("skill", "agent", "flow"), index)
    contracts = getattr(manifest, "contracts", None)
    if isinstance(contracts, Contracts):
        _check_contract(candidate, ("contracts", "input"), contracts.input, index)
        _check_contract(candidate, ("contracts", "output"), contracts.output, index)


def _check_agent(candidate: Candidate, agent: Agent, index: Index) -> None:
    seen: dict[str, int] = {}
    for place, text in enumerate(agent.uses):
        reference = _check(candidate, Mention(("uses", place), text), _CALLED, index)
        if reference is not None and seen.setdefault(reference.name, place) != place:
            what = f"{reference.name} stands twice in `uses`"
            candidate.notes.add(("uses", place), what, "keep one; `||` joins version ranges")
    if agent.flow is not None:
        _check(candidate, Mention(("flow",), agent.flow), ("flow",), index)
    for place, text in enumerate(agent.evaluations):
        _check(candidate, Mention(("evaluations", place), text), ("eval",), index)


def _check(candidate: Candidate, mention: Mention, kinds: tuple[str, ...], index: Index) -> Reference | None:
    try:
        reference = Reference.parse(mention.text)
        if reference.kind not in kinds:
            fix = f"write {' or '.join(f'{kind}:...' for kind in kinds)}"
            raise BadReference(f"{mention.text!r} cannot stand here", fix)
        found = index.look_up(reference)
    except BadReference as error:
        candidate.notes.add(mention.pointer, error.what, _with_prefix(mention.text, kinds, index) or error.fix)
        return None
    if found is not None and (why := getattr(found.checked, "deprecated", None)):
        candidate.notes.add(mention.pointer, f"{found.subject} is deprecated", str(why), severity="warning")
    return reference


def _with_prefix(text: str, kinds: tuple[str, ...], index: Index) -> str:
    """A bare slug that would resolve with one of the prefixes: say so."""
    if ":" in text:
        return ""
    fitting = [f"{kind}:{text}" for kind in kinds if index.follow(f"{kind}:{text}") is not None]
    return f"write {fitting[0]}" if fitting else ""


def _check_contract(candidate: Candidate, pointer: Pointer, name: str | None, index: Index) -> None:
    known = index.survey.contracts
    if name is not None and name not in known:
        fix = did_you_mean(name, list(known)) or f"add contracts/{name}.schema.json"
        candidate.notes.add(pointer, f'contract "{name}" is not in the catalog', fix)
