"""The policies in force: all rules of `kind: policy` files, compiled.

They stand outside the bundle on purpose. Anything wrong in any of them makes all of them unusable, with the
reason; then the gate denies everything.
"""

from typing import Any, Final

from magsag.catalog.asking import asked_of
from magsag.catalog.bundle import Bundle
from magsag.catalog.findings import Finding, Notes
from magsag.catalog.frozen import content_hash
from magsag.catalog.references import BadReference, Reference, did_you_mean
from magsag.catalog.survey import KIND_FOLDERS, Candidate, Survey
from magsag.catalog.versions import SemVer
from magsag.domain.condition import Condition, ConditionInvalid, Conditions
from magsag.domain.manifests import FlowGovernance, Policy, Rule
from magsag.policy.judge import CompiledRule, Policies

_TARGETS: Final = frozenset({"agent", "skill", "flow", "model", "shell", "call"})
_OTHERS: Final = KIND_FOLDERS.keys() - {"policies"} | {"contracts"}


def read_policies(found: Survey, bundle: Bundle, conditions: Conditions, notes: Notes) -> Policies:
    """Compile every rule; findings go to `notes`."""
    unreadable = {(one.kind, slug) for one in found.manifests if one.shape.manifest is None for slug in one.slugs}
    reader = _Reader(bundle, conditions, unreadable)
    for candidate in found.of_kind("policy"):
        if isinstance(policy := candidate.checked, Policy):
            reader.add(candidate, policy)
    paths = {candidate.path for candidate in found.of_kind("policy")}
    people = {candidate.path for candidate in found.of_kind("people")}
    errors = [note for note in notes.sorted() if note.severity == "error" and note.path not in people]
    faults = [note for note in errors if _is_about_policy(note, paths)]
    broken = f"the policies cannot be used: {faults[0]}" if faults else None
    return Policies(() if broken else tuple(reader.rules), _hash(found), broken, reader.governance)


class _Reader:
    """Gathers the rules of all files."""

    def __init__(self, bundle: Bundle, conditions: Conditions, unreadable: set[tuple[str, str]]) -> None:
        self.rules: list[CompiledRule] = []
        self.governance: FlowGovernance | None = None
        self._governed_by = ""
        self._bundle = bundle
        self._conditions = conditions
        self._ids: dict[str, str] = {}
        self._unreadable = unreadable

    def add(self, candidate: Candidate, policy: Policy) -> None:
        for index, rule in enumerate(policy.rules):
            self._add_rule(candidate, index, rule)
        if policy.flow_governance is not None and self.governance is not None:
            what = f"`flow_governance` stands in {self._governed_by} too"
            candidate.notes.add(("flow_governance",), what, "keep one of them", key=True)
        elif policy.flow_governance is not None:
            self.governance, self._governed_by = policy.flow_governance, candidate.path

    def _add_rule(self, candidate: Candidate, index: int, rule: Rule) -> None:
        pointer = ("rules", index)
        line, column = candidate.document.place((*pointer, "id"))
        if rule.id in self._ids:
            what = f"the rule id {rule.id} stands twice; the first is at {self._ids[rule.id]}"
            candidate.notes.add((*pointer, "id"), what, "give each rule an id of its own")
        self._ids.setdefault(rule.id, f"{candidate.path}:{line}:{column}")
        on = [self._target(candidate, (*pointer, "on", place), ref) for place, ref in enumerate(rule.on)]
        targets = [reference for reference in on if reference is not None]
        when = self._when(candidate, (*pointer, "when"), rule.when, targets) if rule.when is not None else None
        place = f"{candidate.path}:{candidate.document.place(pointer)[0]}"
        approval = asked_of(candidate, pointer, rule)
        self.rules.append(CompiledRule(rule.id, tuple(targets), when, rule.verdict, rule.reason, place, approval))

    def _target(self, candidate: Candidate, pointer: tuple[str | int, ...], ref: str) -> Reference | None:
        try:
            reference = Reference.parse(ref)
        except BadReference as error:
            candidate.notes.add(pointer, error.what, error.fix)
            return None
        if reference.kind not in _TARGETS:
            fix = "rules name skills, agents, flows and models"
            candidate.notes.add(pointer, f"a rule cannot name {ref!r}", fix)
            return None
        versions = self._bundle.versions(reference)
        if (reference.kind, reference.slug) in self._unreadable:
            return reference
        if versions is not None and not any(reference.range.matches(SemVer.parse(one.version)) for one in versions):
            fix = did_you_mean(reference.slug, self._bundle.slugs(reference.kind)) or "correct it, or remove it"
            candidate.notes.add(pointer, f"{ref!r} names nothing in the catalog", fix, severity="warning")
        return reference

    def _when(
        self, candidate: Candidate, pointer: tuple[str | int, ...], source: str, targets: list[Reference]
    ) -> Condition | None:
        from magsag.catalog.expressions import compile_rule_condition

        try:
            return compile_rule_condition(source, self._arguments(targets), self._conditions)
        except ConditionInvalid as error:
            candidate.notes.add_in_text(pointer, error.column - 1, f"in `when`: {error}", "correct the expression")
            return None

    def _arguments(self, targets: list[Reference]) -> list[dict[str, Any] | None]:
        """What is known of `args`: the input contract of each version that the rule names."""
        schemas: list[dict[str, Any] | None] = []
        for target in targets:
            for entry in self._bundle.versions(target) or ():
                if target.range.matches(SemVer.parse(entry.version)):
                    name = getattr(getattr(entry.manifest, "contracts", None), "input", None)
                    schemas.append(self._bundle.schema(name) if name else None)
        return schemas


def _is_about_policy(finding: Finding, paths: set[str]) -> bool:
    """Also what could not even be opened, unless it stands where other kinds do: it may hold a policy."""
    folder = finding.path.partition("/")[0]
    is_unopened = finding.subject is None and not finding.path.endswith((".md", ".py"))
    return finding.path in paths or folder == "policies" or (is_unopened and folder not in _OTHERS)


def _hash(found: Survey) -> str:
    return content_hash({candidate.path: found.files[candidate.path] for candidate in found.of_kind("policy")})
