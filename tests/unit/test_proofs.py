"""The parts of a crash proof: where it kills, what it compares, what stands in for acts, how the time stands."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.proofs.boundaries import Boundaries, read_notes, watched
from magsag.adapters.proofs.clock import StandingClock
from magsag.adapters.proofs.loop import StandingLoop
from magsag.adapters.proofs.place import StandInPlace
from magsag.adapters.proofs.sink import Sink, SinkCalls
from magsag.adapters.store.memory import MemoryStore
from magsag.catalog.contracts import Contract
from magsag.catalog.examples import example_of
from magsag.domain.effects import Effect, Level
from magsag.domain.errors import ErrorType, Invalid
from magsag.domain.facts import Proposal
from magsag.domain.ids import RunId, StepId
from magsag.ports.ledger import Write
from magsag.ports.place import ActCall
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.proofs.outcome import Outcome, differences
from magsag.services.proofs.points import Boundary, Place, Side, What, chosen, points_of
from magsag.services.steps.strands import Strands
from magsag.testing import build_app
from tests.unit.catalogs import loaded, told
from tests.unit.world import agent, skill

PROOF = "proof.yaml"
SEND = Proposal("skill", "skill:send@0.2.0", Effect.IDEMPOTENT)
CROSSED = [
    Boundary(What.COMMIT, Side.BEFORE, ("p RunStarted",)),
    Boundary(What.COMMIT, Side.AFTER, ("p RunStarted",)),
    Boundary(What.COMMIT, Side.BEFORE, ("p StepDone look#1", "p StepStarted mail#1")),
    Boundary(What.COMMIT, Side.AFTER, ("p StepDone look#1", "p StepStarted mail#1")),
    Boundary(What.ACT, Side.BEFORE, ("p mail#1",), "unrepeatable"),
    Boundary(What.ACT, Side.AFTER, ("p mail#1",), "unrepeatable"),
    Boundary(What.COMMIT, Side.BEFORE, ("p StepSucceeded mail#1",)),
    Boundary(What.COMMIT, Side.AFTER, ("p StepSucceeded mail#1",)),
    Boundary(What.COMMIT, Side.BEFORE, ("p RunEnded",)),
    Boundary(What.COMMIT, Side.AFTER, ("p RunEnded",)),
]


def test_points_are_all_boundaries_and_the_lease_of_who_goes_on() -> None:
    points = points_of(CROSSED, CROSSED)
    assert [str(point) for point in points[2:5]] == [
        "before the commit of p StepStarted mail#1",
        "after the commit of p StepStarted mail#1",
        "before the act of p mail#1",
    ]
    assert [(str(point), str(point.first)) for point in points[-2:]] == [
        ("before taking the lease of p", "after the commit of p RunStarted"),
        ("after taking the lease of p", "after the commit of p RunStarted"),
    ]
    assert [point.number for point in points] == list(range(1, 13))


def test_a_commit_is_named_by_a_fact_that_every_run_has() -> None:
    other = [one for one in CROSSED if "StepStarted" not in one.names[-1]]
    other += [Boundary(What.COMMIT, side, ("p StepDone look#1",)) for side in Side]
    assert str(points_of(CROSSED, other)[2]) == "before the commit of p StepDone look#1"


@pytest.mark.parametrize("seed", range(5))
def test_a_choice_holds_the_three_points_around_each_effect(seed: int) -> None:
    points = points_of(CROSSED, CROSSED)
    taken = chosen(points, 5, seed)
    assert len(taken) == 5
    assert {5, 6, 8} <= {point.number for point in taken}
    assert taken == chosen(points, 5, seed) == sorted(taken, key=lambda point: point.number)
    assert [point.number for point in chosen(points, 1, seed)] == [5, 6, 8]
    assert chosen(points, None, seed) == chosen(points, 12, seed) == points


def left(**changes: Any) -> Outcome:
    """What a run left: one letter, one put, one paid answer."""
    effects = {"k1": ("p mail#1", Effect.UNREPEATABLE), "k2": ("p put#1", Effect.IDEMPOTENT)}
    found = Outcome("succeeded", {"n": 1}, Counter({"p mail#1": 1}), effects, calls={"k1": 1, "k2": 1}, reads=1)
    found.spent, found.dearest = Counter(usd=5), Counter(usd=5)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"calls": {"k1": 1, "k2": 2}}, []),
        ({"calls": {"k1": 1, "k2": 3}}, ["p put#1 (idempotent) acted 3 times, 1 in the clean run"]),
        ({"calls": {"k1": 2, "k2": 1}}, ["p mail#1 (unrepeatable) acted 2 times, 1 in the clean run"]),
        ({"calls": {"k2": 1}}, ["p mail#1 (unrepeatable) acted 0 times, 1 in the clean run"]),
        ({"calls": {"k1": 1, "k2": 1, "k3": 1}}, ["key k3 (unrepeatable) acted 1 times, 0 in the clean run"]),
        ({"output": {"n": 2}}, ["its output differs at /n: 1, now 2"]),
        ({"status": "failed"}, ["the run ended failed, not succeeded"]),
        ({"status": ""}, ["the run ended nowhere, not succeeded"]),
        ({"outcomes": Counter({"p mail#1": 2})}, ["p mail#1 has 2 outcomes"]),
        ({"faults": ["run p: torn"]}, ["data check: run p: torn"]),
        ({"spent": Counter(usd=4)}, ["4 usd are on record as spent, 5 in the clean run"]),
        ({"spent": Counter(usd=10)}, ["10 usd are on record as spent, 5 in the clean run"]),
        ({"spent": Counter(usd=10), "reads": 2}, []),
        ({"spent": Counter(usd=7), "assumed": Counter(usd=2)}, []),
    ],
)
def test_what_is_not_as_in_the_clean_run_is_said(changes: dict[str, Any], said: list[str]) -> None:
    assert differences(left(), left(**changes), 1) == said


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {}}}, {"a": ""}),
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "string", "format": "date"}, "2030-01-01"),
        ({"enum": ["one", "two"]}, "one"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 4}, 4),
        ({"examples": [{"x": 1}], "type": "object"}, {"x": 1}),
        ({"type": "integer", "minimum": 3, "multipleOf": 2}, 4),
        ({"type": "number", "exclusiveMinimum": 0}, 1),
        ({"type": "number", "maximum": -2}, -2),
        ({"type": ["boolean", "null"]}, False),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, ""),
        ({"allOf": [{"required": ["a"]}, {"type": "object", "required": ["b"]}]}, {"a": None, "b": None}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, False),
    ],
)
def test_an_example_fits_its_contract(schema: dict[str, Any], value: object) -> None:
    assert example_of(Contract("some", schema)) == value


def test_a_contract_beyond_examples_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="no example fits contract some"):
        example_of(Contract("some", {"type": "string", "pattern": "^A[0-9]+$"}))


def stand_in(*lines: str) -> dict[str, str]:
    return {PROOF: "kind: proof\nschema: 1\nstand_ins:\n" + "".join(f"  - {line}\n" for line in lines)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{for: "skill:snd"}', "4:11: 'skill:snd' names nothing in the catalog; did you mean \"send\"?"),
        ('{for: "agent:boss-mag"}', "nothing stands in for 'agent:boss-mag'; name a skill, shell:STEP or a model"),
        ('{for: "skill:send", output: "=input.txt"}', "txt"),
        ("{output: 1}", "`for` is missing"),
        ('{for: "skill:send", outptu: 1}', 'did you mean "output"?'),
    ],
)
def test_a_fault_of_a_stand_in_is_told_at_its_place(line: str, said: str, tmp_path: Path) -> None:
    (one,) = told(tmp_path, stand_in(line))
    assert one.startswith(f"{PROOF}:")
    assert said in one


def test_what_runs_as_it_is_needs_no_stand_in(tmp_path: Path) -> None:
    skill = "kind: skill\nschema: 1\nslug: sum\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: pure\n"
    files = {"skills/sum/skill.yaml": skill, "skills/sum/skill.py": "def run(payload):\n    return 1\n"}
    (one,) = told(tmp_path, {**files, **stand_in('{for: "skill:sum"}')})
    assert "skill:sum@1.0.0 is pure and runs as it is in a proof; remove its stand-in" in one


def test_stand_ins_are_no_part_of_the_bundle(tmp_path: Path) -> None:
    assert loaded(tmp_path / "a").bundle.hash == loaded(tmp_path / "b", stand_in('{for: "skill:send"}')).bundle.hash


def test_the_time_stands_until_it_is_put_forward() -> None:
    clock = StandingClock(10)
    assert clock.now() == clock.now() == 10
    clock.put_forward(30)
    clock.put_forward(20)
    assert clock.now() == 30
    assert StandingClock(0).chance(40) == StandingClock(9).chance(40)
    assert clock.chance(16) != clock.chance(16)


def test_a_timer_of_a_program_takes_the_clock_along_and_no_other_does() -> None:
    async def rests() -> list[int]:
        seen = [clock.now()]
        await asyncio.sleep(0.002)
        seen.append(clock.now())
        await strands.pause(RunId("p"), 0.002, 1)
        seen.append(clock.now())
        while clock.now() < 50_000:
            await strands.rest(RunId("p"), None, (50_000 - clock.now()) / 1e6)
        return [*seen, clock.now()]

    clock, strands = StandingClock(10_000), Strands()
    strands.begin()
    with asyncio.Runner(loop_factory=lambda: StandingLoop(clock)) as runner:
        assert runner.run(rests()) == [10_000, 10_000, 10_000, 50_000]


def test_a_deadline_is_a_timer_of_the_program(tmp_path: Path) -> None:
    async def to_its_end() -> RunResult:
        return await app.runs.run(Order("agent:main", None, run_id="r"))

    clock = StandingClock(10_000_000)
    files = agent("main", 'await ctx.skill("look")\nreturn "late"', "skill:look", timeout="50ms")
    files |= skill("look", "read", "import asyncio\nasync def run(payload, ctx):\n    await asyncio.sleep(30)\n")
    app = build_app(tmp_path, files, store=MemoryStore(), clock=clock)
    with asyncio.Runner(loop_factory=lambda: StandingLoop(clock)) as runner:
        result = runner.run(to_its_end())
    assert result.error is not None
    assert result.error.type is ErrorType.TIMEOUT
    assert clock.now() == 10_050_000


class Died(Exception):
    """In the place of a SIGKILL."""


def died() -> None:
    raise Died


def test_a_process_dies_at_its_place_and_has_noted_it(tmp_path: Path) -> None:
    place = Place(What.COMMIT, Side.AFTER, "p nothing")
    store = watched(MemoryStore(), Boundaries(tmp_path / "notes", place, died))
    store.put_bundle("hash", b"catalog")
    store.acquire(RunId("p"), store.owner(), 1.0)
    with pytest.raises(Died):
        store.write([Write(RunId("p"), RunId("p"), [])], Level.WRITTEN)
    noted = read_notes(tmp_path / "notes")
    assert [(one.what.value, one.side.value, one.names[0]) for one in noted] == [
        ("bundle", "before", "bundle"),
        ("bundle", "after", "bundle"),
        ("lease", "before", "p"),
        ("lease", "after", "p"),
        ("commit", "before", "p nothing"),
        ("commit", "after", "p nothing"),
    ]
    assert noted[-1].is_at(place)


def test_notes_that_were_cut_short_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    boundaries = Boundaries(tmp_path / "notes", None)
    boundaries.cross(CROSSED[0])
    with (tmp_path / "notes").open("a") as file:
        file.write('{"what": "com')
    assert read_notes(tmp_path / "notes") == [CROSSED[0]]


class Acting:
    """Acts at a place, with a sink of its own."""

    def __init__(self, folder: Path, sink: Sink, *lines: str, really: bool = False) -> None:
        self.notes = folder / "notes"
        boundaries = Boundaries(self.notes, None)
        calls = SinkCalls(int(sink.url.rpartition(":")[2]))
        stand_ins = loaded(folder / "catalog", stand_in(*lines) if lines else {}).stand_ins
        self.place = StandInPlace(boundaries, stand_ins, calls, "t", really, give_up)

    def act(
        self, proposal: Proposal, is_lookup: bool = False, here: Callable[[], Awaitable[object]] | None = None
    ) -> Any:
        call = ActCall(RunId("p"), StepId("send#1"), 1, proposal, "key", {"text": "hi"}, is_lookup)
        return asyncio.run(self.place.act(call, here or real))


def give_up(error: Invalid) -> None:
    raise error


async def real() -> object:
    return "real"


def test_a_stand_in_is_a_call_of_the_sink_and_its_lookup_asks_there(tmp_path: Path) -> None:
    proposal = Proposal("skill", SEND.target, Effect.RECONCILABLE)
    with Sink(is_serial=True) as sink:
        acting = Acting(
            tmp_path, sink, '{for: "skill:send", output: {score: 3, text: =input.text, by: =key, in: =run.id}}'
        )
        assert acting.act(proposal, is_lookup=True) == {"found": False}
        given = acting.act(proposal)
        assert given == {"score": 3, "text": "hi", "by": "key", "in": "p"}
        assert acting.act(proposal, is_lookup=True) == {"found": True, "output": given}
        assert sink.count("t") == {"key": 1}
        assert json.loads(sink.bodies["key"]) == {"output": given}
    assert {(one.what, one.is_real) for one in read_notes(acting.notes)} == {(What.ACT, False), (What.LOOKUP, False)}


def test_reads_are_stood_in_for_without_a_call_and_pure_acts_never(tmp_path: Path) -> None:
    with Sink() as sink:
        acting = Acting(
            tmp_path, sink, '{for: "skill:send", output: 5}', '{for: "shell:stamp"}', '{for: "model:smart"}'
        )
        assert acting.act(Proposal("skill", SEND.target, Effect.READ)) == 5
        assert acting.act(Proposal("skill", SEND.target, Effect.PURE)) == "real"
        assert acting.act(Proposal("skill", "skill:other@1.0.0", Effect.READ)) == "real"
        assert sink.calls == []
        assert acting.act(Proposal("shell", "shell:stamp", Effect.UNREPEATABLE))["code"] == 0
        assert acting.act(Proposal("model", "model:smart", Effect.READ))["provider"] == "proof"


def test_an_act_without_a_stand_in_is_named_with_the_next_move(tmp_path: Path) -> None:
    with Sink() as sink:
        with pytest.raises(
            Invalid, match=r"skill:send at step send#1 is idempotent .* `- for: skill:send` .* --really"
        ):
            Acting(tmp_path, sink).act(SEND)
        assert Acting(tmp_path, sink, really=True).act(SEND) == "real"


def test_a_stand_in_that_says_nothing_gives_an_example(tmp_path: Path) -> None:
    with Sink() as sink:
        given = Acting(tmp_path, sink, '{for: "skill:send"}').act(SEND)
    assert loaded(tmp_path).bundle.contract("answer").problems(given) == []


def test_an_output_that_cannot_be_made_ends_the_proof(tmp_path: Path) -> None:
    with Sink() as sink, pytest.raises(Invalid, match=r"proof.yaml:4: the output of the stand-in for skill:send"):
        Acting(tmp_path, sink, '{for: "skill:send", output: "=input.level"}').act(SEND)


def test_a_real_act_that_fails_is_noted_too(tmp_path: Path) -> None:
    async def fails() -> object:
        raise ValueError("no luck")

    with Sink() as sink:
        acting = Acting(tmp_path, sink, really=True)
        with pytest.raises(ValueError, match="no luck"):
            acting.act(SEND, here=fails)
    assert [one.side for one in read_notes(acting.notes)] == [Side.BEFORE, Side.AFTER]
