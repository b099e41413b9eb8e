"""The evaluation manifest: pure metrics over an agent's input or output."""

from typing import Literal

from pydantic import Field

from magsag.domain.manifests.base import Manifest, Part, Slug, Version


class Metric(Part):
    """One metric: a function of that name in the entrypoint, `(payload) -> {score, details}`."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """name of the function"""
    weight: float = Field(default=1.0, ge=0)
    """its share in the evaluation's score"""
    threshold: float = Field(ge=0, le=1)
    """the least score that passes"""
    fail_on_threshold: bool = False
    """a score below the threshold fails the run"""


class Eval(Manifest):
    """`catalog/evals/<slug>/eval.yaml`."""

    kind: Literal["eval"]
    slug: Slug
    """its name in references: small letters, digits and dashes"""
    version: Version
    """three numbers, e.g. `0.1.0`; several versions may stand side by side in different folders"""
    description: str = ""
    """what it is for, in a sentence or two"""
    on: tuple[Literal["input", "output"], ...] = Field(min_length=1, strict=False)
    """what of an agent's run is scored"""
    entrypoint: str
    """a Python file beside the manifest with one pure function per metric"""
    metrics: tuple[Metric, ...] = Field(min_length=1, strict=False)
    """what is measured"""
    deprecated: str | None = None
    """why not to use it any more, and what instead"""
