"""The policy test manifest: what policies should say, case by case (`magsag policy test`)."""

from typing import Any, Literal

from pydantic import Field

from magsag.domain.facts import Decision
from magsag.domain.manifests.base import Manifest, Part
from magsag.domain.manifests.skill import DeclaredEffect


class PolicyCase(Part):
    """One act, and what should be said of it."""

    case: str = Field(min_length=1)
    """what it shows, in a few words"""
    agent: str
    """who wants it: `agent:` or `flow:` reference"""
    on: str
    """what is wanted: a reference without wildcard"""
    args: Any = None
    """the input"""
    effect: DeclaredEffect | None = None
    """of a tool or a program in a flow; a tool without one counts as undeclared"""
    env: str | None = None
    """the environment; by default the one in force"""
    mode: str | None = None
    """the mode; by default the one in force"""
    at: str | None = None
    """the moment, ISO 8601, e.g. `2026-03-02T09:00:00Z`; by default noon on Monday, 5 January 2026, UTC"""
    count: dict[str, int] = Field(default_factory=dict)
    """what `run.count(REF)` gives; 0 for the others"""
    after: tuple[str, ...] = Field(default=(), strict=False)
    """references of which `run.after(REF)` is true"""
    expect: Decision = Field(strict=False)
    """`allow`, `ask` or `deny`"""
    rule: str | None = None
    """the rule that should decide, where that matters"""


class PolicyTest(Manifest):
    """`catalog/policies/*.test.yaml`."""

    kind: Literal["policy_test"]
    cases: tuple[PolicyCase, ...] = Field(min_length=1, strict=False)
    """what is asked, and what should come out"""
