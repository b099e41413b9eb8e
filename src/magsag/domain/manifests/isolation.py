"""How far an act is kept apart from the process that runs it, and what it may use up there."""

import re
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from magsag.domain.manifests.base import Duration, Part

_SIZE: Final = re.compile(r"(\d+)(KB|MB|GB)")
_UNIT_BYTES: Final = {"KB": 1024, "MB": 1024**2, "GB": 1024**3}


class Isolation(StrEnum):
    """Where an act happens."""

    IN_PROCESS = "in_process"
    """in the process that drives the run"""
    PROCESS = "process"
    """in one of its own: limits, its own process group, few variables"""
    SANDBOX = "sandbox"
    """the same, and the machine keeps it to the workspace and off the network"""


def size_bytes(value: Any) -> Any:
    """Read `64KB`, `512MB`, `2GB` as bytes; one of these is 1024 of the one before."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return int(match[1]) * _UNIT_BYTES[match[2]]
    raise ValueError("a size needs its unit: write 64KB, 512MB or 2GB")


Size = Annotated[
    int,
    BeforeValidator(size_bytes),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(KB|MB|GB)$", "examples": ["512MB"]}),
]
"""an amount of memory or of disk, in bytes once read"""

_NOT_FOR_ACTS: Final = ("MAGSAG_", "AGDD_", "PG", "LD_", "DYLD_", "PYTHON")
"""how variables begin that open the ledger, show who somebody is, or change which code is loaded"""


def _for_acts(name: str) -> str:
    if name.upper().startswith(_NOT_FOR_ACTS):
        raise ValueError(f"{name} is no variable for acts: it opens the ledger, or changes which code is loaded")
    return name


VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200), AfterValidator(_for_acts)]


class Resources(Part):
    """What an act in a process of its own may use up; the system ends or refuses what goes beyond."""

    cpu: Duration = 3600.0
    """processor time of each of its processes"""
    memory: Size = 4 * 1024**3
    """address space of each of its processes"""
    files: int = Field(default=1024, ge=16, le=1_000_000)
    """how many it may have open at once"""
    processes: int = Field(default=256, ge=1, le=100_000)
    """how many processes and threads it may add to those of its user"""
    file_size: Size = 1024**3
    """the largest file that it may write"""
