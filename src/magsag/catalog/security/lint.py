"""The security lint of a catalog: effect kinds, capabilities, secrets, wildcards, commands, contracts, people.

Every finding is a warning with its place and the next move. What makes a catalog unusable is not its business: that
is `magsag catalog validate`.
"""

import re
from collections.abc import Iterator, Mapping
from posixpath import dirname
from typing import Any, Final

from magsag.catalog.bundle import Bundle
from magsag.catalog.findings import Finding, Notes
from magsag.catalog.patterns import Glob, pattern
from magsag.catalog.references import BadReference
from magsag.catalog.security.code import Reach, reaches
from magsag.catalog.security.environment import SECRET_NAME, readings, secret_variables
from magsag.catalog.survey import Candidate, survey
from magsag.domain.approval import Proof
from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.facts import Decision
from magsag.domain.manifests import Agent, Flow, FlowStep, People, Policy, Skill
from magsag.domain.manifests.isolation import Isolation

_TOKEN: Final = re.compile(
    r"sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|AIza[0-9A-Za-z_-]{30,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[a-z][a-z0-9+.-]*://[^/\s:@{}$]+:[^/\s:@{}$]+@"
)
_BY_REFERENCE: Final = re.compile(r"(?:env|file|keyring):|=|\$\{|\[redacted\]$")
_LAUNCHERS: Final = frozenset({"npx", "bunx", "uvx", "pipx", "docker", "podman"})
_PINNED: Final = re.compile(r".+(?:@\d.*|==\d.*|@sha256:[0-9a-f]{64})")
_WORDS_OF_LAUNCHERS: Final = frozenset({"run", "exec"})
_LOOKS: Final = frozenset({Effect.PURE, Effect.READ})


def lint_security(files: Mapping[str, bytes], bundle: Bundle, shown: str) -> list[Finding]:
    """All findings about a catalog's own files, by file and line."""
    notes = Notes(shown)
    for candidate in survey(dict(files), Notes(shown)).manifests:
        _secrets(candidate, notes)
        match candidate.checked:
            case Skill() as skill:
                _skill(candidate, skill, files, notes)
                _environment(candidate, skill, files, bundle, notes)
            case Agent() as agent if agent.role == "main" and agent.contracts.input is None:
                _note(notes, candidate, ("slug",), "a main agent takes any input", "name a contract for its input")
            case Flow() as flow:
                _commands(candidate, flow.steps, ("steps",), notes)
            case Policy() as policy:
                _wildcards(candidate, policy, bundle, notes)
            case People() as people:
                _people(candidate, people, notes)
    return notes.sorted()


def _note(
    notes: Notes, candidate: Candidate, pointer: tuple[str | int, ...], what: str, fix: str, key: bool = False
) -> None:
    at = candidate.document.key_place(pointer) if key else candidate.document.place(pointer)
    notes.add(candidate.path, at, what, fix, subject=candidate.subject, severity="warning")


def _skill(candidate: Candidate, skill: Skill, files: Mapping[str, bytes], notes: Notes) -> None:
    effects = {
        Effect(skill.effect),
        *(Effect(one) for kinds in (skill.effect_by or {}).values() for one in kinds.values()),
    }
    if effects & EFFECTFUL and skill.contracts.input is None:
        what = f"{skill.slug} changes something, and takes any input"
        _note(notes, candidate, ("effect",), what, "name a contract for its input: approvals and rules rest on it")
    told: set[str] = set()
    for path, reach in _code(candidate, files):
        if reach.capability not in skill.capabilities and reach.capability not in told:
            told.add(reach.capability)
            what = f"{skill.slug} reaches for the {reach.capability} ({reach.what}), and does not declare it"
            fix = f"add `capabilities: [{reach.capability}]`, or take it out"
            notes.add(path, (reach.line, 1), what, fix, subject=candidate.subject, severity="warning")
        if reach.changes and effects <= _LOOKS:
            what = f"{skill.slug} is said to be {skill.effect}, and {reach.what} changes something"
            fix = "declare the effect kind that repeating it would have"
            notes.add(path, (reach.line, 1), what, fix, subject=candidate.subject, severity="warning")
    outside = {"network", "filesystem", "shell"}.intersection(skill.capabilities)
    if skill.effect == Effect.PURE and outside:
        what = f"{skill.slug} is said to be pure, and declares {', '.join(sorted(outside))}"
        _note(notes, candidate, ("effect",), what, "what looks outside is at least `read`")


def _environment(candidate: Candidate, skill: Skill, files: Mapping[str, bytes], bundle: Bundle, notes: Notes) -> None:
    """Secrets that code takes out of the environment by itself: neither recorded nor masked."""
    secret = secret_variables(bundle)
    for index, handed in enumerate(skill.environment):
        if handed in secret or SECRET_NAME.search(handed):
            what = f"{skill.slug} is handed {handed} past its `secrets`: nobody sees a rotation"
            fix = f"declare `secrets: {{{handed}: env:{handed}}}` instead"
            _note(notes, candidate, ("environment", index), what, fix)
    for path, text in _texts_of(candidate, files):
        for line, name in readings(text):
            if name is None:
                what = f"{skill.slug} reads variables of the environment that it does not name, secrets among them"
                fix = "read those that it needs, each by its name"
            elif name in secret or SECRET_NAME.search(name):
                what = f"{skill.slug} reads {name} past its `secrets`: nothing masks it, and nobody sees a rotation"
                fix = f"declare `secrets: {{{name}: env:{name}}}` and read it with ctx.secret"
            else:
                continue
            notes.add(path, (line, 1), what, fix, subject=candidate.subject, severity="warning")


def _code(candidate: Candidate, files: Mapping[str, bytes]) -> Iterator[tuple[str, Reach]]:
    """What the skill's own files reach for."""
    for path, text in _texts_of(candidate, files):
        yield from ((path, reach) for reach in reaches(text))


def _texts_of(candidate: Candidate, files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """The skill's own Python; its tests are no part of it."""
    folder = dirname(candidate.path)
    for path, data in files.items():
        inside = path.removeprefix(f"{folder}/")
        if path.endswith(".py") and inside != path and not inside.startswith("tests/"):
            yield path, data.decode("utf-8", "replace")


def _secrets(candidate: Candidate, notes: Notes) -> None:
    fix = "take it out, count it as known to others, and name it under `secrets` of the skill that needs it"
    for number, line in enumerate(candidate.document.text.splitlines(), 1):
        if (found := _TOKEN.search(line)) is not None:
            what = f"this looks like a secret ({found[0][:4]}...)"
            notes.add(candidate.path, (number, found.start() + 1), what, fix, severity="warning")
    for pointer, key, value in _texts(candidate.document.value, ()):
        if SECRET_NAME.search(key) and len(value) >= 6 and not _BY_REFERENCE.match(value):
            _note(notes, candidate, pointer, f"`{key}` holds a value as it is", fix)


def _texts(value: Any, pointer: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            if isinstance(part, str):
                yield (*pointer, key), str(key), part
            else:
                yield from _texts(part, (*pointer, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _texts(part, (*pointer, index))


def _commands(candidate: Candidate, steps: tuple[FlowStep, ...], pointer: tuple[str | int, ...], notes: Notes) -> None:
    for index, step in enumerate(steps):
        here = (*pointer, index)
        if step.run and (package := _unpinned(step.run)) is not None:
            what = f"step {step.id} runs whatever version of {package} there is on that day"
            _note(notes, candidate, (*here, "run"), what, "pin it: name@1.2.3, name==1.2.3 or name@sha256:...")
        if step.isolation not in (None, Isolation.SANDBOX):
            what = f"step {step.id} starts a program outside a sandbox"
            fix = "take `isolation` out, and grant what it needs: `network`, `environment`, `[sandbox] read`"
            _note(notes, candidate, (*here, "isolation"), what, fix)
        _commands(candidate, step.steps or (), (*here, "steps"), notes)


def _unpinned(command: tuple[str, ...]) -> str | None:
    """The package that a launcher would fetch in any version."""
    if command[0].rpartition("/")[2] not in _LAUNCHERS:
        return None
    words = (word for word in command[1:] if not word.startswith("-") and word not in _WORDS_OF_LAUNCHERS)
    package = next(words, None)
    return package if package is not None and _PINNED.fullmatch(package) is None else None


def _wildcards(candidate: Candidate, policy: Policy, bundle: Bundle, notes: Notes) -> None:
    for index, rule in enumerate(policy.rules):
        if rule.verdict is not Decision.ALLOW:
            continue
        for place, ref in enumerate(rule.on):
            if (effect := _effect_by_wildcard(ref, bundle)) is not None:
                what = f"rule {rule.id} allows by wildcard what {effect}"
                _note(notes, candidate, ("rules", index, "on", place), what, "name what is meant, one by one")


def _effect_by_wildcard(ref: str, bundle: Bundle) -> str | None:
    """What with an effect a glob lets through."""
    try:
        named = pattern(ref)
    except BadReference:
        return None
    if not isinstance(named, Glob):
        return None
    kind = named.text.partition(":")[0]
    if kind in ("*", "tool", "shell"):
        return "nobody has looked at yet"
    for entry in bundle.entries():
        if (
            isinstance(entry.manifest, Skill)
            and Effect(entry.manifest.effect) in EFFECTFUL
            and named.matches(entry.ref)
        ):
            return f"is {entry.manifest.effect}: {entry.ref}"
    return None


def _people(candidate: Candidate, people: People, notes: Notes) -> None:
    if not people.exclude_requester:
        what = "whoever starts a run may approve what it asks for"
        _note(
            notes, candidate, ("exclude_requester",), what, "take `exclude_requester: false` out; two people see more"
        )
    if people.may_set_caps is None:
        what = "everybody here may set the caps of the organisation and of its days"
        _note(notes, candidate, ("people",), what, "say who may: `may_set_caps: {roles: [ROLE]}`", key=True)
    for index, person in enumerate(people.people):
        if person.proof is Proof.CLAIM:
            what = f"{person.id} is believed without a proof, and outside development by nobody"
            _note(notes, candidate, ("people", index, "proof"), what, "write `os_user` or `api_key`")
