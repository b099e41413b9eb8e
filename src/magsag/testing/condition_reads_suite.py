"""What is known of an expression before it is asked; a part of `magsag.testing.conditions_suite`."""

import pytest

from magsag.domain.condition import ConditionInvalid, Conditions
from magsag.domain.shapes import Shape
from magsag.testing.sample_conditions import BAND, OFFER, Asking


class ReadsSuite(Asking):
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


class CheckingSuite(Asking):
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
