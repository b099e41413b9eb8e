"""The policies in force: all rules of `kind: policy` files, compiled.

They stand outside the bundle on purpose. Anything wrong in any of them makes all of them unusable, with the
reason; then the gate denies everything. What environments and agents tighten becomes rules like the others.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import time
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from magsag.catalog.asking import asked_of
from magsag.catalog.bundle import Bundle
from magsag.catalog.document import Pointer
from magsag.catalog.findings import Finding, Notes
from magsag.catalog.frozen import content_hash
from magsag.catalog.patterns import Exact, Glob, Named, pattern
from magsag.catalog.references import BadReference, Reference, did_you_mean
from magsag.catalog.survey import KIND_FOLDERS, TABLE_NAME, Candidate, Survey
from magsag.catalog.versions import SemVer
from magsag.domain.condition import ConditionInvalid, Conditions
from magsag.domain.facts import Decision
from magsag.domain.manifests.policy import FlowGovernance, Hours, Policy, Rule
from magsag.domain.verdicts import QUESTION
from magsag.policy.rules import CompiledRule, Counted, Policies
from magsag.policy.windows import Window

_OTHERS: Final = KIND_FOLDERS.keys() - {"policies"} | {"contracts"}
_EVERYTHING: Final = pattern("*")
_WAITS: Final = (Exact("sleep"), pattern("event:*"), Exact(QUESTION))
"""what is no call: a list of what an agent may call leaves it alone"""


def read_policies(found: Survey, bundle: Bundle, conditions: Conditions, notes: Notes) -> Policies:
    """Compile every rule; findings go to `notes`."""
    unreadable = {(one.kind, slug) for one in found.manifests if one.shape.manifest is None for slug in one.slugs}
    reader = _Reader(bundle, conditions, unreadable)
    readable = [(one, one.checked) for one in found.of_kind("policy") if isinstance(one.checked, Policy)]
    for candidate, policy in readable:
        reader.add_windows(candidate, policy)
    for candidate, policy in readable:
        reader.add(candidate, policy)
    for candidate in found.of_kind("policy"):
        _refuse_in_table(candidate)
    paths = {candidate.path for candidate in found.of_kind("policy")}
    aside = {one.path for kind in ("people", "policy_test") for one in found.of_kind(kind)}
    errors = [note for note in notes.sorted() if note.severity == "error" and note.path not in aside]
    faults = [note for note in errors if _is_about_policy(note, paths)]
    broken = f"the policies cannot be used: {_told(faults[0])}" if faults else None
    rules = () if broken else tuple(reader.rules)
    return Policies(rules, _hash(found), broken, reader.governance, reader.windows, conditions.together)


class _Asked(NamedTuple):
    """A condition, with what it needs besides the record."""

    condition: Any = None
    counts: tuple[Counted, ...] = ()
    windows: tuple[str, ...] = ()


class _Reader:
    """Gathers the rules of all files."""

    def __init__(self, bundle: Bundle, conditions: Conditions, unreadable: set[tuple[str, str]]) -> None:
        self.rules: list[CompiledRule] = []
        self.governance: FlowGovernance | None = None
        self.windows: dict[str, Window] = {}
        self._governed_by = ""
        self._bundle = bundle
        self._conditions = conditions
        self._ids: dict[str, str] = {}
        self._unreadable = unreadable

    def add_windows(self, candidate: Candidate, policy: Policy) -> None:
        """Before all rules, since any of them may read any window."""
        for name, hours in policy.windows.items():
            if name in self.windows:
                what = f"the window {name} stands twice"
                candidate.notes.add(("windows", name), what, "give each window a name of its own", key=True)
            elif (window := _window(candidate, name, hours)) is not None:
                self.windows[name] = window

    def add(self, candidate: Candidate, policy: Policy) -> None:
        """The rules of one file, and what its blocks tighten."""
        for index, rule in enumerate(policy.rules):
            self._add_rule(candidate, index, rule)
        for name, environment in policy.environments.items():
            for ref, decision in environment.tighten.items():
                pointer = ("environments", name, "tighten", ref)
                reason = f"the environment {name} is stricter"
                self._add_block(
                    candidate, pointer, f"{name}/{ref}", [ref], Decision(decision), reason, environment=name
                )
        for name, block in policy.agents.items():
            self._add_agent(candidate, name, block.only, block.tighten)
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
        on = self._patterns(candidate, (*pointer, "on"), rule.on)
        by = self._patterns(candidate, (*pointer, "by"), rule.by)
        asked = self._when(candidate, (*pointer, "when"), rule.when, on) if rule.when is not None else _Asked()
        place = f"{candidate.path}:{candidate.document.place(pointer)[0]}"
        self.rules.append(
            CompiledRule(
                rule.id,
                tuple(on),
                asked.condition,
                rule.verdict,
                rule.reason,
                place,
                asked_of(candidate, pointer, rule),
                tuple(by),
                counts=asked.counts,
                windows=asked.windows,
                written=rule.when,
            )
        )

    def _add_agent(
        self, candidate: Candidate, name: str, only: tuple[str, ...] | None, tighten: dict[str, Any]
    ) -> None:
        """What some agents may call at all, and what is stricter for them."""
        pointer = ("agents", name)
        by = self._patterns(candidate, pointer, [name], key=True)
        if by and not name.startswith(("agent:", "flow:", "*")):
            candidate.notes.add(pointer, f"{name} calls nothing", "name agents or flows here", key=True)
        if only is not None:
            spares = self._patterns(candidate, (*pointer, "only"), only)
            reason = f"{name} may call nothing but {', '.join(only) or 'nothing'}"
            place = _line(candidate, (*pointer, "only"))
            everything: tuple[Named, ...] = (_EVERYTHING,)
            rule = CompiledRule(
                f"{name}/only",
                everything,
                None,
                Decision.DENY,
                reason,
                place,
                by=tuple(by),
                spares=(*spares, *_WAITS),
                is_direct=True,
            )
            self.rules.append(rule)
        for ref, decision in tighten.items():
            reason = f"it is stricter for {name}"
            self._add_block(
                candidate, (*pointer, "tighten", ref), f"{name}/{ref}", [ref], Decision(decision), reason, by=by
            )

    def _add_block(
        self,
        candidate: Candidate,
        pointer: Pointer,
        id: str,
        refs: list[str],
        decision: Decision,
        reason: str,
        by: Iterable[Named] = (),
        environment: str | None = None,
    ) -> None:
        on = self._patterns(candidate, pointer, refs, key=True)
        place = _line(candidate, pointer)
        self.rules.append(
            CompiledRule(id, tuple(on), None, decision, reason, place, by=tuple(by), environment=environment)
        )

    def _patterns(self, candidate: Candidate, pointer: Pointer, refs: Iterable[str], key: bool = False) -> list[Named]:
        """What is named; with `key` the name stands as the key at the pointer, else in a list there."""
        places = ((pointer if key else (*pointer, number), ref) for number, ref in enumerate(refs))
        found = [self._target(candidate, place, ref, key) for place, ref in places]
        return [one for one in found if one is not None]

    def _target(self, candidate: Candidate, pointer: Pointer, ref: str, key: bool) -> Named | None:
        try:
            named = pattern(ref)
        except BadReference as error:
            candidate.notes.add(pointer, error.what, error.fix, key=key)
            return None
        if isinstance(named, Glob | Exact) or (named.kind, named.slug) in self._unreadable:
            return named
        versions = self._bundle.versions(named)
        if versions is not None and not any(named.range.matches(SemVer.parse(one.version)) for one in versions):
            fix = did_you_mean(named.slug, self._bundle.slugs(named.kind)) or "correct it, or remove it"
            what = f"{ref!r} names nothing in the catalog"
            candidate.notes.add(pointer, what, fix, key=key, severity="warning")
        return named

    def _when(self, candidate: Candidate, pointer: Pointer, source: str, targets: list[Named]) -> _Asked:
        from magsag.catalog.expressions import compile_rule_condition, counted_refs

        try:
            condition = compile_rule_condition(source, self._arguments(targets), sorted(self.windows), self._conditions)
            counts = tuple(Counted(ref, pattern(ref)) for ref in counted_refs(condition))
        except BadReference as error:
            candidate.notes.add(pointer, f"in `when`: {error.what}", error.fix)
            return _Asked()
        except ConditionInvalid as error:
            candidate.notes.add_in_text(pointer, error.column - 1, f"in `when`: {error}", "correct the expression")
            return _Asked()
        windows = sorted({path[1] for path in condition.reads if path[0] == "window" and len(path) > 1})
        return _Asked(condition, counts, tuple(windows))

    def _arguments(self, targets: list[Named]) -> list[dict[str, Any] | None]:
        """What is known of `args`: the input contract of each version that the rule names."""
        schemas: list[dict[str, Any] | None] = []
        for target in targets:
            if not isinstance(target, Reference):
                schemas.append(None)
                continue
            for entry in self._bundle.versions(target) or ():
                if target.range.matches(SemVer.parse(entry.version)):
                    name = getattr(getattr(entry.manifest, "contracts", None), "input", None)
                    schemas.append(self._bundle.schema(name) if name else None)
        return schemas


def _refuse_in_table(candidate: Candidate) -> None:
    """What cannot be read and is named like a table denies nothing; so nothing that denies may be named so."""
    if candidate.path.endswith(TABLE_NAME):
        what = f"a policy cannot stand in a file named *{TABLE_NAME}"
        candidate.notes.add(("kind",), what, "name it NAME.yaml, or write `kind: policy_test`")


def _window(candidate: Candidate, name: str, hours: Hours) -> Window | None:
    try:
        zone = ZoneInfo(hours.zone)
    except (OSError, ValueError, LookupError):
        what = f"this machine knows no zone {hours.zone!r}"
        candidate.notes.add(("windows", name, "zone"), what, "write one such as Europe/Berlin, or UTC")
        return None
    return Window(frozenset(hours.days), time.fromisoformat(hours.begins), time.fromisoformat(hours.ends), zone)


def _line(candidate: Candidate, pointer: Pointer) -> str:
    return f"{candidate.path}:{candidate.document.key_place(pointer)[0]}"


def _is_about_policy(finding: Finding, paths: set[str]) -> bool:
    """Also what could not even be opened, unless it stands where other kinds do: it may hold a policy."""
    folder = finding.path.partition("/")[0]
    is_unopened = finding.subject is None and not finding.path.endswith((".md", ".py"))
    return finding.path in paths or folder == "policies" or (is_unopened and folder not in _OTHERS)


def _told(finding: Finding) -> str:
    """As every machine names it, since it goes on record as the reason of a deny."""
    return str(replace(finding, place=f"{finding.path}:{finding.line}:{finding.column}"))


def _hash(found: Survey) -> str:
    return content_hash({candidate.path: found.files[candidate.path] for candidate in found.of_kind("policy")})
