"""How a secret is recognised: properties over every encoding that is promised, and what is not taken for one."""

import asyncio
import base64
import html
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magsag.domain.errors import Retryable, StepFailed
from magsag.domain.secret import reference_of
from magsag.services.recording.masking import RESOLVED, Mask
from magsag.services.steps.cleaning import cleaned

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


LINE: Final = "MIIEvQIBADANBgkqhkiG9w0BAQ="
ACCOUNT: Final = {
    "type": "service_account",
    "private_key_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "private_key": f"-----BEGIN PRIVATE KEY-----\n{LINE}\n-----END PRIVATE KEY-----\n",
    "client_email": "robot@some-project.iam.example.com",
    "auth_uri": "https://accounts.example.com/o/oauth2/auth",
    "hook": "https://hooks.example.com/services/T0123/kq83nf7ahs8dh3k1",
    "universe_domain": "example.com",
}


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (f"-----BEGIN KEY-----\nProc-Type: 4,ENCRYPTED\n\n{LINE}\nab\n-----END KEY-----", LINE),
        (json.dumps(ACCOUNT, indent=2), LINE),
        (json.dumps(ACCOUNT, indent=2), ACCOUNT["private_key_id"]),
        (json.dumps(ACCOUNT, indent=2), ACCOUNT["hook"]),
        ("USER=somebody\nexport TOKEN='kq83nf7ahs8dh3k1'\n", "kq83nf7ahs8dh3k1"),
        (f"{LINE[:14]}\n{LINE}", LINE),
    ],
)
def test_lines_of_a_secret_that_could_be_one_are_secrets(secret: str, text: str) -> None:
    mask = Mask()
    mask.add("TOKEN", secret)
    assert text not in mask.clean(f"it says {text}")


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        *(f'  "{name}": "{ACCOUNT[name]}",' for name in ("type", "client_email", "auth_uri", "universe_domain")),
        "================",
    ],
)
def test_what_other_texts_say_as_well_is_no_secret(text: str) -> None:
    mask = Mask()
    mask.add("TOKEN", f"{json.dumps(ACCOUNT, indent=2)}\n-----BEGIN PRIVATE KEY-----\n{LINE}\n================\nab\n")
    assert mask.clean(text) == text


@pytest.mark.parametrize("number", [73519264, -73519264, 1073519264, 73519264.0, 10**4000 + 73519264])
def test_a_secret_of_digits_is_seen_in_numbers(number: float) -> None:
    mask = Mask()
    mask.add("PIN", "73519264")
    leak = mask.find({"a": [True, number]})
    assert leak is not None
    assert leak.pointer == "/a/1"
    assert "[secret PIN]" in mask.cleaned([number])[0]
    assert mask.cleaned([7351926, 1.5, "73519264"]) == [7351926, 1.5, "[secret PIN]"]


def test_keys_that_read_the_same_without_their_secrets_keep_their_values() -> None:
    mask = Mask()
    mask.add("TOKEN", "s3cret-value")
    hidden = b"s3cret-value".hex()
    assert mask.cleaned({"s3cret-value": 1, hidden: 2, "[secret TOKEN]": 3, "b": 4}) == {
        "[secret TOKEN]": 1, "[secret TOKEN] (2)": 2, "[secret TOKEN] (3)": 3, "b": 4
    }  # fmt: skip


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


def deep() -> list[object]:
    value: list[object] = ["s3cret-value"]
    for _ in range(3000):
        value = [value]
    return value


def round_and_round() -> list[object]:
    value: list[object] = ["s3cret-value"]
    value.extend([value, value])
    return value


@pytest.mark.parametrize("make", [deep, round_and_round])
def test_a_value_that_no_record_holds_is_refused_and_not_walked_for_ever(make: Callable[[], list[object]]) -> None:
    mask = Mask()
    mask.add("TOKEN", "s3cret-value")
    with pytest.raises(StepFailed, match="nested deeper than 200 levels") as caught:
        mask.cleaned(make())
    assert caught.value.type == "invalid_value"
    soft = mask.softened(StepFailed("raised", "no: s3cret-value", {"body": make()}))
    assert (soft.message, getattr(soft, "details", None)) == ("no: [secret TOKEN]", {})


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


def test_texts_beside_one_another_are_no_text_together() -> None:
    mask = Mask()
    mask.add("TOKEN", "%41-first&second")
    for first, second in (("%41-first", "&second"), ("%", "41-first&second"), ("A-fi", "rst&second")):
        assert mask.find({"a": first, second: 1, "b": [first, second]}) is None
    assert mask.find([{"a": "x"}] * 3 + [{"b": "%2541-first%26second"}]) is not None
    assert mask.find([{"a": "x"}] * 3 + [{"b": "%41-first&second"}]) == ("TOKEN", "/3/b")


def test_a_long_value_is_looked_into_beside_the_loop() -> None:
    RESOLVED.add("LONG", secret := "looked-for-in-long-values")

    async def cleaning(value: object) -> tuple[object, bool]:
        others = list[int]()
        asyncio.get_running_loop().call_soon(others.append, 1)
        return await cleaned(value), bool(others)

    rows = [{"id": n, "name": "a name"} for n in range(2_000)]
    assert asyncio.run(cleaning([*rows, secret])) == ([*rows, "[secret LONG]"], True)
    assert asyncio.run(cleaning(text := "a long text " * 5_000)) == (text, True)
    assert asyncio.run(cleaning({"short": secret})) == ({"short": "[secret LONG]"}, False)
