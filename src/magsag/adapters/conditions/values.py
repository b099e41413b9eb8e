"""Values on their way into the library and back: only what is read goes in, only JSON comes out."""

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from magsag.adapters.conditions.numbers import Convert, conversion
from magsag.adapters.conditions.reading import Path, Reading
from magsag.domain.condition import ConditionFailed

Picks = dict[str, "Pick"]
Pick = tuple[Picks | None, Convert | None]
"""what is read below a name (None: the whole), and how its numbers are handed in"""

_PLAIN: Final = frozenset({"BOOL", "INT", "UINT", "STRING"})
_WORDS: Final = {
    "BOOL": "a boolean",
    "INT": "a number",
    "UINT": "a number",
    "DOUBLE": "a number",
    "STRING": "a string",
    "NULL": "null",
    "BYTES": "bytes",
    "TIMESTAMP": "a time",
    "DURATION": "a duration",
}


def picks(reading: Reading) -> Picks:
    """What of the names an expression needs."""
    return _branch(reading.whole, reading.guards - reading.whole, (), reading)


def pick(names: Mapping[str, object], wanted: Picks) -> dict[str, object]:
    """The names with only what is wanted below them."""
    found: dict[str, object] = {}
    for name, (inside, convert) in wanted.items():
        if name in names:
            part = names[name]
            if inside is not None:
                found[name] = pick(part, inside) if isinstance(part, dict) else part
            else:
                found[name] = part if convert is None else convert(part)
    return found


def json_of(result: Any) -> object:
    """The library's value as JSON, the fields of objects sorted. Raises ConditionFailed."""
    name = result.type().name()
    if name in _PLAIN:
        return result.plain_value()
    if name == "NULL":
        return None
    if name == "DOUBLE":
        number: float = result.plain_value()
        if math.isfinite(number):
            return number
        raise ConditionFailed(f"gives {number}, which JSON cannot say")
    if name.startswith("LIST"):
        return [json_of(part) for part in result.value()]
    if name.startswith("MAP"):
        fields = result.value()
        if not all(isinstance(key, str) for key in fields):
            raise ConditionFailed("gives an object with keys that are no strings")
        return {key: json_of(fields[key]) for key in sorted(fields)}
    raise ConditionFailed(unfit(result, "JSON: write string(...) around it"))


def unfit(result: Any, wanted: str) -> str:
    """Say why a result cannot be used."""
    name = result.type().name()
    if name == "ERROR":
        return reason(result.plain_value())
    word = "a list" if name.startswith("LIST") else "an object" if name.startswith("MAP") else _WORDS.get(name, name)
    return f"gives {word}, not {wanted}"


def reason(text: str) -> str:
    """The library's error in our words, where it is one of the common ones."""
    text = text.rpartition(" [")[0] if text.endswith("]") else text
    code, _, told = text.partition(": ")
    if code == "NOT_FOUND":
        return "there is no " + told.rpartition(" : ")[2].replace('"', "`")
    if "Iteration budget exceeded" in told:
        return "it takes more than 10,000 rounds: do such work in a skill"
    if "No matching overloads found" in told:
        return f"the types do not fit: {told.rpartition(' : ')[2]}"
    return told if code.isupper() and told else text


def _branch(whole: Collection[Path], asked: Collection[Path], at: Path, reading: Reading) -> Picks:
    branch: Picks = {}
    below = [path for path in (*whole, *asked) if path[: len(at)] == at and len(path) > len(at)]
    for name in dict.fromkeys(path[len(at)] for path in below):
        here = (*at, name)
        if here in whole:
            branch[name] = (None, conversion(reading.shapes.get(here)))
        elif any(len(path) > len(here) and path[: len(here)] == here for path in below):
            branch[name] = (_branch(whole, asked, here, reading), None)
        else:
            branch[name] = (None, _present)
    return branch


def _present(_: object) -> object:
    """What is handed in for a value of which only its being there is asked."""
    return True
