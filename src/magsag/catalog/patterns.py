"""What rules name: a reference, one tool, or a glob. A star must be written to be meant, and it stands for any text."""

import re
from typing import Final

from magsag.catalog.references import ANY_VERSION, BadReference, Reference, did_you_mean
from magsag.catalog.versions import Range
from magsag.domain.frozen import frozen
from magsag.domain.verdicts import QUESTION

TARGETS: Final = ("agent", "skill", "flow", "model", "shell", "call", "tool", "event", "approval")
"""kinds of what an act can be about"""
_EVENT: Final = re.compile(r"event:[^@*\s]+")
_TOOL: Final = re.compile(r"tool:[^/@*\s]+/[^@*\s]+")
_GLOB: Final = re.compile(r"(\*|([a-z]+):[^@\s]+)(?:@(.*))?")


@frozen
class Exact:
    """One target that has no versions: `tool:server/name`, `sleep`."""

    exact: str

    @property
    def prefix(self) -> str:
        return self.exact

    def matches(self, target: str) -> bool:
        """Whether that target is meant."""
        return target == self.exact


@frozen
class Glob:
    """Every reference that fits a text with wildcards, in some versions."""

    text: str
    """without the range"""
    range: Range
    form: re.Pattern[str]

    @property
    def exact(self) -> None:
        return None

    @property
    def prefix(self) -> str:
        return self.text.partition("*")[0]

    def matches(self, target: str) -> bool:
        """Whether an exact reference is meant."""
        name, _, version = target.partition("@")
        return self.form.fullmatch(name) is not None and self.range.admits(version)


Named = Reference | Exact | Glob


def pattern(text: str) -> Named:
    """Read what a rule names. Raises BadReference."""
    if "*" in text:
        return _glob(text)
    if _TOOL.fullmatch(text) or _EVENT.fullmatch(text) or text == QUESTION:
        return Exact(text)
    if text.startswith("approval:"):
        raise BadReference(f"{text!r} names no question", f"write {QUESTION}, what programs ask people")
    if text.startswith("tool:"):
        raise BadReference(f"{text!r} names no tool", "write tool:server/name, or a glob such as tool:server/*")
    reference = Reference.parse(text)
    if reference.kind not in TARGETS:
        raise BadReference(f"a rule cannot name {text!r}", "rules name " + ", ".join(f"{one}s" for one in TARGETS))
    return reference


def _glob(text: str) -> Glob:
    match = _GLOB.fullmatch(text)
    if match is None:
        raise BadReference(f"{text!r} is no glob", "write * or kind:text with stars, e.g. skill:send-*")
    name, kind, range_text = match.groups()
    if kind is not None and kind not in TARGETS:
        fix = did_you_mean(kind, list(TARGETS)) or "the kinds are " + ", ".join(TARGETS)
        raise BadReference(f"{text!r} has the unknown kind {kind!r}", fix)
    try:
        range = ANY_VERSION if range_text is None else Range.parse(range_text)
    except ValueError as error:
        raise BadReference(f"the version range of {text!r} cannot be read", str(error)) from error
    form = re.compile(".*".join(re.escape(part) for part in name.split("*")), re.DOTALL)
    return Glob(name, range, form)
