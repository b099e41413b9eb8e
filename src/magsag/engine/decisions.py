"""What the planner of flows says, and what it is told: values, nothing is decided here."""

from collections.abc import Mapping

from magsag.domain.errors import ErrorType
from magsag.domain.facts import StepStatus
from magsag.domain.frozen import frozen
from magsag.domain.graph import Node

Error = Mapping[str, object]
"""`{type, message, details}`"""


@frozen
class StepResult:
    """How a step ended."""

    status: StepStatus
    """succeeded, failed, skipped or cancelled"""
    output: object | None = None
    error: Error | None = None
    partial: bool = False
    """it succeeded although something inside it failed: an item under `collect`, a step in a loop's body"""


@frozen
class Start:
    """Start the step. A loop gets no input: plan its body, round by round, until `loop_done`."""

    node: Node
    input: object


@frozen
class StartEach:
    """Start the step once for each of `inputs` that is not `refused`; `each_result` makes one result of all."""

    node: Node
    inputs: tuple[object, ...]
    refused: Mapping[int, Error]
    """index -> error of an item whose `with` could not be evaluated (only under `collect`)"""


@frozen
class Skip:
    """The step does not run; the planner has taken note already."""

    id: str
    why: str


@frozen
class Fail:
    """The step failed before it could start; the planner has taken note already."""

    id: str
    type: ErrorType
    message: str


@frozen
class Finish:
    """All steps have ended."""

    output: object
    partial: bool


@frozen
class Abort:
    """The flow fails with this error: nothing starts any more, what runs is let finish."""

    step: str | None
    """None: the flow's own `output` could not be evaluated"""
    error: Error


Decision = Start | StartEach | Skip | Fail | Finish | Abort


def error_of(type: ErrorType, message: str) -> Error:
    """An error as it is recorded."""
    return {"type": type.value, "message": message, "details": {}}
