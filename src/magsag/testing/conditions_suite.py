"""What every implementation of `domain.condition.Conditions` must do. An adapter's tests subclass it:

    class TestMine(ConditionsSuite):
        @pytest.fixture
        def conditions(self) -> Conditions:
            return MyConditions()

The first promise is that a gate built on `holds` fails closed: whatever goes wrong, nothing holds.
"""

from typing import Any, Final

import pytest

from magsag.domain.condition import CheckedCondition, ConditionFailed, Conditions
from magsag.testing.condition_reads_suite import CheckingSuite, ReadsSuite
from magsag.testing.condition_values_suite import NumbersSuite, ValuesSuite
from magsag.testing.sample_conditions import ARGS, TYPES, Asking


class FailClosedSuite(Asking):
    """Nothing but true holds."""

    @pytest.mark.parametrize(
        ("source", "x"),
        [
            ("x.missing", {}),
            ("x.missing == 1", {}),
            ("x.missing.deeper > 1", {}),
            ("x.a.b", {"a": None}),
            ("x.a.b == 1", {"a": 3}),
            ("x['missing'] == 1", {}),
            ("x[3] == 1", [1]),
            ("x.a || x.b", {"a": False}),
            ("!x.missing", {}),
            ("x.missing ? true : true", {}),
            ("x", "NOT_FOUND: a text is true in Python"),
            ("x", "true"),
            ("x", 1),
            ("x", [True]),
            ("x", None),
            ("x + 'NOT_FOUND'", "a"),
            ("x + 1", 1),
            ("x == 1 ? 'yes' : 'no'", 1),
            ("x > 1", "two"),
            ("x > 1", None),
            ("x && true", 1),
            ("x * 2 > 1", 1.5),
            ("1 / x == 1", 0),
            ("x > 1", 2**70),
            ("x == 'a'", "\ud800"),
            ("x == 1", (1,)),
            ("x.matches('(')", "a"),
        ],
    )
    def test_what_cannot_be_true_or_false_never_holds(self, conditions: Conditions, source: str, x: object) -> None:
        with pytest.raises(ConditionFailed, match=r"\S"):
            self.ask(conditions, source).holds({"x": x})

    @pytest.mark.parametrize("source", ["x", "x == 1", "x.a == 1", "has(x.a)"])
    def test_a_name_that_is_not_handed_in_never_holds(self, conditions: Conditions, source: str) -> None:
        with pytest.raises(ConditionFailed):
            self.ask(conditions, source).holds({})

    def test_a_condition_that_would_take_too_long_fails(self, conditions: Conditions) -> None:
        source = "x.all(a, x.all(b, x.all(c, x.all(d, a + b + c + d >= 0))))"
        with pytest.raises(ConditionFailed, match="rounds"):
            self.ask(conditions, source).holds({"x": list(range(60))})

    def test_a_pattern_that_explodes_elsewhere_is_harmless(self, conditions: Conditions) -> None:
        assert not self.ask(conditions, "x.matches('^(a+)+$')").holds({"x": "a" * 5000 + "b"})

    def test_true_holds_and_false_does_not(self, conditions: Conditions) -> None:
        condition = self.ask(conditions, "x.a > 1 && x.b == 'c'")
        assert condition.holds({"x": {"a": 2, "b": "c"}}) is True
        assert condition.holds({"x": {"a": 1, "b": "c"}}) is False

    def test_a_decided_or_needs_no_other_side(self, conditions: Conditions) -> None:
        assert self.ask(conditions, "x.missing == 1 || x.a").holds({"x": {"a": True}})


class GuardsSuite(Asking):
    """What may be absent is asked for first."""

    @pytest.mark.parametrize(
        ("source", "names", "holds"),
        [
            ("has(steps.x) && steps.x.ok", {"steps": {}}, False),
            ("has(steps.x) && steps.x.ok", {"steps": {"x": {"ok": True}}}, True),
            ("!has(steps.x) || steps.x.ok", {"steps": {}}, True),
            ("has(steps.x)", {"steps": {"x": None}}, True),
            ("has(steps.x) ? steps.x.ok : false", {"steps": {}}, False),
            ("previous != null && previous.judge.ok", {"previous": None}, False),
            ("previous != null && previous.judge.ok", {"previous": {"judge": {"ok": True}}}, True),
            ("previous == null || has(previous.judge)", {"previous": {}}, False),
            ("has(args.urgent) && args.urgent", {"args": {}}, False),
            ("has(args.band.note) && args.band.note != null", {"args": ARGS}, False),
        ],
    )
    def test_guards_work(self, conditions: Conditions, source: str, names: dict[str, object], holds: bool) -> None:
        assert self.ask(conditions, source).holds(names) is holds

    def test_guards_are_told(self, conditions: Conditions) -> None:
        condition = self.ask(conditions, "has(steps.x) && steps.x.ok && steps.y > 1")
        assert condition.guards == {("steps", "x")}
        assert condition.reads == {("steps", "x"), ("steps", "x", "ok"), ("steps", "y")}


class TogetherSuite(Asking):
    """Conditions that are asked at once answer as each does by itself."""

    SOURCES: Final = (
        "args.salary > 50",
        "args.count == 3",
        "x.a == 1",
        "x.flag",
        "args.urgent // a comment",
        "x.missing == 1",
        "x.a",
        "args.name in ['Ada', 'Bob']",
    )

    @pytest.mark.parametrize("left_out", [(), ("x.missing == 1", "x.a"), ("x.missing == 1", "x.a", "x.flag")])
    @pytest.mark.parametrize("x", [{"a": 1, "flag": True}, {"a": 1, "flag": "yes"}, {}, None])
    def test_the_answers_are_those_of_each_alone(
        self, conditions: Conditions, left_out: tuple[str, ...], x: object
    ) -> None:
        compiled = [conditions.compile(source, TYPES) for source in self.SOURCES if source not in left_out]
        names = {"args": ARGS, "x": x}
        alone = [self.answer(condition, names) for condition in compiled]
        together = conditions.together(compiled)
        for _ in range(2):
            told = [str(one) if isinstance(one, ConditionFailed) else one for one in together.answers(names)]
            assert told == alone

    def test_conditions_of_other_types_are_asked_too(self, conditions: Conditions) -> None:
        other = {**TYPES, "args": None}
        compiled = [conditions.compile(source, types) for types in (TYPES, other) for source in self.SOURCES[:2]]
        assert conditions.together(compiled).answers({"args": ARGS}) == [True, False, True, False]

    def test_many_conditions_and_none(self, conditions: Conditions) -> None:
        compiled = [conditions.compile(f"args.count > {number % 4}", TYPES) for number in range(100)]
        assert conditions.together(compiled).answers({"args": ARGS}) == [number % 4 < 2 for number in range(100)]
        assert conditions.together([]).answers({}) == []

    @staticmethod
    def answer(condition: CheckedCondition, names: dict[str, Any]) -> bool | str:
        """What a condition says by itself, or why it cannot."""
        try:
            return condition.holds(names)
        except ConditionFailed as failure:
            return str(failure)


class ConditionsSuite(
    FailClosedSuite, NumbersSuite, ValuesSuite, GuardsSuite, ReadsSuite, CheckingSuite, TogetherSuite
):
    """All of it."""
