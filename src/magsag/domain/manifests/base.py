"""What all manifests share: closed models, slugs, versions, durations, retries."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from magsag.domain.errors import ErrorType

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER: Final = re.compile(r"-?[\d.]+ *[A-Za-z]|-")
"""a number with a unit that there is not, or below 0"""
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_seconds(value: Any) -> Any:
    """Read `500ms`, `20s`, `5m`, `24h`, `7d` as seconds."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        return float(match[1]) * _UNIT_SECONDS[match[2]]
    if isinstance(value, str) and _NUMBER.match(value):
        raise ValueError("a duration is not below 0, in ms, s, m, h or d: write 500ms, 20s, 5m, 24h or 7d")
    raise ValueError("a duration needs its unit: write 500ms, 20s, 5m, 24h or 7d")


Duration = Annotated[
    float,
    BeforeValidator(duration_seconds),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["500ms", "20s", "24h"]}),
]
"""a span of time, in seconds once read"""

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$", max_length=100)]
Version = Annotated[
    str, Field(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$")
]


def expression_source(value: Any) -> Any:
    """A bare `true` or `false`, which YAML reads as a truth value, is an expression too."""
    return str(value).lower() if isinstance(value, bool) else value


Expression = Annotated[
    str, BeforeValidator(expression_source), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "boolean"}]})
]
"""CEL, without a leading `=`"""


class Part(BaseModel):
    """A part of a manifest: unknown keys are refused, values are not bent to fit."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, defer_build=True)


class Manifest(Part):
    """The head of every manifest."""

    kind: str
    """chooses the schema, wherever the file stands"""
    schema_version: Literal[1] = Field(alias="schema")
    """the form of the manifest; this version of magsag reads 1"""


class Contracts(Part):
    """Names of the contracts (`contracts/<name>.schema.json`) that input and output must meet."""

    input: str | None = None
    """name of a contract: its path under `contracts/` without `.schema.json`"""
    output: str | None = None
    """name of a contract"""


class Retry(Part):
    """How often an act is tried again, and after which errors."""

    attempts: int = Field(ge=1, le=100)
    """how often in all, the first time included"""
    backoff: Duration = 0.5
    """before the second attempt; doubled each time, with jitter"""
    max_backoff: Duration = 60.0
    """the longest wait between two attempts"""
    on: tuple[Annotated[ErrorType, Field(strict=False)], ...] = Field(
        default=(ErrorType.TIMEOUT, ErrorType.RATE_LIMIT, ErrorType.UNAVAILABLE), strict=False
    )
    """error types after which it is tried again"""
