"""Flows: expressions against contracts, order of steps, steps that can never run."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from magsag.adapters.conditions import CelConditions
from magsag.catalog.check.cycles import find_cycles
from magsag.catalog.check.domains import Schemas
from magsag.catalog.check.never import is_never_true
from magsag.catalog.check.tried import never_holds
from tests.unit.catalogs import FLOW, REVIEW, swapped, told

WHEN = 'input.level == "high" && steps.ask.score > 3'


def flow(tmp_path: Path, *pairs: tuple[str, str]) -> list[str]:
    return told(tmp_path, {REVIEW: swapped(FLOW, *pairs)})


@pytest.mark.parametrize(
    ("when", "place", "words"),
    [
        ('input.levle == "high"', "10:17", "levle"),
        ("steps.ask.scor > 3", "10:21", "scor"),
        ("steps.ask.text > 3", "10:26", ""),
        ("steps.aks.score > 3", "10:17", "aks"),
        ("input.level ==", "10:24", ""),
        ("nothing", "10:11", "nothing"),
    ],
)
def test_a_misspelt_name_in_a_condition_is_told_with_its_column(
    when: str, place: str, words: str, tmp_path: Path
) -> None:
    (line,) = flow(tmp_path, (WHEN, when))
    assert line.startswith(f"{REVIEW}:{place}: ")
    assert words in line


def test_a_misspelt_name_in_an_input_is_told_with_its_column(tmp_path: Path) -> None:
    (line,) = flow(tmp_path, ("{text: =input.text, level: =input.level}", "{text: '=input.txt', level: low}"))
    assert line.startswith(f"{REVIEW}:7:56: ")


def test_an_expression_cut_by_yaml_is_one_finding(tmp_path: Path) -> None:
    (line,) = flow(tmp_path, ("with: {text: =steps.ask.text, level: low}", "with: {text: =size(a, b), level: low}"))
    assert "cut at a comma" in line


STEPS = "  - {{id: {id}, run: [a], effect: pure, {more}}}\n"


def steps(tmp_path: Path, **more: str) -> list[str]:
    """A flow of shell steps, told of."""
    head = "kind: flow\nschema: 1\nslug: round\nversion: 0.1.0\nsteps:\n"
    text = head + "".join(STEPS.format(id=id, more=part) for id, part in more.items())
    return told(tmp_path, {"flows/round.yaml": text})


def test_each_cycle_is_one_finding_that_names_its_path_and_the_loop(tmp_path: Path) -> None:
    first, second = steps(tmp_path, a="needs: [b]", b="needs: [a]", c="needs: [d]", d="needs: [c, a]")
    assert "a -> b -> a wait for one another" in first
    assert "c -> d -> c wait for one another" in second
    assert "write a `loop` with max_rounds" in first


def test_a_cycle_is_placed_where_it_is_written(tmp_path: Path) -> None:
    (line,) = steps(tmp_path, a="needs: [b]", b="when: steps.a.code == 0")
    assert line.startswith("flows/round.yaml:6:45: ")


def test_a_cycle_through_a_word_in_quotes_is_none(tmp_path: Path) -> None:
    assert steps(tmp_path, a="needs: [b]", b="""when: '"steps.a.code" != "x"'""") == []


def test_a_step_that_names_itself_is_told_once(tmp_path: Path) -> None:
    assert len(steps(tmp_path, a="needs: [a]")) == 1
    assert len(steps(tmp_path, a="when: steps.a.code == 0")) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"a": "needs: [bb]", "b": ""}, "bb"),
        ({"a": "on_error: {fallback: bb}", "b": ""}, "bb"),
        ({"loop": ""}, "loop"),
        ({"a": "", "b": "needs: [a, c]"}, "c"),
    ],
)
def test_a_wrong_name_is_told_once(more: dict[str, str], words: str, tmp_path: Path) -> None:
    (line,) = steps(tmp_path, **more)
    assert words in line


def test_fallbacks_of_one_another_can_be_called_by_nobody(tmp_path: Path) -> None:
    (line,) = steps(tmp_path, a="on_error: {fallback: b}", b="on_error: {fallback: a}")
    assert "nobody can call them" in line


def test_a_fallback_cannot_wait_for_what_it_stands_for(tmp_path: Path) -> None:
    (line,) = steps(tmp_path, a="on_error: {fallback: b}", b="needs: [c]", c="when: steps.a.code == 0")
    assert "cannot wait for the step that it stands for" in line


def test_who_needs_a_step_that_never_runs_is_named_with_it(tmp_path: Path) -> None:
    (line,) = steps(
        tmp_path,
        never="when: 'false', on_error: {fallback: spare}",
        spare="",
        reader="when: steps.never.code == 0",
        later="when: steps.reader.code == 0",
        guarded="when: '!has(steps.never)'",
        beside="needs: [never]",
    )
    assert "the step never never runs, nor do spare, reader, later, which need it:" in line


def test_a_program_that_ended_well_has_the_code_0(tmp_path: Path) -> None:
    (line,) = steps(tmp_path, a="", b="when: steps.a.code != 0", c="when: steps.a.code == 0")
    assert "the step b never runs" in line


def test_an_unreachable_step_inside_a_loop_is_told(tmp_path: Path) -> None:
    text = """\
        kind: flow
        schema: 1
        slug: round
        version: 0.1.0
        contracts: {input: question}
        steps:
          - id: again
            loop: {max_rounds: 2, until: steps.a.code == 0}
            steps:
              - {id: a, run: [a], effect: pure}
              - {id: b, run: [b], effect: pure, when: input.level == "middle"}
        """
    (line,) = told(tmp_path, {"flows/round.yaml": text})
    assert line.startswith("flows/round.yaml:11:47: the step b never runs")


_SCHEMA = {
    "type": "object",
    "required": ["role", "n"],
    "properties": {
        "role": {"type": "string", "enum": ["a", "b"]},
        "short": {"type": "string", "maxLength": 2},
        "n": {"type": "integer", "minimum": 3, "maximum": 9},
        "f": {"type": "number", "exclusiveMaximum": 1},
        "ok": {"type": "boolean"},
        "yes": {"const": True},
        "few": {"type": "array", "maxItems": 3},
        "ref": {"$ref": "#/$defs/k"},
        "both": {"allOf": [{"minimum": 3}, {"type": "integer", "maximum": 5}]},
        "secret": {"const": "s", "x-redact": True},
    },
    "$defs": {"k": {"const": "k"}},
}
ROOTS: dict[tuple[str, ...], Schemas] = {("input",): [(_SCHEMA, _SCHEMA)]}


@pytest.mark.parametrize(
    "condition",
    [
        "false",
        "!true",
        "1 > 2",
        '"a" in ["b"]',
        'input.role == "c"',
        '"c" == input.role',
        'input.role in ["c", "d"]',
        'input.role != "a" && input.role != "b"',
        '!(input.role == "a" || input.role == "b")',
        'input.role == "c" || input.n > 20',
        'input.short == "abc"',
        "input.n > 9",
        "20 < input.n",
        "input.n > 3 && input.n < 4",
        "input.n == 3.5",
        "input.n == -1",
        "input.f >= 1.0",
        "input.both > 5",
        "input.ok && !input.ok",
        "!input.yes",
        'input.ref == "j"',
        "!has(input.role)",
        "has(input.ok) && !has(input.ok)",
        "!has(input.ok) && input.ok == true",
        'env == "x" && env == "y"',
        'input.role.startsWith("c") && false',
        'input.role == "c" && size(input.z) > 0',
        "size(input.few) > 3",
        "input.few.size() >= 4",
        "size(input.short) > 2",
        "size(input.z) < 0",
        'input.n > 3 ? input.role == "c" : input.n > 3',
        "input.n != 9 && input.n >= 9",
        '(input.role == "a" ? input.n : input.n) > 9 && false',
    ],
)
def test_a_condition_that_no_input_makes_true_is_known(condition: str) -> None:
    assert is_never_true(condition, ROOTS)


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "1 < 2",
        'input.role == "a"',
        'input.role in ["c", "a"]',
        'input.role == "c" || input.n > 5',
        'input.role == "c" ? true : true',
        "input.n >= 9",
        "input.n > 3 && input.n < 5",
        "input.n == 3.0",
        "input.f < 1.0",
        "input.f > 0.5 && input.f < 0.6",
        "input.both == 4",
        "!has(input.ok)",
        'input.secret == "[redacted]"',
        "input.unknown == 5",
        "input.unknown == null",
        "size(input.role) > 1",
        "size(input.few) == 3",
        "size(input.few) + 1 > 3",
        'input.n > 3 ? input.role == "c" : input.n == 3',
        "input.n > 3 ? false : input.n > 3 ? false : true",
        "input.items.exists(x, x == 1)",
        "!input.ok == true",
        'input.role == r"c"',
        'input.role == "\\x61"',
        "input.role == '''a'''",
        "input.n == 0x4",
        "input.n + 100 > 50",
        "input.n == 5u",
        "previous != null && previous.x == 1",
    ],
)
def test_a_condition_that_might_be_true_raises_no_alarm(condition: str) -> None:
    assert not is_never_true(condition, ROOTS)


@pytest.mark.parametrize(
    ("condition", "never"),
    [
        ('input.role.startsWith("c")', True),
        ('input.role.startsWith("b")', False),
        ('input.role + "c" == "ac"', False),
        ('input.role + "c" == "cc"', True),
        ("input.n * 2 > 18", True),
        ("input.n * 2 > 17", False),
        ("1 + 1 == 3", True),
        ('has(input.ok) ? input.ok : input.role == "a"', False),
        ('has(input.ok) ? input.ok && !input.ok : input.role == "c"', True),
        ("!has(input.yes)", False),
        ("input.n + size(input.few) > 100", False),
        ("input.secret.size() > 20", False),
    ],
)
def test_conditions_over_few_values_are_tried_with_all_of_them(condition: str, never: bool) -> None:
    assert never_holds(CelConditions().compile(condition, {"input": _SCHEMA}), ROOTS) is never


_COMPARISON = st.builds(
    lambda sign, value: f"input.n {sign} {value}",
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.integers(0, 12),
) | st.builds(lambda items: f"input.n in {items}", st.lists(st.integers(0, 12), max_size=3))
_CONDITION = st.recursive(
    _COMPARISON,
    lambda inner: (
        st.builds(lambda one, sign, two: f"({one}) {sign} ({two})", inner, st.sampled_from(["&&", "||"]), inner)
        | st.builds(lambda one: f"!({one})", inner)
    ),
    max_leaves=5,
)


@given(_CONDITION)
def test_the_answer_is_that_of_trying_every_value(condition: str) -> None:
    python = condition.replace("&&", "and").replace("||", "or").replace("!(", "not (")
    can_hold = any(eval(python.replace("input.n", str(n))) for n in range(3, 10))
    assume("not in" not in python)
    assert is_never_true(condition, ROOTS) is not can_hold


_EDGES = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3), max_size=6)


@given(_EDGES)
def test_every_cycle_found_is_one_and_without_their_closing_edges_there_is_none(edges: dict[str, list[str]]) -> None:
    cycles = find_cycles(edges)
    for cycle in cycles:
        turns = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        assert all(other in edges.get(one, []) for one, other in turns)
    left = {node: list(targets) for node, targets in edges.items()}
    while found := find_cycles(left):
        left[found[0][-1]].remove(found[0][0])
    assert bool(cycles) is (left != edges)


def test_a_long_chain_of_steps_needs_no_recursion() -> None:
    chain = {f"s{n:05}": [f"s{n + 1:05}"] for n in range(20_000)}
    assert find_cycles(chain) == []
    assert len(find_cycles({**chain, "s20000": ["s00000"]})) == 1
