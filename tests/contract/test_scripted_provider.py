"""The scripted provider behind the model port: deterministic, named, honest about what it does not know."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.providers.scripted import ScriptedProvider
from magsag.domain.errors import ErrorType, Retryable, StepFailed
from magsag.ports.model import ModelProvider, ModelReply

SCRIPT = """\
replies:
  - match: band
    sequence:
      - {fault: rate_limit, retry_after: 2s}
      - {text: first, usage: {input_tokens: 7, output_tokens: 3}}
      - {text: last}
  - {match: broken, fault: raised}
  - {match: /^count (one|two)$/, json: {n: 1}}
"""


@pytest.fixture
def provider(tmp_path: Path) -> ModelProvider:
    (tmp_path / "replies.yaml").write_text(SCRIPT, encoding="utf-8")
    return ScriptedProvider(tmp_path / "replies.yaml")


def ask(provider: ModelProvider, content: Any, **more: Any) -> ModelReply:
    request = {"messages": [{"role": "user", "content": content}], **more}
    return asyncio.run(provider.complete("replies.yaml", request))


def test_it_names_itself_and_its_file(provider: ModelProvider) -> None:
    reply = ask(provider, "count one")
    assert (reply.text, reply.provider, reply.model) == ('{"n":1}', "scripted", "replies.yaml")
    assert (reply.input_tokens, reply.output_tokens) == (3, 2)


def test_a_sequence_goes_on_and_its_last_reply_stays(provider: ModelProvider) -> None:
    with pytest.raises(Retryable) as caught:
        ask(provider, "the band?")
    assert (caught.value.type, caught.value.retry_after_seconds) == (ErrorType.RATE_LIMIT, 2.0)
    replies = [ask(provider, "the band?") for _ in range(3)]
    assert [reply.text for reply in replies] == ["first", "last", "last"]
    assert (replies[0].input_tokens, replies[0].output_tokens) == (7, 3)


def test_each_content_has_a_position_of_its_own(provider: ModelProvider) -> None:
    for content in ("band a", "band b"):
        with pytest.raises(Retryable):
            ask(provider, content)
    assert [ask(provider, content).text for content in ("band b", "band a")] == ["first", "first"]


def test_a_request_that_no_rule_fits_fails_and_names_the_file(provider: ModelProvider) -> None:
    with pytest.raises(StepFailed, match=r"replies\.yaml has no reply to 'hello'") as caught:
        ask(provider, "hello")
    assert caught.value.type is ErrorType.UNAVAILABLE


def test_a_fault_that_repeating_does_not_mend_is_final(provider: ModelProvider) -> None:
    with pytest.raises(StepFailed) as caught:
        ask(provider, "broken")
    assert caught.value.type is ErrorType.RAISED


def test_only_the_last_message_is_matched_and_its_parts_are_read(provider: ModelProvider) -> None:
    messages = [
        {"role": "user", "content": "band"},
        {"role": "user", "content": [{"type": "text", "text": "count two"}]},
    ]
    reply = asyncio.run(provider.complete("m", {"messages": messages}))
    assert reply.text == '{"n":1}'


def test_two_providers_of_one_file_give_the_same_answers(provider: ModelProvider, tmp_path: Path) -> None:
    other = ScriptedProvider(tmp_path / "replies.yaml")
    assert ask(provider, "count one") == ask(other, "count one")
