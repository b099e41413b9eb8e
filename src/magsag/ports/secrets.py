"""Where secrets are kept, outside of MAGSAG: read at the moment of use, and never written by us."""

from typing import Protocol

from magsag.domain.secret import SecretReference


class Secrets(Protocol):
    """Reads what references name, as it is now."""

    def read(self, reference: SecretReference) -> str:
        """The value. Raises Invalid, naming the reference and the next move, for one that is not there or not safe;
        NoAnswer for one of which that cannot be told now. Readings of one reference may overlap."""

    def may_wait(self, reference: SecretReference) -> bool:
        """Whether reading it may take long, since a disk or a service has to answer, or somebody: not on an event
        loop then."""

    def version(self, value: str) -> str:
        """Tells one value from another: salted, the same for the same value of one project, and of no use for
        guessing without the salt, which stands outside the ledger."""
