"""What a request to a model asks for, as far as its price is concerned. Pure.

Known are the keys that change nothing about how many tokens there are and what they cost, and those that may make them
dearer; a request with any other is open: nothing bounds what it costs.
"""

from collections.abc import Mapping
from typing import Any, Final

from magsag.domain.price import Asking

_PLAIN: Final = frozenset(
    {"messages", "max_tokens", "system", "temperature", "top_p", "top_k", "seed", "stop", "stop_sequences"}
    | {"response_format"}
)
_DEAR: Final = frozenset({"service_tier", "speed", "cache_control", "prompt_cache_key", "prompt_cache_retention"})
_MESSAGE: Final = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_FUNCTIONS: Final = frozenset({"tool_choice", "parallel_tool_calls"})


def asking_of(request: object) -> Asking:
    """Plain, dear or open."""
    if not isinstance(request, Mapping):
        return Asking.OPEN
    found = {_of_key(key, value) for key, value in request.items()}
    return Asking.OPEN if Asking.OPEN in found else Asking.DEAR if Asking.DEAR in found else Asking.PLAIN


def _of_key(key: str, value: object) -> Asking:
    if key in _DEAR:
        return Asking.DEAR
    match key:
        case "messages":
            return _dearest(map(_of_message, value)) if isinstance(value, list | tuple) else Asking.OPEN
        case "system":
            return _of_content(value)
        case "tools":
            return Asking.PLAIN if _are_functions(value) else Asking.OPEN
    return Asking.PLAIN if key in _PLAIN | _FUNCTIONS else Asking.OPEN


def _of_message(message: object) -> Asking:
    if not isinstance(message, Mapping) or not set(message) <= _MESSAGE | _DEAR:
        return Asking.OPEN
    own = Asking.DEAR if _DEAR & set(message) else Asking.PLAIN
    return _dearest((own, _of_content(message.get("content"))))


def _of_content(content: object) -> Asking:
    """Text, or parts of text."""
    if content is None or isinstance(content, str):
        return Asking.PLAIN
    return _dearest(map(_of_part, content)) if isinstance(content, list | tuple) else Asking.OPEN


def _of_part(part: object) -> Asking:
    if isinstance(part, str):
        return Asking.PLAIN
    if not isinstance(part, Mapping) or part.get("type", "text") != "text" or not set(part) <= {"type", "text"} | _DEAR:
        return Asking.OPEN
    return Asking.DEAR if _DEAR & set(part) else Asking.PLAIN


def _are_functions(tools: object) -> bool:
    """Functions of the caller's own; what a provider runs itself has a price of its own."""
    return isinstance(tools, list | tuple) and all(
        isinstance(tool, Mapping) and tool.get("type", "function") in ("function", "custom") for tool in tools
    )


def _dearest(found: Any) -> Asking:
    seen = set(found)
    return next((one for one in (Asking.OPEN, Asking.DEAR) if one in seen), Asking.PLAIN)
