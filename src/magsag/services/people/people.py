"""Who is acting at this process: what they can show, held against the people in force."""

from collections.abc import Callable
from dataclasses import replace

from magsag.domain.approval import Acting, Proof
from magsag.domain.errors import Invalid, Refused
from magsag.policy.people import People, Shown, Unproven, identify


class Identity:
    """Says who acts. Whether they may do what they want is decided where that is recorded."""

    def __init__(self, people: Callable[[], People], shown: Shown, environment: str) -> None:
        self._people = people
        self._shown = shown
        self._environment = environment

    def acting(self, claim: str | None = None, api_key: str | None = None) -> Acting:
        """Who acts; `claim` is what they say of themselves, `api_key` what they show instead of what the process has.

        Raises Refused for a key or claim that does not count, Invalid for both at once.
        """
        if claim is not None and (api_key or self._shown.api_key):
            raise Invalid(f"--as {claim} and an API key at once: show one of the two, or unset MAGSAG_API_KEY")
        shown = replace(self._shown, claim=claim, api_key=api_key or self._shown.api_key)
        return identify(self._people(), shown, self._environment)

    def trying(self, claim: str | None = None, api_key: str | None = None) -> Acting | Unproven:
        """As `acting`, for what is put on record also when the key or the claim does not count."""
        try:
            return self.acting(claim, api_key)
        except Refused as refused:
            return Unproven(Acting(self._shown.os_user, Proof.OS_USER), claim, refused)
