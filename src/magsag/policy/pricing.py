"""What a request to a model asks for, as far as its price is concerned. Pure.

Known are the keys that change nothing about how many tokens there are and what they cost, and those that may make them
dearer; a request with any other is open: nothing bounds what it costs.
"""

from collections.abc import Mapping, Set
from typing import Any, Final

from magsag.domain.price import Asking

_PLAIN: Final = frozenset(
    {"messages", "max_tokens", "system", "temperature", "top_p", "top_k", "seed", "stop", "stop_sequences"}
    | {"response_format"}
)
_DEAR: Final = frozenset({"service_tier", "speed", "cache_control", "prompt_cache_key", "prompt_cache_retention"})
_MESSAGE: Final = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_FUNCTIONS: Final = frozenset({"tool_choice", "parallel_tool_calls"})
_TOOL: Final = frozenset({"type", "function", "custom", "name", "description", "parameters", "input_schema", "strict"})
_CALL: Final = frozenset({"id", "index", "type", "function", "custom"})
_OF_ONE: Final = frozenset({"name", "description", "parameters", "strict", "format", "arguments", "input"})
"""of a function, or of a call of it"""


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
            return _of_functions(value, _TOOL)
    return Asking.PLAIN if key in _PLAIN | _FUNCTIONS else Asking.OPEN


def _of_message(message: object) -> Asking:
    if not isinstance(message, Mapping):
        return Asking.OPEN
    called = _of_functions(message.get("tool_calls") or (), _CALL)
    return _dearest((_of_keys(message, _MESSAGE), _of_content(message.get("content")), called))


def _of_content(content: object) -> Asking:
    """Text, or parts of text."""
    if content is None or isinstance(content, str):
        return Asking.PLAIN
    return _dearest(map(_of_part, content)) if isinstance(content, list | tuple) else Asking.OPEN


def _of_part(part: object) -> Asking:
    if isinstance(part, str):
        return Asking.PLAIN
    if not isinstance(part, Mapping) or part.get("type", "text") != "text":
        return Asking.OPEN
    return _of_keys(part, {"type", "text"})


def _of_functions(tools: object, known: Set[str]) -> Asking:
    """Functions of the caller's own, or calls of them; what a provider runs itself has a price of its own."""
    return _dearest(_of_function(tool, known) for tool in tools) if isinstance(tools, list | tuple) else Asking.OPEN


def _of_function(tool: object, known: Set[str]) -> Asking:
    if not isinstance(tool, Mapping) or tool.get("type", "function") not in ("function", "custom"):
        return Asking.OPEN
    return _dearest(
        (_of_keys(tool, known), *(_of_keys(tool.get(one) or {}, _OF_ONE) for one in ("function", "custom")))
    )


def _of_keys(given: object, known: Set[str]) -> Asking:
    """Dear by a term that is known to be; open by a key that nobody knows."""
    if not isinstance(given, Mapping) or not set(given) <= known | _DEAR:
        return Asking.OPEN
    return Asking.DEAR if _DEAR & set(given) else Asking.PLAIN


def _dearest(found: Any) -> Asking:
    seen = set(found)
    return next((one for one in (Asking.OPEN, Asking.DEAR) if one in seen), Asking.PLAIN)
