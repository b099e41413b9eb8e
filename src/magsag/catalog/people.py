"""The people in force: the one file of `kind: people`. Like policies they stand outside the bundle.

Anything wrong in it leaves nobody who may decide, with the reason.
"""

from typing import Final

from magsag.catalog.findings import Notes
from magsag.catalog.frozen import content_hash
from magsag.catalog.references import did_you_mean
from magsag.catalog.survey import Candidate, Survey
from magsag.domain.approval import Proof
from magsag.domain.manifests import People as Manifest
from magsag.domain.manifests import Person
from magsag.domain.manifests.people import CapSetters
from magsag.policy.people import People

_NOBODY: Final = "the catalog has no people.yaml; write one that names who may approve, see docs/approval.md"


def read_people(found: Survey, notes: Notes) -> People:
    """The people; findings go to `notes`."""
    candidates = found.of_kind("people")
    if not candidates:
        return People({}, broken=_NOBODY)
    first, *others = candidates
    for other in others:
        line, column = first.document.place(("kind",))
        what = f"there are people at {first.path}:{line}:{column} already"
        other.notes.add(("kind",), what, "keep everybody in one file")
    manifest = first.checked
    if isinstance(manifest, Manifest):
        _check(first, manifest)
    paths = {candidate.path for candidate in candidates}
    faults = [note for note in notes.sorted() if note.severity == "error" and note.path in paths]
    hash = content_hash({path: found.files[path] for path in sorted(paths)})
    if faults or not isinstance(manifest, Manifest):
        why = f"{faults[0] if faults else 'it is empty'}; see all with magsag catalog validate"
        return People({}, hash=hash, broken=f"people.yaml cannot be used: {why}")
    by_id = {person.id: person for person in manifest.people}
    return People(by_id, manifest.exclude_requester, hash, may_set_caps=manifest.may_set_caps)


def _check(candidate: Candidate, manifest: Manifest) -> None:
    if manifest.may_set_caps is not None:
        _check_setters(candidate, manifest, manifest.may_set_caps)
    seen: dict[str, int] = {}
    users: dict[str, str] = {}
    keys: dict[str, int] = {}
    for index, person in enumerate(manifest.people):
        pointer = ("people", index)
        if person.id in seen:
            what = f"{person.id} stands twice"
            candidate.notes.add((*pointer, "id"), what, "keep one entry, with all roles")
        seen.setdefault(person.id, index)
        _check_proof(candidate, pointer, person)
        user = person.id if person.proof is Proof.OS_USER else person.os_user
        if user is not None and users.setdefault(user, person.id) != person.id:
            what = f"the login name {user} is that of {users[user]} already, and each person counts once"
            candidate.notes.add((*pointer, "id"), what, "keep one entry for one person, with all roles")
        if person.key_sha256 is not None and keys.setdefault(person.key_sha256, index) != index:
            candidate.notes.add(
                (*pointer, "key_sha256"), "somebody else has the same key", "give each person their own"
            )


def _check_setters(candidate: Candidate, manifest: Manifest, setters: CapSetters) -> None:
    """Whom nobody knows sets no caps, and a slip must not leave everybody without who may."""
    held = {role for person in manifest.people for role in person.roles}
    for key, named, known, what in (
        ("roles", setters.roles, held, "nobody here has the role"),
        ("people", setters.people, {person.id for person in manifest.people}, "nobody here is"),
    ):
        for index, name in enumerate(named):
            if name not in known:
                fix = did_you_mean(name, sorted(known)) or "name whom there is"
                candidate.notes.add(("may_set_caps", key, index), f"{what} {name}", fix, severity="warning")


def _check_proof(candidate: Candidate, pointer: tuple[str | int, ...], person: Person) -> None:
    if person.proof is Proof.OIDC:
        fix = "use os_user, api_key, or in development claim"
        candidate.notes.add((*pointer, "proof"), "oidc needs the HTTP API, which this version does not have", fix)
    elif person.proof is Proof.API_KEY and person.key_sha256 is None:
        what = f"{person.id} is to prove it by a key, and there is no `key_sha256`"
        candidate.notes.add((*pointer, "proof"), what, "add the SHA-256 of the key, as hex")
    elif person.proof is Proof.OS_USER and person.os_user not in (None, person.id):
        what = f"with `proof: os_user` the login name is the id, {person.id}"
        candidate.notes.add((*pointer, "os_user"), what, "remove it, or make it the id", key=True)
    elif person.proof is not Proof.API_KEY and person.key_sha256 is not None:
        what = f"`key_sha256` is not read with `proof: {person.proof}`"
        candidate.notes.add((*pointer, "key_sha256"), what, "remove it, or write `proof: api_key`", key=True)
