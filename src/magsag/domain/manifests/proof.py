"""The manifest of proofs: what stands in for acts that change something while a run is killed again and again."""

from typing import Any, Literal

from pydantic import Field

from magsag.domain.manifests.base import Manifest, Part


class StandIn(Part):
    """One act that is not performed in a proof: a recording sink on this machine is called in its place."""

    for_: str = Field(alias="for")
    """what it stands in for: `skill:slug`, with a version range or without, `shell:STEP`, `model:ALIAS`"""
    output: Any = None
    """what the act gives; values that start with `=` are CEL over `input`, `key` and `run`. Without it: an example that
    fits the output contract"""


class ToldSignal(Part):
    """What a run of a proof is told when it waits for an event."""

    event: str = Field(min_length=1)
    """its name in `ctx.wait_for`"""
    payload: Any = None
    """what the wait gives; the first wait gets the first payload of its event, and the last one stands for all later"""


class Proof(Manifest):
    """`catalog/proof.yaml`."""

    kind: Literal["proof"]
    stand_ins: tuple[StandIn, ...] = Field(default=(), strict=False)
    """of acts that change something, and of reads that shall not be asked"""
    signals: tuple[ToldSignal, ...] = Field(default=(), strict=False)
    """which nobody sends in a proof"""
