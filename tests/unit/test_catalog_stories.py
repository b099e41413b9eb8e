"""A catalog with a cycle, an unreachable step, an unknown contract and a skill without effect: four findings.

The same four causes in several shapes; whatever follows from them is not told.
"""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.unit.catalogs import AGENT, ANSWER, ASYNC_RUN, BOSS, FLOW, HELPER, REVIEW, SEND, SKILL, swapped, told

Files = dict[str, str | bytes | None]
HELPED: Final = "agents/sub/helper-sag/agent.yaml"
NO_EFFECT: Final = swapped(SKILL, ("effect: idempotent\n", ""))
AGENT_FLOW: Final = """\
kind: agent
schema: 1
slug: flow-mag
version: 0.1.0
role: main
flow: flow:review
"""


def one_step(slug: str, uses: str) -> str:
    """A flow with one step."""
    return f"kind: flow\nschema: 1\nslug: {slug}\nversion: 0.1.0\nsteps: [{{id: a, uses: '{uses}'}}]\n"


CYCLES: Final[dict[str, Files]] = {
    "two agents": {HELPED: HELPER + "uses: [agent:boss-mag]\n"},
    "an agent and itself": {HELPED: HELPER + "uses: [agent:helper-sag]\n"},
    "an agent, its flow and a step": {
        "agents/main/flow-mag/agent.yaml": AGENT_FLOW,
        "flows/back.yaml": one_step("back", "agent:round-sag"),
        "agents/sub/round-sag/agent.yaml": swapped(AGENT_FLOW, ("flow-mag", "round-sag"), ("review", "back")),
    },
    "two flows": {
        f"flows/{one}.yaml": one_step(one, f"flow:{two}") for one, two in (("ping", "pong"), ("pong", "ping"))
    },
    "steps that need each other": {
        "flows/round.yaml": """\
            kind: flow
            schema: 1
            slug: round
            version: 0.1.0
            steps:
              - {id: a, run: ["true"], effect: pure, needs: [b]}
              - {id: b, run: ["true"], effect: pure, needs: [c]}
              - {id: c, run: ["true"], effect: pure, needs: [a]}
              - {id: d, run: ["true"], effect: pure, needs: [c]}
            """
    },
    "steps that read each other": {
        "flows/round.yaml": """\
            kind: flow
            schema: 1
            slug: round
            version: 0.1.0
            steps:
              - {id: a, run: [echo, =steps.b.stdout], effect: pure}
              - {id: b, run: [echo, x], effect: pure, when: steps.a.code == 0}
            """
    },
    "a loop without a bound": {
        "flows/round.yaml": """\
            kind: flow
            schema: 1
            slug: round
            version: 0.1.0
            steps:
              - id: again
                loop: {until: steps.a.code == 0}
                steps: [{id: a, run: ["true"], effect: pure}]
              - {id: b, run: [echo, =steps.again.a.stdout], effect: pure}
            """
    },
    "a fallback that waits for its step": {
        "flows/round.yaml": """\
            kind: flow
            schema: 1
            slug: round
            version: 0.1.0
            steps:
              - {id: a, run: ["true"], effect: pure, on_error: {fallback: b}}
              - {id: b, run: ["true"], effect: pure, needs: [a]}
            """
    },
}
WHEN: Final = 'when: input.level == "high" && steps.ask.score > 3'


def with_when(condition: str) -> Files:
    """The flow with another condition before its last step."""
    return {REVIEW: swapped(FLOW, (WHEN, f"when: {condition}"))}


UNREACHABLE: Final[dict[str, Files]] = {
    "a constant": with_when("false"),
    "a constant in words": with_when('"1 > 2"'),
    "a value that the input excludes": with_when('input.level == "middle"'),
    "a value that a step's output excludes": with_when("steps.ask.score > 10"),
    "a contradiction": with_when('input.level == "low" && input.level == "high"'),
    "a fallback of a fallback": {
        "flows/lost.yaml": """\
            kind: flow
            schema: 1
            slug: lost
            version: 0.1.0
            steps:
              - {id: go, run: ["true"], effect: pure}
              - {id: a, run: ["true"], effect: pure, on_error: {fallback: b}}
              - {id: b, run: ["true"], effect: pure, on_error: {fallback: a}}
            """
    },
    "a step with readers and a fallback behind it": {
        "flows/lost.yaml": """\
            kind: flow
            schema: 1
            slug: lost
            version: 0.1.0
            steps:
              - {id: never, run: ["true"], effect: pure, when: false, on_error: {fallback: spare}}
              - {id: spare, run: ["true"], effect: pure}
              - {id: reader, run: [echo, =steps.never.stdout], effect: pure}
              - {id: last, run: [echo, =steps.reader.stdout], effect: pure}
            """
    },
}
UNKNOWN: Final[dict[str, Files]] = {
    "in a manifest": {
        "agents/sub/lone-sag/agent.yaml": swapped(HELPER, ("helper", "lone")) + "contracts: {output: answr}\n",
        "agents/sub/lone-sag/agent.py": ASYNC_RUN,
    },
    "in a contract": {"contracts/other.schema.json": '{"properties": {"a": {"$ref": "nowhere.schema.json"}}}'},
    "in the skill without effect": {SEND: swapped(NO_EFFECT, ("input: question", "input: nowhere"))},
}


@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("unreachable", UNREACHABLE)
@pytest.mark.parametrize("cycle", CYCLES)
def test_four_causes_are_four_findings(cycle: str, unreachable: str, unknown: str, tmp_path: Path) -> None:
    changes: Files = {SEND: NO_EFFECT} | CYCLES[cycle] | UNREACHABLE[unreachable] | UNKNOWN[unknown]
    found = told(tmp_path, changes)
    assert len(found) == 4, found
    assert all(re.match(r"[\w/.-]+:\d+:\d+: .+; .+", line) for line in found)


def test_the_valid_catalog_has_none(tmp_path: Path) -> None:
    assert told(tmp_path, {}) == []


def test_all_four_in_one_flow_and_its_skill_are_four(tmp_path: Path) -> None:
    flow = """\
        kind: flow
        schema: 1
        slug: review
        version: 1.0.0
        contracts: {input: question, output: nowhere}
        steps:
          - {id: a, uses: "skill:send", needs: [b]}
          - {id: b, uses: "skill:send", needs: [a]}
          - {id: c, uses: "skill:send", when: input.level == "middle"}
          - {id: d, uses: "skill:send", with: {text: =steps.c.text, level: low}, when: steps.b.score > 1}
        """
    found = told(tmp_path, {REVIEW: flow, SEND: NO_EFFECT})
    assert [line.partition(": ")[0] for line in found] == [
        "flows/review.yaml:5:38",
        "flows/review.yaml:7:41",
        "flows/review.yaml:9:39",
        "skills/send/skill.yaml:1:1",
    ]


def test_each_says_what_and_the_next_move(tmp_path: Path) -> None:
    changes: Files = {SEND: NO_EFFECT} | CYCLES["two agents"] | UNREACHABLE["a constant"] | UNKNOWN["in a manifest"]
    cycle, unknown, unreachable, effect = told(tmp_path, changes)
    assert cycle == (
        f"{BOSS}:8:8: agent:boss-mag -> agent:helper-sag -> agent:boss-mag call one another without end; "
        "remove one of these uses"
    )
    assert unknown.endswith('contract "answr" is not in the catalog; did you mean "answer"?')
    assert unreachable == (
        f"{REVIEW}:10:11: the step tell never runs: `when` is false for every value that the contracts allow; "
        "correct the condition, or remove the step"
    )
    assert effect.startswith(f"{SEND}:1:1: `effect` is missing; say what repeating it would do: `effect:` with one of ")


def test_an_answer_that_allows_more_makes_the_step_reachable(tmp_path: Path) -> None:
    wider = swapped(ANSWER, ('"maximum": 10', '"maximum": 11'))
    changes = UNREACHABLE["a value that a step's output excludes"]
    assert len(told(tmp_path, changes)) == 1
    assert told(tmp_path, {**changes, "contracts/answer.schema.json": wider}) == []


def test_agents_that_share_a_helper_are_no_cycle(tmp_path: Path) -> None:
    other = swapped(AGENT, ("boss-mag", "chief-mag"), ("skill:send", "agent:boss-mag"))
    changes: Files = {"agents/main/chief/agent.yaml": other, "agents/main/chief/agent.py": ASYNC_RUN}
    assert told(tmp_path, changes) == []
