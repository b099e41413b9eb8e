"""document-processing-sag: sections, entities and summary."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.shipped import ROOT, Company, module, problems

TEXT = """Before the first heading.

# Hiring plan ##

We hire two engineers in Berlin. Ada Lovelace leads the hiring; write to ada@example.org by 2031-04-01.
The budget for engineers is USD 240,000.50 or 1.2 million EUR, see https://example.org/plan?x=1.

## C#

- engineers write code
- engineers read code

```
# no heading, and no prose
secret@example.org
```
"""


def process(text: str, **options: Any) -> dict[str, Any]:
    agent = module(ROOT / "agents" / "sub" / "document-processing-sag" / "agent.py")
    found: dict[str, Any] = agent.process({"text": text} | options)
    assert problems("document_processing_output", found) == ""
    return found


def names(text: str) -> Any:
    return process(text)["entities"]["names"]


def test_sections_begin_at_headings_and_code_holds_none() -> None:
    sections = Company().run("document-processing-sag", {"text": TEXT})["sections"]
    assert [(each["level"], each["title"]) for each in sections] == [(0, ""), (1, "Hiring plan"), (2, "C#")]
    assert sections[0]["text"] == "Before the first heading."
    assert "# no heading" in sections[2]["text"]


def test_plain_text_is_one_section() -> None:
    sections = process("# 1 apple\n# 2 pears", format="text")["sections"]
    assert sections == [{"level": 0, "title": "", "text": "# 1 apple\n# 2 pears"}]


def test_an_empty_text_has_nothing_in_it() -> None:
    found = process("")
    assert (found["sections"], found["summary"], any(found["entities"].values())) == ([], "", False)


def test_entities_are_found_once_and_as_one_kind() -> None:
    entities = process(TEXT + TEXT)["entities"]
    assert entities == {
        "emails": ["ada@example.org", "secret@example.org"],
        "urls": ["https://example.org/plan?x=1"],
        "dates": ["2031-04-01"],
        "amounts": ["USD 240,000.50", "1.2 million EUR"],
        "names": ["Berlin", "Ada Lovelace"],
    }


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("on 3 March 2031, not 33.", "dates", ["3 March 2031"]),
        ("on March 3, 2031.", "dates", ["March 3, 2031"]),
        ("build 12031-04-011", "dates", []),
        ("$5, €7.50, £3k, ¥1,000", "amounts", ["$5", "€7.50", "£3k", "¥1,000"]),
        ("100 dollars and 20 USD", "amounts", ["100 dollars", "20 USD"]),
        ("5 USDA samples", "amounts", []),
        ("(see http://a.example/b.)", "urls", ["http://a.example/b"]),
        ("a.b+c@mail.example.org, x@y", "emails", ["a.b+c@mail.example.org"]),
    ],
)
def test_each_kind_knows_its_forms(text: str, kind: str, found: list[str]) -> None:
    assert process(text)["entities"][kind] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Yesterday we met Ada.", ["Ada"]),
        ("Grace Hopper spoke. Engineers listened.", ["Grace Hopper"]),
        ("The Acme Corporation pays.", ["Acme Corporation"]),
        ("It was late. They left.", []),
        ("Ask Émile Zola, or José.", ["Ask Émile Zola", "José"]),
        ("# Heading\nText.", []),
    ],
)
def test_names_are_capitalised_words_that_do_not_just_open_a_sentence(text: str, found: list[str]) -> None:
    assert names(text) == found


def test_a_summary_holds_the_weightiest_sentences_in_their_order() -> None:
    text = "Rain fell. Dogs chase cats. Nobody knows why. Cats chase dogs."
    assert process(text, summary_sentences=2)["summary"] == "Dogs chase cats. Cats chase dogs."
    assert process(text, summary_sentences=20)["summary"] == text


def test_a_summary_holds_no_code_and_no_list_marks() -> None:
    summary = process(TEXT, summary_sentences=20)["summary"]
    assert "secret@example.org" not in summary
    assert "engineers write code engineers read code" in summary


@given(st.text(alphabet=st.sampled_from("#`~-*. \n\tAa1@:/$€,é—")) | st.text(), st.sampled_from(["markdown", "text"]))
def test_no_text_crashes_it(text: str, form: str) -> None:
    process(text, format=form)


@pytest.mark.parametrize(
    "piece", ["a", "A ", "1", "1,", "a.", "# ", "#", " ", "```\n", "~~~\n```\n", "http://", "$", "a@", "-"]
)
def test_a_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    began = time.perf_counter()
    process(piece * (200_000 // len(piece)))
    assert time.perf_counter() - began < 5
