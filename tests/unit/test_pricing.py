"""What a request asks for decides by which rate it is priced; what is not known is never cheap."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.errors import Invalid
from magsag.domain.manifests.budget import ModelPrice
from magsag.domain.price import Asking, Bracket, Price, Rate
from magsag.policy.pricing import asking_of
from magsag.services.steps.prices import Prices

HELLO = [{"role": "user", "content": "hello"}]
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}]}]
FUNCTION = [{"type": "function", "function": {"name": "f"}}]


def called(kind: str) -> list[dict[str, Any]]:
    """What a model has called before, as it is sent back to it."""
    return [{"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": kind, kind: {"name": "f"}}]}]


@pytest.mark.parametrize(
    ("request_", "asking"),
    [
        ({"messages": HELLO, "max_tokens": 5, "temperature": 0}, Asking.PLAIN),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "system": "be kind"},
            Asking.PLAIN,
        ),
        ({"messages": HELLO, "tools": FUNCTION}, Asking.PLAIN),
        ({"messages": HELLO, "service_tier": "priority"}, Asking.DEAR),
        ({"messages": [{"role": "user", "content": "x", "cache_control": {}}]}, Asking.DEAR),
        ({"messages": PICTURE}, Asking.OPEN),
        ({"messages": PICTURE, "service_tier": "flex"}, Asking.OPEN),
        ({"messages": HELLO, "tools": [{"type": "web_search"}]}, Asking.OPEN),
        ({"messages": HELLO, "web_search_options": {}}, Asking.OPEN),
        ({"messages": HELLO, "tools": [{"name": "f", "description": "does", "input_schema": {}}]}, Asking.PLAIN),
        ({"messages": HELLO, "tools": [{"name": "f", "cache_control": {}}]}, Asking.DEAR),
        ({"messages": HELLO, "tools": [{"type": "function", "function": {"name": "f", "new": 1}}]}, Asking.OPEN),
        ({"messages": HELLO, "tools": [{"name": "f", "new": 1}]}, Asking.OPEN),
        ({"messages": called("function")}, Asking.PLAIN),
        ({"messages": called("custom")}, Asking.PLAIN),
        ({"messages": called("web_search")}, Asking.OPEN),
        ({"messages": [{"role": "assistant", "tool_calls": "f"}]}, Asking.OPEN),
        ({"messages": HELLO, "n": 3}, Asking.OPEN),
        ({"messages": "hello"}, Asking.OPEN),
        ({"messages": ["hello"]}, Asking.OPEN),
        ({"messages": [{"role": "user", "content": ["hello", "you"]}]}, Asking.PLAIN),
        ("hello", Asking.OPEN),
    ],
)
def test_what_is_asked_for_is_plain_only_when_all_of_it_is_known(request_: Any, asking: Asking) -> None:
    assert asking_of(request_) is asking


RATES = st.builds(Rate, *(st.integers(0, 10**11),) * 3)
BRACKETS = st.lists(st.builds(Bracket, st.integers(1, 500_000), RATES), max_size=3).map(
    lambda others: (Bracket(0, Rate(1, 2)), *sorted(others, key=lambda one: one.above))
)


@given(BRACKETS, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**4), st.integers(0, 10**4))
def test_no_answer_costs_more_than_was_held_back_for_it(
    brackets: tuple[Bracket, ...], input: int, output: int, less: int, fewer: int
) -> None:
    price = Price(brackets, "v", Rate(10**11, 10**11, 10**11))
    for asking in (Asking.PLAIN, Asking.DEAR):
        most, cost = (
            price.at_most(asking, input, output),
            price.cost(asking, max(0, input - less), max(0, output - fewer)),
        )
        assert most is not None
        assert cost is not None
        assert cost <= most
    assert price.at_most(Asking.OPEN, 1, 1) is price.cost(Asking.OPEN, 1, 1) is None


class Published:
    """A list of one model."""

    def __init__(self, is_there: bool = True) -> None:
        self.is_there, self.asked = is_there, 0

    def require(self) -> None:
        if not self.is_there:
            raise Invalid("not installed")

    def find(self, reference: str) -> Price:
        self.require()
        self.asked += 1
        if reference != "openai/known":
            raise Invalid(f"no {reference}")
        return Price((Bracket(0, Rate(7, 8)),), "published 1", Rate(7, 8))


def prices(published: Published, **table: ModelPrice | str) -> Prices:
    models = {"fast": "openai:known", "slow": "openai:other", "own": "scripted:known"}
    return Prices(models, table, published, {"prices.fast": "magsag.toml:4"})


def test_the_operators_word_stands_above_the_published_list() -> None:
    published = Published()
    found = prices(published, fast=ModelPrice.model_validate({"input": 1, "output": 2})).of("fast")
    assert found is not None
    assert (found.brackets[0].rate, found.version.partition(" ")[0]) == (Rate(10**9, 2 * 10**9), "magsag.toml")
    assert published.asked == 0


def test_a_model_is_found_by_provider_and_name_and_has_no_price_that_nobody_said() -> None:
    found = prices(Published())
    assert [(one.alias, one.price and one.price.version) for one in found.listed()] == [
        ("fast", "published 1"), ("own", None), ("slow", None),
    ]  # fmt: skip
    assert prices(Published(is_there=False)).of("fast") is None


def test_a_price_of_an_alias_that_is_not_there_is_told() -> None:
    (other, *_) = (one for one in prices(Published(), other="openai/known").listed() if one.alias == "other")
    assert (other.price, other.why) == (
        None,
        "magsag.toml: prices.other: [models] names no alias 'other'; correct it or take it out",
    )


def test_what_a_scripted_model_costs_is_said_or_referred_to() -> None:
    found = prices(Published(), own="openai/known").of("own")
    assert found is not None
    assert found.version == "published 1"


def test_a_named_price_that_is_not_there_is_refused_with_its_place() -> None:
    found = prices(Published(), fast="openai/knwon")
    found.require()
    found.require_found("slow")
    with pytest.raises(Invalid, match=r"magsag\.toml:4: prices\.fast: no openai/knwon"):
        found.require_found("fast")
    assert found.listed()[0].why.startswith("magsag.toml:4")
    with pytest.raises(Invalid, match="not installed"):
        prices(Published(is_there=False), fast="openai/known").require()
