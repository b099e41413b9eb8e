"""Who somebody is, by what they can show: the people in force, as `people.yaml` has them. Fails closed.

Reading keys and user names from the process is not done here; `services.people.people` hands them in.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from magsag.domain.approval import Acting, Proof, RefusedFor
from magsag.domain.errors import Refused
from magsag.domain.frozen import frozen
from magsag.domain.manifests.people import CapSetters, Person

DEVELOPMENT: Final = "development"
"""the only environment in which somebody's word counts"""

_OTHERWISE: Final = (
    "add an entry there, or show who you are by a key in MAGSAG_API_KEY, "
    f"or in {DEVELOPMENT} by --as NAME, for entries with `proof: claim`"
)


@frozen
class People:
    """Everybody who may decide."""

    by_id: Mapping[str, Person]
    exclude_requester: bool = True
    hash: str = ""
    """of the file, for the record"""
    broken: str | None = None
    """why nobody can decide"""
    may_set_caps: CapSetters | None = None
    """None: everybody who may decide"""

    def person(self, acting: Acting) -> Person:
        """The person who acts, when they may decide anything at all. Raises Refused."""
        if self.broken is not None:
            raise Refused(f"nobody can decide: {self.broken}", RefusedFor.BROKEN)
        person = self.by_id.get(acting.id)
        if person is None:
            said = f"{acting.id} is not in people.yaml, so they decide nothing; {_OTHERWISE}"
            raise Refused(said, RefusedFor.STRANGER)
        if person.proof is not acting.proof:
            raise Refused(f"{acting.id} must prove it by {person.proof}, not by {acting.proof}", RefusedFor.PROOF)
        return person

    def cap_setter(self, acting: Acting) -> Person:
        """The person who acts, when they may set caps that hold for everybody. Raises Refused."""
        person, may = self.person(acting), self.may_set_caps
        if may is not None and person.id not in may.people and not set(may.roles).intersection(person.roles):
            wanted = [*(f"the role {role}" for role in may.roles), *may.people]
            said = f"{person.id} may not set caps: by people.yaml it takes {' or '.join(wanted)} (`may_set_caps`)"
            raise Refused(said, RefusedFor.ROLE)
        return person


@frozen
class Shown:
    """What somebody at a surface can show."""

    os_user: str
    api_key: str | None = None
    claim: str | None = None


@frozen
class Unproven:
    """Somebody whose key or claim does not count: known as the user of the operating system, and as nobody else."""

    known: Acting
    claimed: str | None
    refused: Refused


def identify(people: People, shown: Shown, environment: str) -> Acting:
    """Who that is: by a key, by a claim where claims count, else the user of the operating system. Raises Refused."""
    if shown.claim is not None:
        return _claimed(people, shown.claim, environment)
    if shown.api_key is not None:
        return _keyed(people, shown.api_key)
    return Acting(shown.os_user, Proof.OS_USER)


def _claimed(people: People, claim: str, environment: str) -> Acting:
    if environment != DEVELOPMENT:
        raise Refused(
            f"--as {claim}: a claim counts in {DEVELOPMENT} only, and this is {environment}", RefusedFor.CLAIM
        )
    if people.broken is not None:
        raise Refused(f"--as {claim}: nobody can be known by a claim: {people.broken}", RefusedFor.BROKEN)
    person = people.by_id.get(claim)
    if person is None or person.proof is not Proof.CLAIM:
        raise Refused(f"--as {claim}: people.yaml has no entry {claim} with `proof: claim`", RefusedFor.CLAIM)
    return Acting(claim, Proof.CLAIM)


def _keyed(people: People, key: str) -> Acting:
    """Every entry is compared, in constant time, so that nothing shows how near a key is."""
    if people.broken is not None:
        raise Refused(f"nobody can be known by a key: {people.broken}", RefusedFor.BROKEN)
    digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    fitting = [
        person.id
        for person in people.by_id.values()
        if person.proof is Proof.API_KEY and hmac.compare_digest(person.key_sha256 or "", digest)
    ]
    if len(fitting) != 1:
        said = "the key in MAGSAG_API_KEY is nobody's: compare its SHA-256 with `key_sha256` in people.yaml"
        raise Refused(said, RefusedFor.KEY)
    return Acting(fitting[0], Proof.API_KEY)
