"""The evaluation manifest: pure metrics over an agent's input or output."""

from typing import Literal

from pydantic import Field

from magsag.domain.manifests.base import Manifest, Part, Slug, Version


class Metric(Part):
    """One metric: a function of that name in the entrypoint, `(payload) -> {score, details}`."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    weight: float = Field(default=1.0, ge=0, strict=False)
    threshold: float = Field(ge=0, le=1, strict=False)
    fail_on_threshold: bool = False
    """a score below the threshold fails the run"""


class Eval(Manifest):
    """`catalog/evals/<slug>/eval.yaml`."""

    kind: Literal["eval"]
    slug: Slug
    version: Version
    description: str = ""
    on: tuple[Literal["input", "output"], ...] = Field(min_length=1, strict=False)
    entrypoint: str
    """a Python file beside the manifest with one pure function per metric"""
    metrics: tuple[Metric, ...] = Field(min_length=1, strict=False)
    deprecated: str | None = None
