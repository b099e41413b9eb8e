"""A model that answers from a file: for tests, demonstrations and the first day without an account.

The same request gets the same reply, whatever else is asked meanwhile: a position in a `sequence` is counted for
each content of a request by itself. It is counted in this process: after a restart the replies begin again, which
is what a repeated request, whose answer was lost, wants. No rule that fits is an error, never an invented answer.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from magsag.adapters.providers.script import Reply, read_script
from magsag.domain.errors import ErrorType, Retryable, StepFailed
from magsag.domain.values import encode_known
from magsag.ports.model import ModelReply

_RETRYABLE: Final = frozenset({ErrorType.RATE_LIMIT, ErrorType.UNAVAILABLE, ErrorType.TIMEOUT})


class ScriptedProvider:
    """`scripted:FILE` in `[models]`."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises Invalid with every fault and its line."""
        self._path = path
        self._rules = read_script(path)
        self._asked: Counter[tuple[int, bytes]] = Counter()

    @property
    def name(self) -> str:
        return "scripted"

    async def complete(self, model: str, request: Mapping[str, Any]) -> ModelReply:
        """Answer by the first rule that fits the last message.

        Raises StepFailed(unavailable) when none does, and what the rule says where it says a fault.
        """
        prompt = _last_message(request)
        reply = self._reply(prompt, request)
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        if reply.fault is not None:
            message = f"{self._path.name} says {reply.fault} here"
            if reply.fault in _RETRYABLE:
                raise Retryable(reply.fault, message, reply.retry_after_seconds)
            raise StepFailed(reply.fault, message)
        asked, answered = reply.tokens or (_tokens(_all_text(request)), _tokens(reply.text))
        return ModelReply(reply.text, model, self.name, asked, answered)

    def _reply(self, prompt: str, request: Mapping[str, Any]) -> Reply:
        for index, rule in enumerate(self._rules):
            if rule.match.search(prompt):
                content = index, encode_known(request)
                position = min(self._asked[content], len(rule.replies) - 1)
                self._asked[content] += 1
                return rule.replies[position]
        shown = prompt if len(prompt) <= 120 else f"{prompt[:117]}..."
        raise StepFailed(
            ErrorType.UNAVAILABLE, f"{self._path} has no reply to {shown!r}; add a rule, or one without `match`"
        )


def _last_message(request: Mapping[str, Any]) -> str:
    messages = request.get("messages")
    return _text(messages[-1]) if isinstance(messages, list) and messages else ""


def _all_text(request: Mapping[str, Any]) -> str:
    messages = request.get("messages")
    return "".join(_text(message) for message in messages) if isinstance(messages, list) else ""


def _text(message: object) -> str:
    """A message's content: text, or parts of which some have text."""
    content = message.get("content", "") if isinstance(message, Mapping) else message
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content)


def _tokens(text: str) -> int:
    """A rough count, the same on every machine: four characters make a token."""
    return -(-len(text) // 4)
