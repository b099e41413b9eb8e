"""The people manifest: who may decide, and how each of them proves who they are."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from magsag.domain.approval import Proof
from magsag.domain.manifests.base import Manifest, Part

PersonId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]*$", max_length=100)]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)]


class Person(Part):
    """Somebody who may decide."""

    id: PersonId
    """their name in records; with the proof `os_user` the login name"""
    roles: tuple[Role, ...] = Field(default=(), strict=False)
    """what rules know them by, e.g. `hr`"""
    proof: Proof = Field(strict=False)
    """`os_user`: the user that the process runs as; `api_key`: the key in MAGSAG_API_KEY; `claim`: their word (`--as`),
    in development only"""
    os_user: PersonId | None = None
    """their login name, where `id` is another name and the proof is not `os_user`: what they start under it they do not
    approve"""
    key_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """of `api_key`: SHA-256 of the key, as hex; the key itself stands nowhere"""


class CapSetters(Part):
    """Who of the people may set the caps of the organisation and of its days (`magsag budget set`)."""

    roles: tuple[Role, ...] = Field(default=(), strict=False)
    """people with any of these roles"""
    people: tuple[PersonId, ...] = Field(default=(), strict=False)
    """who else, by name"""

    @model_validator(mode="after")
    def _names_somebody(self) -> "CapSetters":
        if not self.roles and not self.people:
            raise ValueError("nobody may set caps: name `roles` or `people`, or take the key out for everybody")
        return self


class People(Manifest):
    """`catalog/people.yaml`."""

    kind: Literal["people"]
    people: tuple[Person, ...] = Field(min_length=1, strict=False)
    """everybody who may decide"""
    exclude_requester: bool = True
    """whoever started a run, or on whose behalf it runs, does not decide in it"""
    may_set_caps: CapSetters | None = None
    """who may set the caps of the organisation and of its days; without it everybody here"""
