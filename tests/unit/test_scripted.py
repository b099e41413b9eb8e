"""The file of a scripted model: what it may say, and how faults are reported."""

from pathlib import Path

import pytest

from magsag.adapters.providers.script import read_script
from magsag.domain.errors import ErrorType, Invalid


def script(folder: Path, text: str) -> Path:
    path = folder / "replies.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        read_script(script(folder, text))
    return [line.removeprefix(f"{folder}/replies.yaml:") for line in str(caught.value).splitlines()]


def test_rules_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    fault = "{fault: rate_limit, retry_after: 2s}"
    text = f"replies:\n- {{match: a, text: x}}\n- match: /b+/\n  sequence: [{fault}, {{json: [1]}}]\n"
    first, second = read_script(script(tmp_path, text))
    assert first.match.search("cab")
    assert first.replies[0].text == "x"
    assert second.replies[0].fault is ErrorType.RATE_LIMIT
    assert second.replies[0].retry_after_seconds == 2.0
    assert second.replies[1].text == "[1]"


def test_text_is_matched_literally_and_slashes_make_an_expression(tmp_path: Path) -> None:
    plain, expression = read_script(script(tmp_path, "replies: [{match: a.c, text: x}, {match: /a.c/, text: y}]"))
    assert not plain.match.search("abc")
    assert expression.match.search("abc")


def test_every_fault_is_reported_with_its_place(tmp_path: Path) -> None:
    text = """\
replies:
  - {match: a, txt: x}
  - {match: /(/, text: x}
  - {fault: rate_limits}
  - {text: x, json: {}}
  - sequence: []
  - {text: x, delay: 3}
  - {text: x, usage: {input_tokens: -1}}
"""
    found = faults(tmp_path, text)
    assert [line.partition(": ")[0] for line in found] == ["2:16", "2:5", "3:13", "4:13", "5:5", "6:15", "7:22", "8:22"]
    assert found[0].endswith('there is no key `txt` here; did you mean "text"?')
    assert found[3].endswith("""there is no fault 'rate_limits'; did you mean "rate_limit"?""")


@pytest.mark.parametrize("text", ["", "replies: []", "[]", "replies: {a: b}", "replies: [1]", "replies:\n\t- a"])
def test_what_is_no_script_is_refused(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.yaml: the scripted model's file cannot be read: .*; write it"):
        read_script(tmp_path / "none.yaml")
