"""How a secret is recognised: properties over every encoding that is promised, and what is not taken for one."""

import base64
import html
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magsag.domain.disguises import forms
from magsag.domain.errors import Retryable, StepFailed
from magsag.domain.secret import reference_of
from magsag.services.recording.masking import Mask

Disguise = Callable[[str], str]
DISGUISES: Final[dict[str, Disguise]] = {
    "as it is": lambda s: s,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64, one byte before": lambda s: base64.b64encode(b"x" + s.encode() + b"yz").decode(),
    "base64, two bytes before": lambda s: base64.b64encode(b"xx" + s.encode() + b"y").decode(),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(b"u:" + s.encode()).decode(),
    "base64 in lines": lambda s: base64.encodebytes(b"some words before it, " * 4 + s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "URL": lambda s: quote(s, safe=""),
    "URL, lower case": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "form": quote_plus,
    "URL of a URL": lambda s: quote(quote(s, safe=""), safe=""),
    "JSON": lambda s: json.dumps({"a": s}),
    "JSON, as it is": lambda s: json.dumps({"a": s}, ensure_ascii=False),
    "JSON in JSON": lambda s: json.dumps({"a": json.dumps({"b": s})}),
    "every letter escaped": lambda s: "".join(rf"\u{unit:04x}" for unit in memoryview(s.encode("utf-16-le")).cast("H")),
    "repr": repr,
    "bytes": lambda s: repr(s.encode()),
    "HTML": html.escape,
}
SECRETS: Final = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=8, max_size=40)


@pytest.mark.parametrize("name", DISGUISES)
@settings(max_examples=30)
@given(secret=SECRETS, before=st.text(max_size=5), after=st.text(max_size=5))
def test_a_secret_is_seen_in_every_disguise_and_nothing_of_it_stays(
    name: str, secret: str, before: str, after: str
) -> None:
    mask = Mask()
    mask.add("TOKEN", secret)
    disguised = DISGUISES[name](secret)
    said = mask.clean(f"{before} {disguised} {after}")
    assert "[secret TOKEN]" in said
    assert disguised not in said or disguised in "[secret TOKEN]"


@given(secret=SECRETS, text=st.text(st.characters(codec="ascii"), max_size=200))
def test_a_text_without_it_stays_as_it_is(secret: str, text: str) -> None:
    mask = Mask()
    mask.add("TOKEN", secret + "\u2603 a snowman that no such text holds")
    assert mask.clean(text) == text


def test_lines_of_a_secret_are_secrets_and_short_ones_are_not() -> None:
    found = forms("-----BEGIN KEY-----\nMIIEvQIBADANBg\nab\n")
    assert "MIIEvQIBADANBg" in found
    assert "ab" not in found


def test_values_are_cleaned_in_keys_and_depth_and_found_by_pointer() -> None:
    mask = Mask()
    mask.add("TOKEN", "s3cret-value")
    value = {"a": [{"b": "x s3cret-value y"}], "s3cret-value": 1, "n": 1.5, "t": True, "none": None}
    assert mask.cleaned(value) == {
        "a": [{"b": "x [secret TOKEN] y"}], "[secret TOKEN]": 1, "n": 1.5, "t": True, "none": None
    }  # fmt: skip
    leak = mask.find({"a": [{"b": "x s3cret-value y"}]})
    assert leak is not None
    assert leak.pointer == "/a/0/b"
    harmless = {"a": ["nothing"]}
    assert mask.cleaned(harmless) is harmless


def test_errors_are_softened_with_their_details() -> None:
    mask = Mask()
    mask.add("TOKEN", "s3cret-value")
    soft = mask.softened(StepFailed("raised", "no: s3cret-value", {"body": ["s3cret-value"]}, "a#1"))
    assert (str(soft), getattr(soft, "details", None)) == (
        "step a#1: raised: no: [secret TOKEN]",
        {"body": ["[secret TOKEN]"]},
    )
    again = mask.softened(Retryable("rate_limit", "s3cret-value", retry_after_seconds=2))
    assert isinstance(again, Retryable)
    assert (again.message, again.retry_after_seconds) == ("[secret TOKEN]", 2)
    harmless = StepFailed("raised", "no")
    assert mask.softened(harmless) is harmless


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("env:MAIL_TOKEN", "env:MAIL_TOKEN"),
        ("file:/run/secrets/mail token", "file:/run/secrets/mail token"),
        ("keyring:mail/the/token?", "keyring:mail/the/token"),
    ],
)
def test_references_are_read(text: str, said: str) -> None:
    found = reference_of(text)
    assert (str(found), found.is_optional) == (said, text.endswith("?"))


@pytest.mark.parametrize(
    "text", ["", "env:", "env:1X", "env:A-B", "file:", "keyring:mail", "hunter2-hunter2", "vault:x"]
)
def test_what_is_no_reference_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a secret is named by where it is found") as caught:
        reference_of(text)
    assert not text or "hunter2" not in str(caught.value)
