"""Numbers and values in expressions; a part of `magsag.testing.conditions_suite`."""

import json

import pytest

from magsag.domain.condition import ConditionFailed, ConditionInvalid, Conditions
from magsag.testing.sample_conditions import ARGS, Asking


class NumbersSuite(Asking):
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


class ValuesSuite(Asking):
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
