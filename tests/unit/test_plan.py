"""What the planner of flows decides, given results: the table of MANIFESTS, then any flow with any outcome."""

import sys
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.condition import ConditionFailed
from magsag.domain.errors import Broken
from magsag.domain.facts import StepStatus
from magsag.domain.graph import Graph, Node
from magsag.domain.manifests.flow import Fallback, FlowStep
from magsag.engine.plan import (
    Abort,
    Decision,
    Fail,
    Finish,
    Planner,
    Skip,
    Start,
    StartEach,
    StepResult,
    each_result,
    loop_done,
)
from tests.unit.flow_examples import graph

ERROR = {"type": "raised", "message": "boom", "details": {}}
FAILED = StepResult(StepStatus.FAILED, error=ERROR)
NAMES: dict[str, object] = {"input": {"go": False, "count": 2, "names": [{"name": "a"}, {"name": "b"}]}, "env": "x"}


def ok(output: object = None, partial: bool = False) -> StepResult:
    return StepResult(StepStatus.SUCCEEDED, output, partial=partial)


def shown(decision: Decision) -> str:
    """A decision in one line."""
    match decision:
        case Start(node, input):
            return f"start {node.id} {input}"
        case StartEach(node, inputs, refused):
            return f"each {node.id} {list(inputs)}" + (f" refused {sorted(refused)}" if refused else "")
        case Skip(id, _):
            return f"skip {id}"
        case Fail(id, type, _):
            return f"fail {id} {type}"
        case Finish(output, partial):
            return f"finish {output}" + (" partial" if partial else "")
        case Abort(step, error):
            return f"abort {step} {error['type']}"


def play(made: Graph, results: dict[str, StepResult], select: frozenset[str] | None = None) -> list[str]:
    """Plan to the end, each started step ending at once as `results` says, or with its own id as output."""
    planner, lines = Planner(made, NAMES, select), []
    while decisions := planner.next():
        lines += [shown(decision) for decision in decisions]
        for decision in decisions:
            if isinstance(decision, Start | StartEach):
                planner.settle(decision.node.id, results.get(decision.node.id, ok(decision.node.id)))
    return lines


def two(first: str, second: str = "") -> Graph:
    return graph(f'[{{id: a, uses: "skill:one"{first}}}, {{id: b, uses: "skill:two"{second}}}]')


READS = ", with: {x: =steps.a}"
GUARDS = ', with: {x: "=has(steps.a) ? steps.a : null"}'


def test_independent_steps_start_together_and_the_outputs_are_the_result() -> None:
    assert play(two(", with: {}", ", with: {}"), {}) == [
        "start a {}",
        "start b {}",
        "finish {'a': 'a', 'b': 'b'}",
    ]


def test_a_step_waits_for_what_it_reads() -> None:
    planner = Planner(two("", READS), NAMES)
    assert [shown(decision) for decision in planner.next()] == [f"start a {NAMES['input']}"]
    assert planner.next() == []
    planner.settle("a", ok("A"))
    assert [shown(decision) for decision in planner.next()] == ["start b {'x': 'A'}"]


def test_a_step_waits_for_what_it_needs_wherever_it_stands_in_the_file() -> None:
    made = graph('[{id: a, uses: "skill:x", needs: [b], with: {}}, {id: b, uses: "skill:x", with: {}}]')
    assert play(made, {})[:2] == ["start b {}", "start a {}"]


@pytest.mark.parametrize(
    ("first", "second", "results", "lines"),
    [
        (", when: input.go", READS, {}, ["skip a", "skip b", "finish {}"]),
        (", when: input.go", GUARDS, {}, ["skip a", "start b {'x': None}", "finish {'b': 'b'}"]),
        (", when: input.go", ", needs: [a], with: {}", {}, ["skip a", "start b {}", "finish {'b': 'b'}"]),
        (", with: {}", READS, {"a": FAILED}, ["start a {}", "abort a raised"]),
        (", with: {}, on_error: retry, retry: {attempts: 2}", READS, {"a": FAILED}, ["start a {}", "abort a raised"]),
        (", with: {}, on_error: skip", READS, {"a": FAILED}, ["start a {}", "skip b", "finish {} partial"]),
        (
            ", with: {}, on_error: skip",
            GUARDS,
            {"a": FAILED},
            ["start a {}", "start b {'x': None}", "finish {'b': 'b'} partial"],
        ),
        (", when: input.nope.x > 1", READS, {}, ["fail a expression", "abort a expression"]),
        (", when: input.nope.x > 1, on_error: skip", READS, {}, ["fail a expression", "skip b", "finish {} partial"]),
        (", with: {x: =input.nope}", READS, {}, ["fail a expression", "abort a expression"]),
        (", for_each: input.nope", READS, {}, ["fail a expression", "abort a expression"]),
        (", for_each: input.go", READS, {}, ["fail a expression", "abort a expression"]),
        (", with: {}", READS, {"a": StepResult(StepStatus.CANCELLED)}, ["start a {}", "abort a raised"]),
        (
            ", with: {}, on_error: {fallback: b}",
            ", with: {}",
            {},
            ["start a {}", "skip b", "finish {'a': 'a'}"],
        ),
        (
            ", with: {}, on_error: {fallback: b}",
            ", with: {}",
            {"a": FAILED},
            ["start a {}", "start b {}", "finish {'a': 'b', 'b': 'b'} partial"],
        ),
        (
            ", with: {}, on_error: {fallback: b}",
            ", with: {}",
            {"a": FAILED, "b": FAILED},
            ["start a {}", "start b {}", "abort b raised"],
        ),
        (
            ", with: {}, on_error: {fallback: b}",
            ", with: {}, on_error: skip",
            {"a": FAILED, "b": FAILED},
            ["start a {}", "start b {}", "finish {} partial"],
        ),
        (", when: input.go, on_error: {fallback: b}", "", {}, ["skip a", "skip b", "finish {}"]),
        (
            ", when: input.nope.x > 1, on_error: {fallback: b}",
            ", with: {}",
            {},
            ["fail a expression", "start b {}", "finish {'a': 'b', 'b': 'b'} partial"],
        ),
        (
            ", with: {}",
            ", with: {}",
            {"a": ok("A", partial=True)},
            ["start a {}", "start b {}", "finish {'a': 'A', 'b': 'b'} partial"],
        ),
    ],
)
def test_the_table(first: str, second: str, results: dict[str, StepResult], lines: list[str]) -> None:
    made = open_graph(f'[{{id: a, uses: "skill:one"{first}}}, {{id: b, uses: "skill:two"{second}}}]')
    assert play(made, results) == lines


def open_graph(steps: str) -> Graph:
    """A flow of whose input nothing is known, so that expressions may fail."""
    return graph(steps, contracts={})


def test_nothing_starts_after_an_abort_and_running_steps_may_still_end() -> None:
    made = graph("""
- {id: a, uses: "skill:x", with: {}}
- {id: b, uses: "skill:x", with: {}}
- {id: c, uses: "skill:x", with: {x: =steps.b}}
""")
    planner = Planner(made, NAMES)
    planner.next()
    planner.settle("a", FAILED)
    assert [shown(decision) for decision in planner.next()] == ["abort a raised"]
    planner.settle("b", ok())
    assert planner.next() == []


def test_the_first_failure_is_the_error_of_the_flow() -> None:
    planner = Planner(two("", ""), NAMES)
    planner.next()
    planner.settle("b", FAILED)
    planner.settle("a", FAILED)
    assert [shown(decision) for decision in planner.next()] == ["abort b raised"]


def test_readers_of_a_failed_step_wait_for_its_fallback() -> None:
    made = graph("""
- {id: a, uses: "skill:x", on_error: {fallback: c}, with: {}}
- {id: b, uses: "skill:x", with: {x: =steps.a}}
- {id: c, uses: "skill:x", with: {}}
""")
    planner = Planner(made, NAMES)
    planner.next()
    planner.settle("a", FAILED)
    assert [shown(decision) for decision in planner.next()] == ["start c {}"]
    planner.settle("c", ok("C"))
    assert [shown(decision) for decision in planner.next()] == ["start b {'x': 'C'}"]


def test_one_fallback_runs_once_for_all_that_name_it() -> None:
    made = graph("""
- {id: a, uses: "skill:x", on_error: {fallback: c}, with: {}}
- {id: b, uses: "skill:x", on_error: {fallback: c}, with: {x: =input.count}}
- {id: c, uses: "skill:x", with: {}}
""")
    lines = play(made, {"a": FAILED, "b": FAILED})
    assert lines == ["start a {}", "start b {'x': 2}", "start c {}", "finish {'a': 'c', 'b': 'c', 'c': 'c'} partial"]
    assert play(made, {"b": FAILED})[-1] == "finish {'a': 'a', 'b': 'c', 'c': 'c'} partial"
    assert play(made, {})[-2:] == ["skip c", "finish {'a': 'a', 'b': 'b'}"]


def test_a_fallback_may_have_a_fallback() -> None:
    made = graph("""
- {id: a, uses: "skill:x", on_error: {fallback: b}, with: {}}
- {id: b, uses: "skill:x", on_error: {fallback: c}, with: {}}
- {id: c, uses: "skill:x", with: {}}
""")
    assert play(made, {"a": FAILED, "b": FAILED})[-1] == "finish {'a': 'c', 'b': 'c', 'c': 'c'} partial"
    assert play(made, {"a": FAILED})[1:] == ["start b {}", "skip c", "finish {'a': 'b', 'b': 'b'} partial"]
    assert play(made, {})[1:] == ["skip b", "skip c", "finish {'a': 'a'}"]


def test_a_fallback_waits_for_what_it_reads() -> None:
    made = graph("""
- {id: a, uses: "skill:x", on_error: {fallback: b}, with: {}}
- {id: b, uses: "skill:x", with: {x: =steps.c}}
- {id: c, uses: "skill:x", with: {}}
""")
    planner = Planner(made, NAMES)
    assert [shown(decision) for decision in planner.next()] == ["start a {}", "start c {}"]
    planner.settle("a", FAILED)
    assert planner.next() == []
    planner.settle("c", ok("C"))
    assert [shown(decision) for decision in planner.next()] == ["start b {'x': 'C'}"]


def test_a_for_each_step_gets_one_input_per_item() -> None:
    assert play(two(", for_each: input.names", ", for_each: input.names, with: {n: =item.name}"), {})[:2] == [
        "each a [{'name': 'a'}, {'name': 'b'}]",
        "each b [{'n': 'a'}, {'n': 'b'}]",
    ]


def test_an_item_whose_input_fails_fails_the_step_unless_collected() -> None:
    step = '[{{id: a, uses: "skill:x", for_each: input.names, with: {{n: "=item.name == \'a\' ? item : item.x"}}{0}}}]'
    assert play(open_graph(step.format("")), {}) == ["fail a expression", "abort a expression"]
    assert play(open_graph(step.format(", on_error: collect")), {})[0].endswith(" refused [1]")


EACH = '[{id: a, uses: "skill:x", for_each: input.names, with: {n: "=item.name"}%s}]'


def started(on_error: str = "") -> StartEach:
    (start,) = Planner(graph(EACH % on_error), NAMES).next()
    assert isinstance(start, StartEach)
    return start


def test_items_become_one_output_in_their_order() -> None:
    assert each_result(started(), {1: ok("B"), 0: ok("A")}) == ok({"results": ["A", "B"], "errors": []})
    assert each_result(StartEach(started().node, (), {}), {}) == ok({"results": [], "errors": []})


def test_collected_errors_stand_beside_the_results_and_make_the_run_partial() -> None:
    result = each_result(started(", on_error: collect"), {0: FAILED, 1: ok("B")})
    assert result == ok({"results": ["B"], "errors": [{"index": 0, **ERROR}]}, partial=True)
    planner = Planner(graph(EACH % ", on_error: collect"), NAMES)
    planner.next()
    planner.settle("a", result)
    (finish,) = planner.next()
    assert isinstance(finish, Finish)
    assert finish.partial


def test_without_collect_the_first_failed_item_fails_the_step() -> None:
    result = each_result(started(), {1: FAILED, 0: StepResult(StepStatus.CANCELLED)})
    assert result.status is StepStatus.FAILED
    assert result.error == {"type": "raised", "message": "item 1: boom", "details": {"index": 1}}


def test_a_partial_item_makes_the_step_partial() -> None:
    assert each_result(started(), {0: ok("A", partial=True), 1: ok("B")}).partial


def test_shell_arguments_are_text() -> None:
    steps = '[{id: a, run: [echo, =input.count, =input.go, "=1.5", "=\'t\'"], effect: pure}]'
    assert play(graph(steps), {})[0] == "start a ['echo', '2', 'false', '1.5', 't']"
    assert play(graph("[{id: a, run: [echo, =input.names], effect: pure}]"), {})[0] == "fail a expression"


def test_the_output_of_the_flow_is_its_expression() -> None:
    assert play(graph('[{id: a, uses: "skill:x"}]', output="{'x': steps.a}"), {})[-1] == "finish {'x': 'a'}"
    assert play(graph('[{id: a, uses: "skill:x"}]', output="steps.a.b"), {})[-1] == "abort None expression"


def test_only_selected_steps_run() -> None:
    made = graph("""
- {id: a, uses: "skill:x", with: {}}
- {id: b, uses: "skill:x", with: {x: =steps.a}}
- {id: c, uses: "skill:x", with: {}}
""")
    assert play(made, {}, frozenset({"b", "c"})) == ["skip a", "skip b", "start c {}", "finish {'c': 'c'}"]


def test_results_of_an_earlier_run_stand_for_steps_that_are_not_selected() -> None:
    planner = Planner(two("", READS), NAMES, frozenset({"b"}))
    planner.settle("a", ok("before"))
    assert [shown(decision) for decision in planner.next()] == ["start b {'x': 'before'}"]


def test_a_step_keeps_its_first_result() -> None:
    planner = Planner(two("", READS), NAMES)
    planner.next()
    planner.settle("a", ok("first"))
    planner.settle("a", FAILED)
    assert [shown(decision) for decision in planner.next()] == ["start b {'x': 'first'}"]


LOOP = """
- {id: topic, uses: "skill:x", with: {}}
- id: review
  loop: {max_rounds: 3, until: steps.judge == "accept" && steps.topic == "T"}
  steps:
    - {id: draft, uses: "skill:x", with: {topic: =steps.topic, last: =previous}}
    - {id: judge, uses: "skill:x", with: {text: =steps.draft}}
- {id: send, uses: "skill:x", with: {text: =steps.review.draft}}
"""


def looping() -> tuple[Planner, Node]:
    planner = Planner(graph(LOOP), NAMES)
    planner.next()
    planner.settle("topic", ok("T"))
    (start,) = planner.next()
    assert isinstance(start, Start)
    return planner, start.node


def test_a_round_sees_the_steps_around_it_and_the_round_before() -> None:
    planner, node = looping()
    assert node.body is not None
    body = Planner(node.body, {**planner.names, "previous": None})
    assert [shown(decision) for decision in body.next()] == ["start draft {'topic': 'T', 'last': None}"]
    body.settle("draft", ok("D1"))
    assert [shown(decision) for decision in body.next()] == ["start judge {'text': 'D1'}"]
    body.settle("judge", ok("redo"))
    assert [shown(decision) for decision in body.next()] == ["finish {'draft': 'D1', 'judge': 'redo'}"]
    again = Planner(node.body, {**planner.names, "previous": body.outputs})
    assert shown(again.next()[0]) == "start draft {'topic': 'T', 'last': {'draft': 'D1', 'judge': 'redo'}}"


def test_the_steps_around_a_loop_do_not_see_into_it() -> None:
    planner, node = looping()
    assert node.body is not None
    body = Planner(node.body, {**planner.names, "previous": None})
    body.next()
    body.settle("draft", ok("D1"))
    assert set(planner.steps) == {"topic"}


@pytest.mark.parametrize(
    ("judge", "round", "done"), [("redo", 1, False), ("accept", 1, True), ("redo", 2, False), ("redo", 3, True)]
)
def test_a_loop_ends_when_until_holds_or_the_rounds_are_used_up(judge: str, round: int, done: bool) -> None:
    planner, node = looping()
    assert loop_done(node, planner.names, {"draft": "D", "judge": judge}, round) is done


def test_an_until_that_cannot_be_evaluated_is_no_answer() -> None:
    planner, node = looping()
    with pytest.raises(ConditionFailed):
        loop_done(node, planner.names, {"draft": "D"}, 1)


def test_after_a_loop_its_last_round_is_its_output() -> None:
    planner, node = looping()
    planner.settle(node.id, ok({"draft": "D2", "judge": "accept"}))
    assert [shown(decision) for decision in planner.next()] == ["start send {'text': 'D2'}"]


def test_steps_that_wait_for_one_another_are_no_endless_wait() -> None:
    def node(id: str, after: str) -> Node:
        step = FlowStep.model_validate({"id": id, "uses": "skill:x"})
        return Node(id, step, None, None, None, frozenset({after}), frozenset(), frozenset())

    with pytest.raises(Broken, match="a, b"):
        Planner(Graph({"a": node("a", "b"), "b": node("b", "a")}, None), NAMES).next()


@st.composite
def flows(draw: st.DrawFn) -> tuple[Graph, dict[str, StepResult]]:
    """Any graph without a circle, in any order of the file, with any outcome of each step."""
    count = draw(st.integers(1, 12))
    ids = [f"s{number}" for number in range(count)]
    nodes: dict[str, Node] = {}
    callers: dict[str, set[str]] = {}
    for number, id in enumerate(ids):
        before = draw(st.frozensets(st.sampled_from(ids[:number]), max_size=4)) if number else frozenset()
        on_error: Any = draw(st.sampled_from(["fail", "skip", "fallback"]))
        # A fallback that waits for nothing and comes last can never close a circle.
        if on_error == "fallback":
            on_error = Fallback(fallback=f"f{number % 3}")
            callers.setdefault(on_error.fallback, set()).add(id)
        nodes[id] = _node(
            id, before, draw(st.frozensets(st.sampled_from(sorted(before)))) if before else frozenset(), on_error
        )
    for id, who in callers.items():
        nodes[id] = _node(id, frozenset(), frozenset(), draw(st.sampled_from(["fail", "skip"])), frozenset(who))
    order = draw(st.permutations(sorted(nodes)))
    outcomes = {id: draw(st.sampled_from([ok(id), ok(id), ok(id), FAILED])) for id in nodes}
    return Graph({id: nodes[id] for id in order}, None), outcomes


def _node(
    id: str, after: frozenset[str], guarded: frozenset[str], on_error: Any, fallback_of: frozenset[str] = frozenset()
) -> Node:
    step = FlowStep.model_validate({"id": id, "uses": "skill:x"}).model_copy(update={"on_error": on_error})
    return Node(id, step, None, None, None, after, guarded, fallback_of)


def run(made: Graph, outcomes: dict[str, StepResult], choose: Iterable[int]) -> tuple[list[Decision], dict[str, int]]:
    """Run to the end, settling running steps one by one in a drawn order; when each step started or was skipped."""
    planner, running, told, when = Planner(made, NAMES), list[str](), list[Decision](), dict[str, int]()
    numbers = iter(choose)
    while True:
        for decision in planner.next():
            told.append(decision)
            if isinstance(decision, Start):
                running.append(decision.node.id)
            if isinstance(decision, Start | Skip):
                id = decision.node.id if isinstance(decision, Start) else decision.id
                assert id not in when, "no step is decided twice"
                when[id] = len(told)
        if not running or isinstance(told[-1], Finish | Abort):
            return told, when
        id = running.pop(next(numbers, 0) % len(running))
        told.append(Skip(f"end of {id}", ""))
        planner.settle(id, outcomes[id])


@given(flows(), st.lists(st.integers(0, 50), max_size=30))
def test_every_step_ends_once_after_what_it_waits_for(
    drawn: tuple[Graph, dict[str, StepResult]], choose: list[int]
) -> None:
    made, outcomes = drawn
    told, when = run(made, outcomes, choose)
    ends = [decision for decision in told if isinstance(decision, Finish | Abort)]
    assert len(ends) == 1
    assert ends[0] is told[-1]
    if isinstance(ends[0], Finish):
        assert set(when) == set(made.nodes)
    for id, at in when.items():
        assert all(when[other] < at for other in made.nodes[id].after)
    started = {decision.node.id for decision in told if isinstance(decision, Start)}
    failed = {id for id in started if outcomes[id] is FAILED}
    policies = [made.nodes[id].step.on_error for id in failed]
    called = {policy.fallback for policy in policies if isinstance(policy, Fallback)}
    assert {id for id in started if made.nodes[id].fallback_of} <= called
    if isinstance(ends[0], Finish):
        assert ends[0].partial == bool(failed)
        assert {id for id, node in made.nodes.items() if node.fallback_of and id in started} == called


@given(flows(), st.lists(st.integers(0, 50), max_size=30))
def test_the_same_results_in_the_same_order_decide_the_same(
    drawn: tuple[Graph, dict[str, StepResult]], choose: list[int]
) -> None:
    assert run(*drawn, choose) == run(*drawn, choose)


@given(flows(), st.lists(st.integers(0, 50), max_size=30), st.lists(st.integers(0, 50), max_size=30))
def test_a_flow_that_finishes_has_one_output_whatever_ends_first(
    drawn: tuple[Graph, dict[str, StepResult]], one: list[int], other: list[int]
) -> None:
    first, second = run(*drawn, one)[0][-1], run(*drawn, other)[0][-1]
    assert type(first) is type(second)
    assert isinstance(first, Abort) or first == second


def test_a_long_flow_costs_the_same_per_step() -> None:
    assert _calls_per_step(4000) <= _calls_per_step(100) * 1.05


def _calls_per_step(count: int) -> float:
    """Function calls that planning takes per step: the same on every machine, unlike seconds."""
    nodes = {f"s{n}": _node(f"s{n}", frozenset({f"s{n - 1}"} if n else ()), frozenset(), "fail") for n in range(count)}
    calls = 0

    def count_calls(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_calls)
    try:
        planner = Planner(Graph(nodes, None), NAMES)
        for _ in range(count):
            (decision,) = planner.next()
            assert isinstance(decision, Start)
            planner.settle(decision.node.id, ok())
        assert isinstance(planner.next()[0], Finish)
    finally:
        sys.setprofile(None)
    return calls / count
