"""The list of genai-prices as it is installed: what MAGSAG makes of it is never below what the list itself counts."""

import sys
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage
from genai_prices.data import providers

from magsag.adapters.prices import Snapshot
from magsag.adapters.prices.reading import DAY, read_entry
from magsag.adapters.prices.snapshot import PINNED
from magsag.domain.errors import Invalid
from magsag.domain.price import Asking, Bracket, Price, Rate
from magsag.testing import FrozenClock

TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW = int(TODAY.timestamp() * 1e6)
SIZES = ((900, 1), (250_000, 4_000))


def find(reference: str) -> Price:
    return Snapshot(FrozenClock(NOW)).find(reference)


def test_a_model_is_found_by_its_own_name_and_by_one_with_a_date() -> None:
    plain = find("openai/gpt-4o-mini")
    assert plain.brackets == (Bracket(0, Rate(150_000_000, 600_000_000)),)
    assert plain.version.startswith("genai-prices 0.2.3 openai/gpt-4o-mini ")
    assert find("openai/gpt-4o-mini-2024-07-18").version == plain.version


def test_an_announced_price_counts_from_the_day_before() -> None:
    def on(day: datetime) -> int:
        return Snapshot(FrozenClock(int(day.timestamp() * 1e6))).find("google/gemini-4-argon").brackets[0].rate.output

    before, eve, then = (on(datetime(2026, month, day, 12, tzinfo=UTC)) for month, day in ((11, 29), (11, 30), (12, 1)))
    assert before < eve == then


def test_the_dearest_term_bounds_what_asks_for_more_than_text() -> None:
    price = find("anthropic/claude-sonnet-4-5")
    assert [one.above for one in price.brackets] == [0, 200_000]
    assert price.dearest == Rate(12_000_000_000, 22_500_000_000)  # an hour's cache, for long requests
    assert price.at_most(Asking.OPEN, 1, 1) is None


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("openai/gpt-4o-mni", "no model 'gpt-4o-mni' of openai; did you mean \"gpt-4o-mini\""),
        ("opneai/gpt-4o-mini", "no provider 'opneai'; did you mean \"openai\""),
        ("openai/whisper-1", "does not price openai/whisper-1 by tokens of text"),
        ("perplexity/sonar-deep-research", "by more than tokens of text (output_citation_mtok, output_reasoning_mtok)"),
    ],
)
def test_what_cannot_be_priced_is_refused_with_the_next_move(reference: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        find(reference)
    assert said in str(caught.value)
    assert "write {input = ..., output = ...}" in str(caught.value)


def test_without_the_extra_nothing_is_priced_and_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(Invalid, match=r"pip install 'magsag\[prices\]'"):
        find("openai/gpt-4o-mini")


def test_another_version_than_the_pinned_one_prices_nothing() -> None:
    with pytest.raises(Invalid, match=r"installed as 0\.2\.4, and .* reads 0\.2\.3: pip install"):
        Snapshot(FrozenClock(NOW), lambda: "0.2.4").find("openai/gpt-4o-mini")


def test_the_version_that_is_read_is_the_one_of_the_extra() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert f"genai-prices=={PINNED}" in project["optional-dependencies"]["prices"]


def test_no_model_of_the_list_is_counted_below_what_the_list_counts() -> None:
    """Every model, at two sizes: what is charged and what is held back, against the library's own sum."""
    read = below = 0
    for provider in providers:
        for model in provider.models:
            try:
                price = read_entry(model, model.id, "v", NOW // DAY)
            except Invalid:
                continue
            read += 1
            for input, output in SIZES:
                theirs = model.calc_price(
                    Usage(input_tokens=input, output_tokens=output), provider, genai_request_timestamp=TODAY
                )
                cost = price.cost(Asking.PLAIN, input, output)
                dear = price.cost(Asking.DEAR, input, output)
                assert cost is not None
                assert dear is not None
                below += cost < theirs.total_price * Decimal(10**9) or dear < cost
    assert (read > 2000, below) == (True, 0)
