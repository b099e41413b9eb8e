"""Settings that are tables of their own (`[prices]`, `[providers]`): read by a model, its faults in our words.

Every fault names its dotted key, what stands there, and what to write instead.
"""

from typing import TYPE_CHECKING, Any, Final, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel

_TYPES: Final = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


class WrongPart(ValueError):
    """What is wrong inside a value: for each fault the key below it, and the rest of a sentence."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}{said}" for key, said in faults))
        self.faults = faults


def read_part(model: "type[BaseModel]", given: object, whole: str) -> object:
    """The value as the model has it; `whole` says what to write instead of it. Raises WrongPart, ValueError."""
    if not isinstance(given, dict):
        raise ValueError(f"is {shown(given)}; {whole}")
    from pydantic import ValidationError

    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise WrongPart([_fault(model, dict(one), whole) for one in error.errors()]) from None


def _fault(model: "type[BaseModel]", error: dict[str, Any], whole: str) -> tuple[str, str]:
    place = [str(part) for part in error["loc"]]
    return ".".join(place), _said(model, place, error, whole)


def _said(model: "type[BaseModel]", place: list[str], error: dict[str, Any], whole: str) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx") or {}
    if kind == "missing":
        return f" is missing; {whole if len(place) == 1 else _known(model, place[:-1])}"
    if kind == "extra_forbidden":
        return f" is no key of this place; {_known(model, place[:-1])}"
    if kind == "value_error":
        return f": {context['error']}"
    if kind in _TYPES:
        return f" is {shown(given)}; write {_TYPES[kind]}"
    if kind in _BOUNDS:
        key, how = _BOUNDS[kind]
        return f" is {shown(given)}; write {how} {context[key]}"
    return f" is {shown(given)}; {_known(model, place) or whole}"


def _known(model: "type[BaseModel]", place: list[str]) -> str:
    """The keys that a table has; empty for what is none."""
    for name in place:
        field = model.model_fields.get(name)
        inner = [one for one in get_args(field.annotation) if hasattr(one, "model_fields")] if field else []
        if not inner:
            return ""
        model = inner[0]
    names = list(model.model_fields)
    return f"the keys here are {', '.join(names)}" if len(names) > 1 else f"the key here is {names[0]}"


def shown(given: object) -> str:
    """A value as a message has it."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, dict):
        return "a table"
    return f'"{given}"' if isinstance(given, str) else str(given)
