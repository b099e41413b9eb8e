"""Reads the file of a scripted model: rules that say which request gets which replies.

Decides what such a file may hold; every fault is reported with its line. Which reply a request gets is decided
in `scripted`.

    replies:
      - match: salary                       # looked for in the last message; /…/ is a regular expression
        text: The band is 100000 to 180000.
        usage: {input_tokens: 12, output_tokens: 9}
      - match: /^rank \\d+ people/
        sequence:                           # one after the other; the last one stays
          - {fault: rate_limit, retry_after: 2s}
          - {json: {best: 1}, delay: 100ms}
      - {text: I do not know.}              # without `match`: everything else
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from magsag.catalog.document import Document, Pointer
from magsag.catalog.reading import read
from magsag.catalog.references import did_you_mean
from magsag.domain.errors import ErrorType, Invalid
from magsag.domain.frozen import frozen
from magsag.domain.manifests.base import duration_seconds
from magsag.domain.values import encode_known

FAULTS: Final = (ErrorType.RATE_LIMIT, ErrorType.UNAVAILABLE, ErrorType.TIMEOUT, ErrorType.RAISED)
_REPLY: Final = ("text", "json", "fault", "retry_after", "delay", "usage")
_RULE: Final = ("match", "sequence", *_REPLY)
_TOKENS: Final = ("input_tokens", "output_tokens")


@frozen
class Reply:
    """One answer: text or a fault."""

    text: str = ""
    fault: ErrorType | None = None
    retry_after_seconds: float | None = None
    delay_seconds: float = 0.0
    tokens: tuple[int, int] | None = None
    """input and output; estimated when the file does not say"""


@frozen
class Rule:
    """Which requests are meant, and their replies in order."""

    match: re.Pattern[str]
    replies: tuple[Reply, ...]


def read_script(path: Path) -> tuple[Rule, ...]:
    """The rules of a file, in its order. Raises Invalid with every fault and its place."""
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"{path}: the scripted model's file cannot be read: {error.strerror}"
        raise Invalid(f"{what}; write it, with `replies:` in it, or correct [models] in magsag.toml") from error
    document = read(path.name, data)
    reader = _Reader(document, [f"{path}:{it.line}:{it.column}: {it.what}; {it.next}" for it in document.faults], path)
    rules = reader.rules() if not document.faults else ()
    if reader.faults:
        raise Invalid("\n".join(reader.faults))
    return rules


@dataclass(slots=True)
class _Reader:
    """Walks a document; collects faults and goes on."""

    document: Document
    faults: list[str]
    path: Path

    def rules(self) -> tuple[Rule, ...]:
        top = self._mapping(self.document.value, (), ("replies",))
        listed = top.get("replies")
        if not isinstance(listed, list) or not listed:
            self._fault(("replies",), "`replies` is a list of at least one rule", "write `replies:` and rules below it")
            return ()
        return tuple(self._rule(rule, ("replies", index)) for index, rule in enumerate(listed))

    def _rule(self, given: object, at: Pointer) -> Rule:
        rule = self._mapping(given, at, _RULE)
        sequence = rule.get("sequence")
        if "sequence" not in rule:
            return Rule(self._match(rule, at), (self._reply(rule, at),))
        if own := [key for key in _REPLY if key in rule]:
            self._fault((*at, own[0]), f"a rule has `sequence` or `{own[0]}`, not both", "move it into the sequence")
        if not isinstance(sequence, list) or not sequence:
            self._fault((*at, "sequence"), "`sequence` is a list of at least one reply", "write the replies below it")
            return Rule(self._match(rule, at), ())
        places = [(*at, "sequence", index) for index in range(len(sequence))]
        replies = (
            self._reply(self._mapping(one, place, _REPLY), place) for one, place in zip(sequence, places, strict=True)
        )
        return Rule(self._match(rule, at), tuple(replies))

    def _match(self, rule: Mapping[str, object], at: Pointer) -> re.Pattern[str]:
        given = rule.get("match", "")
        if not isinstance(given, str):
            self._fault((*at, "match"), "`match` is text, or a regular expression between slashes", "put it in quotes")
            return re.compile("")
        if len(given) < 3 or given[0] != "/" or given[-1] != "/":
            return re.compile(re.escape(given))
        try:
            return re.compile(given[1:-1], re.DOTALL | re.MULTILINE)
        except re.error as error:
            self._fault((*at, "match"), f"no regular expression: {error}", "mend it")
            return re.compile("")

    def _reply(self, given: Mapping[str, object], at: Pointer) -> Reply:
        kinds = [key for key in ("text", "json", "fault") if key in given]
        if len(kinds) != 1:
            said = "has none" if not kinds else f"has {' and '.join(kinds)}"
            self._fault(at, f"a reply has exactly one of `text`, `json` and `fault`; this one {said}", "choose one")
            return Reply()
        if kinds == ["fault"]:
            return Reply(
                fault=self._one_of(given["fault"], (*at, "fault")),
                retry_after_seconds=self._seconds(given, "retry_after", at),
                delay_seconds=self._seconds(given, "delay", at) or 0.0,
            )
        if "retry_after" in given:
            self._fault((*at, "retry_after"), "`retry_after` belongs to a fault", "remove it")
        text = given["text"] if kinds == ["text"] else encode_known(given["json"]).decode()
        if not isinstance(text, str):
            self._fault((*at, "text"), "`text` is text", "put it in quotes, or write `json:`")
            text = ""
        return Reply(text, None, None, self._seconds(given, "delay", at) or 0.0, self._tokens(given, at))

    def _one_of(self, given: object, at: Pointer) -> ErrorType:
        if given in FAULTS:
            return ErrorType(str(given))
        names = [str(fault) for fault in FAULTS]
        fix = did_you_mean(str(given), names) or f"the faults are {', '.join(names)}"
        self._fault(at, f"there is no fault {given!r}", fix)
        return ErrorType.UNAVAILABLE

    def _seconds(self, given: Mapping[str, object], key: str, at: Pointer) -> float | None:
        if key not in given:
            return None
        try:
            return float(duration_seconds(given[key]))
        except ValueError as error:
            self._fault((*at, key), f"`{key}`: {given[key]!r} is no duration", str(error))
            return None

    def _tokens(self, given: Mapping[str, object], at: Pointer) -> tuple[int, int] | None:
        if "usage" not in given:
            return None
        usage = self._mapping(given["usage"], (*at, "usage"), _TOKENS)
        counts = [usage.get(name, 0) for name in _TOKENS]
        if all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
            return (int(str(counts[0])), int(str(counts[1])))
        self._fault((*at, "usage"), "token counts are whole numbers from 0", "mend them")
        return None

    def _mapping(self, given: object, at: Pointer, known: tuple[str, ...]) -> dict[str, object]:
        if not isinstance(given, dict):
            self._fault(at, f"here stands a mapping with {', '.join(known)}", "write one")
            return {}
        for key in given:
            if key not in known:
                fix = did_you_mean(key, list(known)) or f"the keys are {', '.join(known)}"
                self._fault((*at, key), f"there is no key `{key}` here", fix, key=True)
        return given

    def _fault(self, at: Pointer, what: str, fix: str, *, key: bool = False) -> None:
        line, column = self.document.key_place(at) if key else self.document.place(at)
        self.faults.append(f"{self.path}:{line}:{column}: {what}; {fix}")
