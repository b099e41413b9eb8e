"""What every implementation of `domain.condition.Conditions` must do. An adapter's tests subclass it:

    class TestMine(ConditionsSuite):
        @pytest.fixture
        def conditions(self) -> Conditions:
            return MyConditions()

The first promise is that a gate built on `holds` fails closed: whatever goes wrong, nothing holds.
"""

import json
from typing import Any, Final

import pytest

from magsag.domain.condition import CheckedCondition, ConditionFailed, ConditionInvalid, Conditions
from magsag.domain.shapes import Shape

BAND: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"max": {"type": "number"}, "note": {"type": ["string", "null"]}},
}
OFFER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "salary": {"type": "number"},
        "urgent": {"type": "boolean"},
        "band": {"$ref": "#/$defs/band"},
        "bands": {"type": "array", "items": {"$ref": "#/$defs/band"}},
        "free": {"type": "object"},
        "cost-centre": {"type": "string"},
        "tree": {"$ref": "#/$defs/tree"},
        "prices": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "$defs": {
        "band": BAND,
        "tree": {
            "type": "object",
            "properties": {"size": {"type": "number"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        },
    },
}
TYPES: Final[dict[str, object]] = {"args": OFFER, "x": None, "steps": {"type": "object"}, "previous": None}
ARGS: Final[dict[str, Any]] = {
    "name": "Ada",
    "count": 2,
    "salary": 100,
    "urgent": True,
    "band": {"max": 120, "note": None},
    "bands": [{"max": 1}, {"max": 2.5}],
    "free": {"deep": {"er": 1}, "list": [1, 2]},
    "cost-centre": "K1",
    "tree": {"size": 1, "kids": [{"size": 2, "kids": [{"size": 3, "kids": []}]}]},
    "prices": {"a": 1, "b": 2},
}


class _Base:
    @pytest.fixture
    def conditions(self) -> Conditions:
        raise NotImplementedError

    @staticmethod
    def ask(conditions: Conditions, source: str, **names: object) -> CheckedCondition:
        return conditions.compile(source, {**TYPES, **{name: None for name in names if name not in TYPES}})


class FailClosedSuite(_Base):
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


class NumbersSuite(_Base):
    """JSON has one kind of number."""

    @pytest.mark.parametrize(
        ("source", "x"),
        [
            ("x > 1.5", 2),
            ("x < 3", 2.5),
            ("x == 2", 2.0),
            ("x == 2.0", 2),
            ("x != 2.5", 2),
            ("x in [1, 2]", 2.0),
            ("x >= 9007199254740993", 9007199254740993),
            ("x > 9223372036854775807", 2**63),
        ],
    )
    def test_whole_numbers_and_fractions_compare(self, conditions: Conditions, source: str, x: object) -> None:
        assert self.ask(conditions, source).holds({"x": x})

    @pytest.mark.parametrize(
        "source",
        [
            "args.salary * 1.1 > 100.0",
            "args.salary > 99",
            "args.salary == 100",
            "args.count > 1.5",
            "args.band.max > args.salary",
            "args.bands.all(band, band.max * 1.5 > 1.0)",
            "args.bands[0].max * 1.5 == 1.5",
            "args.tree.kids[0].kids[0].size * 1.5 == 4.5",
            "args.prices.all(name, args.prices[name] * 1.5 > 1.0)",
            "args.prices.b * 1.5 == 3.0",
        ],
    )
    def test_a_number_by_contract_is_a_fraction_however_it_was_written(
        self, conditions: Conditions, source: str
    ) -> None:
        assert self.ask(conditions, source).holds({"args": ARGS})

    def test_a_whole_number_by_contract_may_be_written_as_a_fraction(self, conditions: Conditions) -> None:
        assert self.ask(conditions, "args.count + 1 == 3").holds({"args": {"count": 2.0}})

    def test_a_number_that_no_fraction_can_hold_is_compared_exactly(self, conditions: Conditions) -> None:
        assert self.ask(conditions, "args.salary == 9007199254740993").holds({"args": {"salary": 2**53 + 1}})

    @pytest.mark.parametrize("source", ["args.salary * 2", "args.count * 1.5", "args.salary + args.count"])
    def test_a_sum_that_must_fail_is_refused_when_compiled(self, conditions: Conditions, source: str) -> None:
        with pytest.raises(ConditionInvalid, match=r"2\.0"):
            self.ask(conditions, source)


class ValuesSuite(_Base):
    """Values are JSON, and the same every time."""

    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("x", {"b": [1, None, 2.5], "a": {"z": "ü"}}),
            ("[x.b, null, 'a', true, 1.5]", [[1, None, 2.5], None, "a", True, 1.5]),
            ("{'k': x.a, 'n': null}", {"k": {"z": "ü"}, "n": None}),
            ("x.b.size()", 3),
            ("x.b.filter(i, i != null)", [1, 2.5]),
            ("x.b.map(i, {'i': i})", [{"i": 1}, {"i": None}, {"i": 2.5}]),
            ("x['a'].z", "ü"),
            ("x.b[1]", None),
            ("'is ' + x.a.z", "is ü"),
        ],
    )
    def test_values_come_back_as_json(self, conditions: Conditions, source: str, value: object) -> None:
        names = {"x": {"b": [1, None, 2.5], "a": {"z": "ü"}}}
        found = self.ask(conditions, source).value(names)
        assert found == value
        assert json.loads(json.dumps(found)) == value

    @pytest.mark.parametrize(
        "source", ["b'abc'", "timestamp('2026-01-01T00:00:00Z')", "1.0 / 0.0", "{1: 2}", "type(x)", "[b'a']"]
    )
    def test_what_json_cannot_say_fails(self, conditions: Conditions, source: str) -> None:
        with pytest.raises(ConditionFailed):
            self.ask(conditions, source).value({"x": 1})

    def test_a_bare_path_hands_on_the_very_value(self, conditions: Conditions) -> None:
        large = {"rows": [{"i": i} for i in range(10)]}
        assert self.ask(conditions, "x.large").value({"x": {"large": large}}) is large

    def test_objects_come_back_in_one_order(self, conditions: Conditions) -> None:
        keys = [f"key{number}" for number in range(40)]
        condition = self.ask(conditions, "{'all': x, 'one': 1}")
        texts = {json.dumps(condition.value({"x": dict.fromkeys(keys, 0)})) for _ in range(20)}
        assert len(texts) == 1

    @pytest.mark.parametrize(
        ("source", "x"),
        [
            ("x.map(key, key)", {"a": 1, "b": 2}),
            ("x.filter(key, true)", {"a": 1, "b": 2}),
            ("x.rows.map(row, row.cells.map(cell, cell))", {"rows": [{"cells": [1]}, {"cells": {"a": 1}}]}),
            ("(x.a ? x.b : x.c).map(key, key)", {"a": False, "b": [], "c": {"a": 1}}),
            ("x.rows.map(row, x.by[row].map(key, key))", {"rows": ["r"], "by": {"r": {"a": 1}}}),
        ],
    )
    def test_no_list_is_gathered_from_an_object(self, conditions: Conditions, source: str, x: object) -> None:
        with pytest.raises(ConditionFailed, match="order"):
            self.ask(conditions, source).value({"x": x})

    @pytest.mark.parametrize(
        "source", ["args.free.map(key, key)", "{'a': 1}.map(key, key)", "args.band.filter(k, true)"]
    )
    def test_a_list_from_what_is_known_to_be_an_object_is_refused(self, conditions: Conditions, source: str) -> None:
        with pytest.raises(ConditionInvalid, match="order"):
            self.ask(conditions, source)

    def test_all_and_exists_take_objects(self, conditions: Conditions) -> None:
        assert self.ask(conditions, "args.free.exists(key, key == 'list') && x.all(k, x[k] > 0)").holds(
            {"args": ARGS, "x": {"a": 1, "b": 2}}
        )

    def test_nulls_may_be_asked_for_without_end(self, conditions: Conditions) -> None:
        condition = self.ask(conditions, "[x.a, null, {'n': x.a}]")
        for _ in range(20_000):
            condition.value({"x": {"a": None}})
        with pytest.raises(ConditionFailed):
            self.ask(conditions, "x.a == 1 ? x.a : x.a").holds({"x": {"a": None}})


class GuardsSuite(_Base):
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


class ReadsSuite(_Base):
    """What an expression reads is known before it is evaluated."""

    @pytest.mark.parametrize(
        ("source", "reads"),
        [
            ("steps.draft.text", {("steps", "draft", "text")}),
            ("steps['draft'].text", {("steps", "draft", "text")}),
            ("steps.a.results[0].x > x", {("steps", "a", "results"), ("x",)}),
            ("steps.a.results.all(x2, x2.y > x)", {("steps", "a", "results"), ("x",)}),
            ("size(steps)", {("steps",)}),
            ("{'a': x.b, 'c': [x.d]}", {("x", "b"), ("x", "d")}),
            ("1 + 1 == 2", set()),
            ("x[steps.key]", {("x",), ("steps", "key")}),
        ],
    )
    def test_reads_are_the_longest_known_paths(
        self, conditions: Conditions, source: str, reads: set[tuple[str, ...]]
    ) -> None:
        condition = self.ask(conditions, source)
        assert condition.reads == reads
        assert set(condition.reads_at) == reads

    def test_the_column_of_a_read_is_where_it_first_stands(self, conditions: Conditions) -> None:
        condition = self.ask(conditions, "'ü' == x.a || steps.b.c")
        assert condition.reads_at == {("x", "a"): 8, ("steps", "b", "c"): 15}

    @pytest.mark.parametrize(
        ("source", "path"), [("x.a", ("x", "a")), ("x['a'].b", ("x", "a", "b")), ("x.a == 1", None), ("[x.a]", None)]
    )
    def test_a_bare_path_is_told(self, conditions: Conditions, source: str, path: tuple[str, ...] | None) -> None:
        assert self.ask(conditions, source).path == path

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("args.name", "string"),
            ("args.count > 1", "boolean"),
            ("args.bands.map(band, band.max)", "array"),
            ("{'a': 1}", "object"),
            ("size(x)", "integer"),
            ("null", "null"),
            ("has(x.a)", "boolean"),
            ("x", None),
        ],
    )
    def test_the_kind_of_value_is_told(self, conditions: Conditions, source: str, kind: str | None) -> None:
        found = self.ask(conditions, source).kinds
        assert found == (None if kind is None else frozenset({kind}))


class CheckingSuite(_Base):
    """What is wrong is found when an expression is compiled, with its column."""

    @pytest.mark.parametrize(
        ("source", "column", "words"),
        [
            ("args.salry > 1", 6, "Did you mean `salary`"),
            ("1 < args.salry", 10, "Did you mean `salary`"),
            ("args.band.mx > 1", 11, "Did you mean `max`"),
            ("args['salry'] == 1", 7, "Did you mean `salary`"),
            ("args.bands[0].mx == 1", 15, "Did you mean `max`"),
            ("args.bands.all(b, b.mx > 1)", 21, "Did you mean `max`"),
            ("has(args.salry)", 10, "Did you mean `salary`"),
            ("args.name.first == 'a'", 11, "no field `first`"),
            ("'äé😀' == args.salry", 15, "Did you mean `salary`"),
            ("x ==\n  args.salry", 13, "Did you mean `salary`"),
            ("arg.salary > 1", 1, "Did you mean `args`"),
            ("x == 1 && nobody", 11, "nobody"),
            ("args.name > 3", 11, "string"),
            ("x == args.count + args.name", 17, "string"),
            ("args.name.startsWith(1)", 21, "startsWith"),
            ("x == 1 && nothing(x)", 11, "function `nothing`"),
            ("x.nothing()", 3, "function `nothing`"),
            ("args.name == 1", 11, "string"),
            ("!args.name", 1, "string"),
            ("x +* 1", 4, "\\*"),
            ("x == 'a' and x", 10, "&&"),
            ("", 1, "Syntax"),
            ("args.bands.map(x, x)", 15, "already"),
            ("Offer{a: 1}", 1, "message"),
            ("(" * 60 + "x" + ")" * 60, 1, "recursion"),
        ],
    )
    def test_a_fault_has_its_column(self, conditions: Conditions, source: str, column: int, words: str) -> None:
        with pytest.raises(ConditionInvalid, match=words) as raised:
            self.ask(conditions, source)
        assert raised.value.column == column

    @pytest.mark.parametrize(
        "source",
        [
            "args.salary > 1 && args.band.note == null",
            "args.free.anything.at.all == 1",
            "args['cost-centre'] == 'K1'",
            "x.what.ever > 1",
            "args.band != null",
            "true ? args.band : null",
            "args.salary == 1 ? 1 : args.salary",
            "[args.name, args.count]",
            "args.urgent",
        ],
    )
    def test_what_may_be_right_compiles(self, conditions: Conditions, source: str) -> None:
        self.ask(conditions, source)

    def test_a_field_of_any_branch_may_be_read(self, conditions: Conditions) -> None:
        types = {"args": {"anyOf": [BAND, {"type": "object", "properties": {"min": {"type": "integer"}}}]}}
        conditions.compile("args.min > 1 || args.max > 1.0", types)
        with pytest.raises(ConditionInvalid):
            conditions.compile("args.mid > 1", types)

    def test_a_part_of_a_schema_is_a_type_too(self, conditions: Conditions) -> None:
        bands = Shape(OFFER, OFFER).at(("bands",))
        assert isinstance(bands, Shape)
        with pytest.raises(ConditionInvalid, match="max"):
            conditions.compile("item.mx", {"item": bands.item()})


class TogetherSuite(_Base):
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
