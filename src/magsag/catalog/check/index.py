"""All manifests of a catalog by kind and slug, the broken ones included, for checks that follow references."""

from collections.abc import Iterator

from magsag.catalog.bundle import Bundle
from magsag.catalog.document import Pointer
from magsag.catalog.references import CATALOG_KINDS, BadReference, Reference, did_you_mean
from magsag.catalog.survey import Candidate, Survey
from magsag.catalog.versions import SemVer
from magsag.domain.frozen import frozen
from magsag.domain.manifests import Agent, Flow, FlowStep, Manifest


@frozen
class Mention:
    """One reference in a manifest."""

    pointer: Pointer
    text: str


class Index:
    """Answers what a reference means, as far as the catalog can be read."""

    def __init__(self, found: Survey, bundle: Bundle) -> None:
        self.survey = found
        self.bundle = bundle
        self._by_name: dict[tuple[str, str], list[Candidate]] = {}
        for candidate in found.manifests:
            for slug in candidate.slugs:
                self._by_name.setdefault((candidate.kind, slug), []).append(candidate)

    def look_up(self, reference: Reference) -> Candidate | None:
        """The manifest that is meant; None where it cannot be told, because something is broken already.

        Raises BadReference when the catalog has none.
        """
        if reference.kind not in CATALOG_KINDS:
            return None
        there = self._by_name.get((reference.kind, reference.slug))
        if there is None:
            slugs = [slug for kind, slug in self._by_name if kind == reference.kind]
            fix = did_you_mean(reference.slug, slugs) or "correct the name, or add it"
            raise BadReference(f'{reference.kind} "{reference.slug}" is not in the catalog', fix)
        versions = {version: one for one in there if (version := _version(one)) is not None}
        best = reference.range.best(list(versions))
        if best is None and len(versions) == len(there):
            listed = ", ".join(str(getattr(one.checked, "version", "")) for one in there)
            what = f'{reference.kind} "{reference.slug}" has no version that fits {reference.range.source}'
            raise BadReference(what, f"there is {listed}")
        found = versions[best] if best is not None else None
        if found is not None and isinstance(agent := found.checked, Agent):
            _check_role(reference, agent)
        return found

    def follow(self, text: str) -> Candidate | None:
        """As `look_up`, for text; None for whatever does not resolve."""
        try:
            return self.look_up(Reference.parse(text))
        except BadReference:
            return None


def mentions(manifest: Manifest) -> Iterator[Mention]:
    """Every reference to something that a run would call."""
    if isinstance(manifest, Agent):
        for index, text in enumerate(manifest.uses):
            yield Mention(("uses", index), text)
        if manifest.flow is not None:
            yield Mention(("flow",), manifest.flow)
    elif isinstance(manifest, Flow):
        for pointer, step in walk(manifest.steps):
            if step.uses is not None:
                yield Mention((*pointer, "uses"), step.uses)


def walk(steps: tuple[FlowStep, ...], pointer: Pointer = ("steps",)) -> Iterator[tuple[Pointer, FlowStep]]:
    """Every step with its place, those inside loops included."""
    for index, step in enumerate(steps):
        yield (*pointer, index), step
        yield from walk(step.steps or (), (*pointer, index, "steps"))


def _version(candidate: Candidate) -> SemVer | None:
    """None where the manifest, or its version, cannot be read."""
    if candidate.checked is None or any(fault.pointer == ("version",) for fault in candidate.shape.faults):
        return None
    return SemVer.parse(str(getattr(candidate.checked, "version", "0.0.0")))


def _check_role(reference: Reference, agent: Agent) -> None:
    if reference.role is not None and agent.role != reference.role:
        what = f'agent "{agent.slug}" has the role {agent.role}, not {reference.role}'
        raise BadReference(what, f"write magsag://{agent.role}.{agent.slug}")
