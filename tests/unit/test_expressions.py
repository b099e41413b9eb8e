"""What the steps of a flow may read and what they wait for; what a rule's condition may say."""

from typing import Any

import pytest

from magsag.catalog.expressions import compile_rule_condition
from magsag.domain.condition import ConditionInvalid
from magsag.domain.graph import Graph
from tests.unit.flow_examples import CONDITIONS, compiled, faults, graph

THREE = """
- {id: a, uses: "skill:draft"}
- {id: b, uses: "skill:judge", with: {text: =steps.a.text}}
- {id: c, uses: "skill:other", when: has(steps.b) && steps.a.text != "", needs: [b]}
"""
LOOP = """
- {id: outline, uses: "skill:draft"}
- id: review
  loop: {max_rounds: 3, until: steps.judge.verdict == "accept"}
  steps:
    - {id: draft, uses: "skill:draft", with: {outline: =steps.outline.text, last: =previous}}
    - {id: judge, uses: "skill:judge", with: {text: =steps.draft.text}}
- {id: send, uses: "skill:mail", when: steps.review.judge.verdict == "accept", with: {to: x, body: =steps.review.draft}}
"""


def after(made: Graph) -> dict[str, tuple[set[str], set[str]]]:
    return {id: (set(node.after), set(node.guarded)) for id, node in made.nodes.items()}


def test_a_step_waits_for_what_it_reads_and_needs() -> None:
    assert after(graph(THREE)) == {"a": (set(), set()), "b": ({"a"}, set()), "c": ({"a", "b"}, {"b"})}


def test_a_step_that_is_only_needed_may_be_absent() -> None:
    made = graph('[{id: a, uses: "skill:draft"}, {id: b, uses: "skill:draft", needs: [a]}]')
    assert after(made)["b"] == ({"a"}, {"a"})


def test_a_guard_in_one_expression_does_not_guard_another() -> None:
    made = graph("""
- {id: a, uses: "skill:draft"}
- {id: b, uses: "skill:draft", when: "has(steps.a)", with: {x: =steps.a.text}}
- {id: c, uses: "skill:draft", with: {x: '=has(steps.a) ? steps.a.text : ""'}}
""")
    assert after(made)["b"] == ({"a"}, set())
    assert after(made)["c"] == ({"a"}, {"a"})


def test_a_loop_waits_for_what_its_body_reads_outside() -> None:
    made = graph(LOOP)
    body = made.nodes["review"].body
    assert after(made) == {"outline": (set(), set()), "review": ({"outline"}, set()), "send": ({"review"}, set())}
    assert body is not None
    assert after(body) == {"draft": (set(), set()), "judge": ({"draft"}, set())}


def test_a_loop_may_stand_in_a_loop() -> None:
    made = graph("""
- {id: a, uses: "skill:draft"}
- id: outer
  loop: {max_rounds: 2, until: steps.inner.judge.verdict == "accept"}
  steps:
    - id: inner
      loop: {max_rounds: 2, until: 'steps.judge.verdict == "accept"'}
      steps:
        - id: judge
          uses: skill:judge
          with: {text: =steps.a.text, again: '=previous != null && previous.judge.verdict == "redo"'}
""")
    assert made.nodes["outer"].after == {"a"}


def test_values_that_start_with_an_equals_sign_are_expressions() -> None:
    made = graph("""
- id: a
  uses: skill:draft
  with: {plain: text, two: "==text", deep: [{x: =input.count}, 1, null], sum: =input.count + 1}
- {id: b, run: [echo, "=input.count", "==x"], effect: pure}
""")
    names = {"input": {"count": 2}}
    template, arguments = made.nodes["a"].input, made.nodes["b"].input
    assert template is not None
    assert arguments is not None
    assert template.fill(names) == {"plain": "text", "two": "=text", "deep": [{"x": 2}, 1, None], "sum": 3}
    assert arguments.fill(names) == ["echo", 2, "=x"]


def test_the_whole_input_may_be_one_expression() -> None:
    template = graph('[{id: a, uses: "skill:draft", with: =input.names}]').nodes["a"].input
    assert template is not None
    assert template.fill({"input": {"names": [1]}}) == [1]


@pytest.mark.parametrize(
    ("step", "pointer", "column", "words"),
    [
        ("{id: x, uses: 'skill:draft', when: input.coun > 1}", "when", 7, "Did you mean `count`"),
        ("{id: x, uses: 'skill:draft', with: {a: =input.coun}}", "with/a", 8, "Did you mean `count`"),
        ("{id: x, uses: 'skill:draft', with: {a: [1, {b: =input.coun}]}}", "with/a/1/b", 8, "count"),
        ("{id: x, uses: 'skill:draft', with: =input.coun}", "with", 8, "Did you mean `count`"),
        ("{id: x, run: [echo, =input.coun], effect: pure}", "run/1", 8, "Did you mean `count`"),
        ("{id: x, uses: 'skill:draft', for_each: input.nams}", "for_each", 7, "Did you mean `names`"),
        ("{id: x, uses: 'skill:draft', for_each: input.names, with: {a: =item.nam}}", "with/a", 7, "name"),
        ("{id: x, uses: 'skill:draft', for_each: input.names, when: item.name == 'a'}", "when", 1, "item"),
        ("{id: x, uses: 'skill:draft', with: {a: =item}}", "with/a", 2, "no name `item`"),
        ("{id: x, uses: 'skill:draft', with: {a: =previous}}", "with/a", 2, "no name `previous`"),
        ("{id: x, uses: 'skill:draft', when: steps.a.txt == ''}", "when", 9, "Did you mean `text`"),
        ("{id: x, uses: 'skill:draft', when: 'steps.a.parts.all(p, p.sze > 1)'}", "when", 24, "Did you mean `size`"),
        ("{id: x, uses: 'skill:draft', with: {a: =steps.aa.text}}", "with/a", 8, "no step `aa` here. Did you mean `a`"),
        ("{id: x, uses: 'skill:draft', with: {a: =steps.x.text}}", "with/a", 8, "names itself"),
        ("{id: x, uses: 'skill:draft', with: {a: =steps.inner.text}}", "with/a", 8, "steps.rounds.inner"),
        ("{id: x, uses: 'skill:draft', with: {a: =steps}}", "with/a", 2, "steps.ID"),
        ("{id: x, uses: 'skill:draft', with: {a: '=steps[input.names[0].name]'}}", "with/a", 2, "steps.ID"),
        ("{id: x, uses: 'skill:draft', with: {a: =steps.each.text}}", "with/a", 13, "no field `text`"),
        ("{id: x, uses: 'skill:draft', with: {a: '=steps.each.results[0].txt'}}", "with/a", 24, "text"),
        ("{id: x, uses: 'skill:draft', with: {a: '=steps.each.errors[0].kind'}}", "with/a", 23, "no field `kind`"),
        ("{id: x, uses: 'skill:draft', with: {a: =steps.shell.out}}", "with/a", 14, "stdout"),
        ("{id: x, uses: 'skill:draft', with: {a: =steps.rounds.inner.txt}}", "with/a", 21, "Did you mean `text`"),
        ("{id: x, uses: 'skill:draft', when: input.count}", "when", 1, "not true or false"),
        ("{id: x, uses: 'skill:draft', when: input.count + 1}", "when", 1, "not true or false"),
        ("{id: x, uses: 'skill:draft', for_each: input.count}", "for_each", 1, "not a list"),
        ("{id: x, uses: 'skill:draft', when: time.weekdy == 'sat'}", "when", 6, "Did you mean `weekday`"),
        ("{id: x, uses: 'skill:draft', needs: [a, b]}", "needs/1", 1, "no step `b`"),
        ("{id: x, uses: 'skill:draft', needs: [x]}", "needs/0", 1, "names itself"),
        ("{id: x, uses: 'skill:draft', on_error: {fallback: y}}", "on_error/fallback", 1, "no step `y`"),
        ("{id: x, uses: 'skill:draft', on_error: {fallback: x}}", "on_error/fallback", 1, "names itself"),
        ("{id: a, uses: 'skill:draft'}", "id", 1, "used twice"),
        ("{id: for, uses: 'skill:draft'}", "id", 1, "word of CEL"),
        ("{id: x, uses: 'skill:mail', with: {body: a}}", "with", 1, "needs `to`"),
        ("{id: x, uses: 'skill:mail', with: {to: a, boddy: b}}", "with/boddy", 1, "takes no `boddy`"),
    ],
)
def test_faults_have_a_place(step: str, pointer: str, column: int, words: str) -> None:
    around = f"""
- {{id: a, uses: "skill:draft"}}
- {{id: each, uses: "skill:draft", for_each: input.names}}
- {{id: shell, run: [date], effect: read}}
- id: rounds
  loop: {{max_rounds: 2, until: "true"}}
  steps: [{{id: inner, uses: "skill:draft"}}]
- {step}
"""
    (found,) = faults(around)
    assert found[:2] == (f"steps/4/{pointer}", column)
    assert words in found[2]


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"until": "steps.judg.verdict == 'accept'"}, "steps/0/loop/until", "no step `judg`"),
        ({"until": "steps.judge.verdct == 'accept'"}, "steps/0/loop/until", "Did you mean `verdict`"),
        ({"until": "steps.judge.verdict"}, "steps/0/loop/until", "not true or false"),
        ({"until": "previous != null"}, "steps/0/loop/until", "no name `previous`"),
        ({"with": "=steps.review"}, "steps/0/steps/0/with/x", "no step `review`"),
        ({"with": "=previous.judg"}, "steps/0/steps/0/with/x", "Did you mean `judge`"),
        ({"with": "=steps.send.code"}, "", ""),
    ],
)
def test_faults_inside_loops_have_a_place(change: dict[str, str], pointer: str, words: str) -> None:
    until, value = change.get("until", "true"), change.get("with", "1")
    found = faults(f"""
- id: review
  loop: {{max_rounds: 2, until: "{until}"}}
  steps: [{{id: judge, uses: "skill:judge", with: {{x: "{value}"}}}}]
- {{id: send, run: [date], effect: read}}
""")
    assert [place for place, _, _ in found] == ([pointer] if pointer else [])
    assert all(words in message for _, _, message in found)


@pytest.mark.parametrize("key", ["with: {a: 1}", "for_each: input.names", "retry: {attempts: 2}", "timeout: 5s"])
def test_a_loop_takes_no_key_that_nothing_would_read(key: str) -> None:
    found = faults(f"""
- id: rounds
  {key}
  loop: {{max_rounds: 2, until: "true"}}
  steps: [{{id: inner, uses: "skill:draft"}}]
""")
    assert [place for place, _, _ in found] == [f"steps/0/{key.partition(':')[0]}"]


def test_an_inner_step_cannot_take_the_id_of_a_step_around() -> None:
    (found,) = faults("""
- {id: a, uses: "skill:draft"}
- {id: rounds, loop: {max_rounds: 1, until: "true"}, steps: [{id: a, uses: "skill:draft"}]}
""")
    assert found[0] == "steps/1/steps/0/id"


def test_all_faults_are_found_at_once() -> None:
    found = faults(
        """
- {id: a, uses: "skill:draft", when: input.x == 1, with: {b: =input.y}}
- {id: b, uses: "skill:draft", when: steps.nobody.x == 1}
""",
        output="steps.c",
    )
    assert [place for place, _, _ in found] == ["steps/0/when", "steps/0/with/b", "steps/1/when", "output"]


@pytest.mark.parametrize(
    ("steps", "circle"),
    [
        ("[{id: a, uses: x, when: steps.b.c}, {id: b, uses: x, when: steps.a.c}]", ["a, b"]),
        ("[{id: a, uses: x, needs: [c]}, {id: b, uses: x, needs: [a]}, {id: c, uses: x, needs: [b]}]", ["a, b, c"]),
        ("[{id: a, uses: x, on_error: {fallback: b}}, {id: b, uses: x, with: {p: =steps.a}}]", ["a, b"]),
        (
            "[{id: a, uses: x, on_error: {fallback: b}, needs: [c]}, {id: b, uses: x}, {id: c, uses: x, needs: [b]}]",
            ["a"],
        ),
        ("[{id: a, uses: x, on_error: {fallback: b}}, {id: b, uses: x, on_error: {fallback: a}}]", ["a, b"]),
        (
            "[{id: a, uses: x, needs: [b]}, {id: b, uses: x, needs: [a]}, "
            "{id: c, uses: x, needs: [d]}, {id: d, uses: x, needs: [c]}]",
            ["a, b", "c, d"],
        ),
        ("[{id: a, uses: x, on_error: {fallback: b}}, {id: b, uses: x}, {id: c, uses: x, needs: [a, b]}]", []),
    ],
)
def test_each_circle_is_one_fault(steps: str, circle: list[str]) -> None:
    found = [message for _, _, message in faults(steps)]
    assert len(found) == len(circle)
    assert all(ids.split(", ")[0] in message for ids, message in zip(circle, found, strict=True))


def test_the_output_of_a_flow_may_read_all_steps() -> None:
    assert graph(THREE, output="steps").output is not None
    assert graph(THREE, output='{"a": steps.a.text}').output is not None
    assert faults(THREE, output="steps.aa")[0][:2] == ("output", 7)


def test_a_step_with_a_fallback_may_have_either_output() -> None:
    steps = """
- {id: a, uses: "skill:draft", on_error: {fallback: b}}
- {id: b, uses: "skill:judge"}
- {id: c, uses: "skill:other", with: {x: "=steps.a.FIELD"}}
"""
    assert faults(steps.replace("FIELD", "verdict")) == []
    assert "no field" in faults(steps.replace("FIELD", "nothing"))[0][2]
    assert graph(steps.replace("FIELD", "text")).nodes["b"].fallback_of == {"a"}


def test_a_flow_without_contracts_is_not_guessed_at() -> None:
    made, found = compiled('[{id: a, uses: "skill:other", when: input.any.thing > 1}]', contracts={})
    assert made is not None, found


ARGS: dict[str, Any] = {"type": "object", "properties": {"salary": {"type": "number"}}}
OTHER: dict[str, Any] = {"type": "object", "properties": {"price": {"type": "number"}}}


def test_a_rule_knows_its_names() -> None:
    source = (
        'args.salary * 1.1 > 5.0 && agent == "a" && effect == "read" && run.id != "" && env == "x" '
        '&& mode == "implement" && time.weekday in ["sat", "sun"] && run.parent == null'
    )
    names = {
        "args": {"salary": 100},
        "agent": "a",
        "effect": "read",
        "run": {"id": "1", "parent": None},
        "env": "x",
        "mode": "implement",
        "time": {"weekday": "sat"},
    }
    assert compile_rule_condition(source, [ARGS], [], CONDITIONS).holds(names)


@pytest.mark.parametrize(
    ("source", "arguments", "column"),
    [
        ("args.salry > 1", [ARGS], 6),
        ("args.salary > 1", [ARGS, OTHER], 6),
        ("steps.a == 1", [None], 1),
        ("args.salary", [ARGS], 1),
        ("env == 1", [], 5),
    ],
)
def test_a_rule_that_cannot_hold_on_a_target_is_refused(
    source: str, arguments: list[dict[str, Any] | None], column: int
) -> None:
    with pytest.raises(ConditionInvalid) as raised:
        compile_rule_condition(source, arguments, [], CONDITIONS)
    assert raised.value.column == column


@pytest.mark.parametrize("arguments", [[], [None], [ARGS, None], [ARGS, ARGS], [ARGS, dict(ARGS)]])
def test_a_rule_may_read_what_nothing_excludes(arguments: list[dict[str, Any] | None]) -> None:
    assert compile_rule_condition("args.salary > 1", arguments, [], CONDITIONS).holds({"args": {"salary": 2}})
