"""What stands in for acts in a proof, as `kind: proof` manifests say: compiled, and held against contracts.

Stand-ins are no part of a bundle: a run that is not a proof never sees one.
"""

from collections.abc import Iterator
from typing import Any, Final

from magsag.catalog.bundle import Bundle, Entry
from magsag.catalog.document import Pointer
from magsag.catalog.examples import example_of
from magsag.catalog.findings import Finding, Notes
from magsag.catalog.references import BadReference, Reference, did_you_mean
from magsag.catalog.survey import Candidate, Survey
from magsag.domain.condition import ConditionFailed, ConditionInvalid, Conditions
from magsag.domain.effects import Effect
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.graph import Template
from magsag.domain.manifests import Proof, Skill, StandIn

_KINDS: Final = ("skill", "shell", "model")
_AS_THEY_ARE: Final = (Effect.PURE, Effect.TRANSACTIONAL)
_RUN: Final = {"type": "object", "properties": {"id": {"type": "string"}}}
_SHELL: Final = {"code": 0, "stdout": "", "stderr": ""}
_MODEL: Final = {"text": "", "model": "", "provider": "proof", "usage": {"input_tokens": 0, "output_tokens": 0}}


@frozen
class Stand:
    """One stand-in, ready to be used."""

    reference: Reference
    place: str
    """`proof.yaml:4`"""
    template: Template | None
    """None: an example of the output contract"""


class StandIns:
    """All stand-ins of a catalog; compiled when one is first asked for."""

    def __init__(self, found: Survey, bundle: Bundle, conditions: Conditions, notes: Notes) -> None:
        """`notes` are those that the manifests write to."""
        self._candidates = found.of_kind("proof")
        self._bundle = bundle
        self._conditions = conditions
        self._notes = notes
        self._compiled: list[Stand] | None = None

    def check(self) -> None:
        """Add findings for what names nothing, stands in for nothing or does not compile."""
        for candidate in self._candidates:
            for pointer, stand_in in _declared(candidate):
                self._check(candidate, pointer, stand_in)

    def faults(self) -> list[Finding]:
        """All errors in what stands in: nothing is proved with them."""
        self.check()
        paths = {candidate.path for candidate in self._candidates}
        return [one for one in self._notes.sorted() if one.severity == "error" and one.path in paths]

    def ready(self) -> None:
        """Compile all of them. Raises Invalid with the first thing that is wrong."""
        self._stands()

    @property
    def signals(self) -> dict[str, list[Any]]:
        """What runs of a proof are told: event -> payloads in their order."""
        found: dict[str, list[Any]] = {}
        for candidate in self._candidates:
            if isinstance(proof := candidate.checked, Proof):
                for signal in proof.signals:
                    found.setdefault(signal.event, []).append(signal.payload)
        return found

    def find(self, target: str) -> Stand | None:
        """What stands in for an exact target, e.g. `skill:send-offer@0.3.0` or `shell:notify`."""
        return next((stand for stand in self._stands() if stand.reference.matches(target)), None)

    def output(self, stand: Stand, target: str, names: dict[str, Any]) -> object:
        """What the act gives; `names` are `input`, `key` and `run`. Raises Invalid where that is not possible."""
        if stand.template is None:
            return self._example(stand, target)
        try:
            return stand.template.fill(names)
        except ConditionFailed as error:
            raise Invalid(f"{stand.place}: the output of the stand-in for {target}: {error}") from error

    def _example(self, stand: Stand, target: str) -> object:
        kind = target.partition(":")[0]
        if kind != "skill":
            return _SHELL if kind == "shell" else _MODEL
        entry: Entry[Skill] = self._bundle.find(target, "skill")
        name = entry.manifest.contracts.output
        try:
            return example_of(self._bundle.contract(name)) if name is not None else None
        except Invalid as error:
            raise Invalid(f"{stand.place}: the stand-in for {target} must say its `output`: {error}") from error

    def _stands(self) -> list[Stand]:
        if self._compiled is None:
            self._compiled = [
                self._stand(candidate, pointer, stand_in)
                for candidate in self._candidates
                for pointer, stand_in in _declared(candidate)
            ]
        return self._compiled

    def _stand(self, candidate: Candidate, pointer: Pointer, stand_in: StandIn) -> Stand:
        place = f"{candidate.path}:{candidate.document.place(pointer)[0]}"
        reference = Reference.parse(stand_in.for_)
        if "output" not in stand_in.model_fields_set:
            return Stand(reference, place, None)
        try:
            value = self._template(stand_in.output, (*pointer, "output"), self._types(stand_in.for_), None)
        except ConditionInvalid as error:
            raise Invalid(f"{place}: the output of the stand-in for {stand_in.for_}: {error}") from error
        return Stand(reference, place, Template(value))

    def _template(self, value: object, pointer: Pointer, types: dict[str, Any], tell: Candidate | None) -> object:
        """Every text that starts with `=` compiled; `tell` hears of what does not, instead of ConditionInvalid."""
        if isinstance(value, dict):
            return {key: self._template(part, (*pointer, key), types, tell) for key, part in value.items()}
        if isinstance(value, list):
            return [self._template(part, (*pointer, index), types, tell) for index, part in enumerate(value)]
        if not isinstance(value, str) or not value.startswith("="):
            return value
        if value.startswith("=="):
            return value[1:]
        try:
            return self._conditions.compile(value[1:], types)
        except ConditionInvalid as error:
            if tell is None:
                raise
            tell.notes.add_in_text(pointer, error.column, str(error), "correct the expression")
            return None

    def _types(self, ref: str) -> dict[str, Any]:
        schema = None
        entry = self._skill(ref)
        if entry is not None and (name := entry.manifest.contracts.input) is not None:
            schema = self._bundle.schema(name)
        return {"input": schema, "key": {"type": "string"}, "run": _RUN}

    def _skill(self, ref: str) -> Entry[Skill] | None:
        try:
            found = self._bundle.find(ref, "skill")
        except Invalid:
            return None
        return found if isinstance(found.manifest, Skill) else None

    def _check(self, candidate: Candidate, pointer: Pointer, stand_in: StandIn) -> None:
        where = (*pointer, "for")
        try:
            reference = Reference.parse(stand_in.for_)
            if reference.kind not in _KINDS:
                raise BadReference(f"nothing stands in for {stand_in.for_!r}", "name a skill, shell:STEP or a model")
        except BadReference as error:
            candidate.notes.add(where, error.what, error.fix)
            return
        entry = self._skill(stand_in.for_) if reference.kind == "skill" else None
        if reference.kind == "skill" and entry is None:
            fix = did_you_mean(reference.slug, self._bundle.slugs("skill")) or "correct it, or remove it"
            candidate.notes.add(where, f"{stand_in.for_!r} names nothing in the catalog", fix)
            return
        if entry is not None and entry.manifest.effect in _AS_THEY_ARE and not entry.manifest.effect_by:
            what = f"{entry.ref} is {entry.manifest.effect.value} and runs as it is in a proof"
            candidate.notes.add(where, what, "remove its stand-in")
        self._template(stand_in.output, (*pointer, "output"), self._types(stand_in.for_), candidate)


def _declared(candidate: Candidate) -> Iterator[tuple[Pointer, StandIn]]:
    """The stand-ins of one manifest, each with its place."""
    if isinstance(proof := candidate.checked, Proof):
        for index, stand_in in enumerate(proof.stand_ins):
            yield ("stand_ins", index), stand_in
