"""Input as JSON: what is read, and how what is not is described."""

from pathlib import Path

import pytest

from magsag.domain.errors import Invalid
from magsag.surfaces.cli.reading import parse, read_input


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"\n", "x.json is empty; it should hold JSON"),
        (b'{"a": 1,\n "b": }', "expected value at line 2 column 7"),
        (b'{"a": NaN}', "NaN is no JSON number; use null at line 1 column 7"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"a":\n "\xff"}', "line 2, byte 3 is not UTF-8"),
        (b"[" * 203 + b"]" * 203, "nested deeper than 200 levels"),
        (b"{} {}", "trailing characters"),
    ],
)
def test_what_is_no_json_is_described_with_its_place(data: bytes, part: str) -> None:
    with pytest.raises(Invalid, match=r"x\.json is") as caught:
        parse(data, "x.json")
    assert part in str(caught.value)


def test_two_hundred_levels_and_a_byte_order_mark_are_fine() -> None:
    assert parse(b"\xef\xbb\xbf" + b"[" * 199 + b"]" * 199, "x.json")


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}', encoding="utf-8")
    assert read_input(str(tmp_path / "x.json")) == {"a": 1}
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read_input(str(tmp_path / "y.json"))
