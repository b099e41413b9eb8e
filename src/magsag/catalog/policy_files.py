"""What stands beside the policies in force: tables of what they should say, and drafts that are tried on the past."""

from collections.abc import Mapping

from magsag.catalog.bundle import Bundle
from magsag.catalog.findings import Notes
from magsag.catalog.policies import read_policies
from magsag.catalog.survey import Survey, survey
from magsag.domain.condition import Conditions
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.manifests import PolicyCase, PolicyTest
from magsag.policy.rules import Policies


@frozen
class PlacedCase:
    """One case of a table."""

    place: str
    """`file:line`"""
    case: PolicyCase


def read_cases(found: Survey) -> tuple[PlacedCase, ...]:
    """The cases of every table that can be read."""
    cases: list[PlacedCase] = []
    for candidate in found.of_kind("policy_test"):
        table = candidate.shape.manifest
        if isinstance(table, PolicyTest):
            lines = [candidate.document.place(("cases", number))[0] for number in range(len(table.cases))]
            cases += [PlacedCase(f"{candidate.path}:{line}", one) for line, one in zip(lines, table.cases, strict=True)]
    return tuple(cases)


def draft_policies(drafts: Mapping[str, bytes], bundle: Bundle, conditions: Conditions) -> Policies:
    """Policies from these files alone, checked against the bundle. Raises Invalid with what is wrong in them."""
    notes = Notes("")
    policies = read_policies(survey({**bundle.files, **drafts}, notes), bundle, conditions, notes)
    errors = [str(one) for one in notes.sorted() if one.severity == "error" and one.path in drafts]
    if errors or policies.broken is not None:
        raise Invalid("\n".join(errors) or str(policies.broken))
    return policies
