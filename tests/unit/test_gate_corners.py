"""The ways through the gate that only a rare moment takes: given up within a commit, over in a wait, lost beside it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.breaking import BreakerMoved
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, Invalid, StepFailed
from magsag.domain.facts import RunStatus, StepStatus
from magsag.domain.ids import RunId, StepId
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.ledger import Declined, TicketQuery, Write, Written
from magsag.ports.sandbox import Confines, NoAnswer, Sandbox
from magsag.ports.throttles import ThrottleRow
from magsag.services.driving.runs import Order
from magsag.services.gate.shells import shell
from magsag.services.people.approvals import Decision
from magsag.services.steps.beginnings import read_run
from magsag.testing import History, build_app
from tests.unit.world import KINDS, USES, WORLD, Bench, Files, agent, contract, skill

R = RunId("r")
ASK = "kind: policy\nschema: 1\nrules:\n  - {id: ask, on: ['skill:once'], verdict: ask, approval: {ttl: 60s}}\n"
MAY = "kind: policy\nschema: 1\nrules:\n  - {id: may, on: ['skill:*'], verdict: allow}\n"
PEOPLE = "kind: people\nschema: 1\npeople:\n  - {id: ann, proof: os_user}\n"


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


class Slow(MemoryStore):
    """The commit of a fact of this kind takes longer than the child run may."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.is_in = kind, Event()

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        if any(fact.kind == self.kind for item in writes for fact in item.facts if item.run != R):
            self.is_in.set()
            time.sleep(0.8)
        return super().write(writes, level)

    async def begun(self) -> None:
        """That commit is under way."""
        while not self.is_in.is_set():
            await asyncio.sleep(0.001)


ABOVE = """
try:
    return await ctx.delegate("child")
except StepFailed as error:
    return error.type
"""
BESIDE = """
from tests.unit.world import WORLD
async def beside():
    await WORLD.ask(ctx)
    return await ctx.skill("pure")
"""


@pytest.mark.parametrize(
    ("kind", "branch", "policy", "statuses"),
    [
        ("StepHeld", "ctx.skill('once')", ASK, {"once#1": "cancelled"}),
        ("StepStarted", "ctx.skill('once')", MAY, {"once#1": "failed"}),
        (
            "StepSucceeded",
            "ctx.gather(ctx.delegate('below'), beside())",
            MAY,
            {"g1.0/below#1": "cancelled", "g1.1/pure#1": "cancelled"},
        ),
    ],
    ids=["held", "started", "owed"],
)
def test_what_is_given_up_within_its_commit_does_not_act(
    tmp_path: Path, kind: str, branch: str, policy: str, statuses: dict[str, str]
) -> None:
    """Owed is the outcome of a run under a budget, before which nothing of its tree acts."""
    store = Slow(kind)
    files = {
        **agent("below", "await ctx.skill('look')\nreturn await ctx.sleep(9)", USES, budget="{calls: 9}"),
        **agent("child", f"{BESIDE}return await {branch}", f"{USES}, agent:below", timeout="500ms"),
        **agent("main", ABOVE, "agent:child", "from magsag import StepFailed"),
        "policies/allow.yaml": policy,
    }
    app = build_app(tmp_path, {**KINDS, **files}, store=store)
    app.recorder._pace = 1.0  # as after slow commits: the next ones go to the writing thread
    WORLD.ask = lambda ctx: store.begun()
    assert asyncio.run(app.runs.run(Order("agent:main", None, run_id="r"))).output == "timeout"
    assert store.is_in.is_set()
    assert [name for name, _ in WORLD.calls] == ["look"] * (kind == "StepSucceeded")
    child = read_run(store, RunId("r.child#1"))
    assert child is not None
    found = {id: step.status.value for id, step in child.steps.items() if step.proposal is not None}
    assert {id: found.get(StepId(id)) for id in statuses} == statuses
    app.close()


class Clocked(MemoryStore):
    """Its throttles go by the clock of the test."""

    clock: Any

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        return self.clock.now(), super().throttle(name)[1]


def clocked(folder: Path, files: Files) -> Bench:
    store = Clocked()
    made = Bench(folder, files, store, actor="tester")
    store.clock = made.time.clock
    return made


def taken(made: Bench, name: str, seconds: float) -> None:
    """Others have taken the calls of its rate, for so long."""
    now = made.time.clock.now()
    assert made.store.put_throttle(ThrottleRow(name, 1, b'{"full_at":%d,"at":%d}' % (now + seconds * 1e6, now)))


def test_an_approval_that_runs_out_while_its_step_waits_for_its_rate_is_not_used(tmp_path: Path) -> None:
    limited = skill("once", "unrepeatable", rate="{calls: 1, per: 10s}", retry="{attempts: 3}")
    program = agent("main", "return await ctx.skill('once')", "skill:once")
    made = clocked(tmp_path, {**limited, **program, "policies/allow.yaml": ASK, "people.yaml": PEOPLE})
    assert made.run().status is RunStatus.PARKED
    (ticket,) = made.store.tickets(TicketQuery())
    made.app.approvals.decide(ticket.id, Decision(Acting("ann", Proof.OS_USER), Answer.APPROVE))
    made.time.passed += 57
    taken(made, "skill:once", 10)
    result = made.resume()
    assert result.error is not None
    assert (result.status, result.error.type) == (RunStatus.DENIED, ErrorType.DENIED)
    assert "has expired: it was not used in time" in result.error.message
    assert not WORLD.calls


def test_how_a_run_ended_is_said_when_its_throttle_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = agent("main", "await ctx.sleep(100)\nreturn 1", breaker="{failures: 1, open: 1h}")
    made = Bench(tmp_path, program)
    parked = made.run()
    made.store.put_throttle(ThrottleRow("agent:main", 1, b"[]"))
    assert made.onward(parked).output == 1
    assert "agent:main: how run r ended could not be counted: " in caplog.text


def test_beside_a_lost_tree_nobody_calls_any_more_and_what_moved_is_in_the_throttle_alone(tmp_path: Path) -> None:
    """Another process has the run since `idem` acted: `look` waits for its rate then, and `once` is under way."""
    body = "return await ctx.gather(ctx.skill('idem'), ctx.skill('once'), ctx.skill('look'))"
    files = {
        **skill("idem", "idempotent"),
        **skill("once", "unrepeatable", breaker="{failures: 1, open: 1h}"),
        **skill("look", "read", rate="{calls: 1, per: 10s}", retry="{attempts: 3}"),
        **agent("main", body, "skill:idem, skill:once, skill:look"),
        "policies/allow.yaml": MAY,
    }
    made = clocked(tmp_path, files)
    made.time.at_most = 120
    taken(made, "skill:look", 10)

    async def act(name: str, payload: Any, ctx: Any) -> Any:
        if name == "once":
            await asyncio.sleep(2)
            raise ValueError("broken")
        await asyncio.sleep(1)
        made.store.renew(made.store.owner(), -1)
        made.store.acquire(R, "another", 100_000)

    WORLD.on_act = act
    with pytest.raises(TimeoutError):
        made.run()
    assert sorted(name for name, _ in WORLD.calls) == ["idem", "once"]
    assert [row.name for row in made.store.throttles()] == ["skill:look", "skill:once"]
    assert not [fact for fact in made.facts() if isinstance(fact, BreakerMoved)]


FINDS = """
import asyncio
from tests.unit.world import WORLD
async def run(payload, ctx):
    return await WORLD.act("recon", payload, ctx)
async def find(payload, ctx):
    await asyncio.sleep(3)
    return {"found": True, "output": 7}
"""


def test_a_lookup_is_not_broken_off_when_its_step_is_given_up(tmp_path: Path) -> None:
    def act(*_: Any) -> None:
        raise StepFailed("timeout", "no answer")

    WORLD.on_act = act
    body = "try:\n    await ctx.timeout(9, ctx.skill('recon'))\nexcept StepFailed as error:\n    return error.type"
    files = {
        **skill("recon", "reconcilable", FINDS, timeout="8s"),
        **agent("main", body, "skill:recon", "from magsag import StepFailed"),
        "policies/allow.yaml": MAY,
    }
    made = Bench(tmp_path, files)
    assert made.run().output == "timeout"
    assert (made.step("t1/recon#1").status, made.step("t1/recon#1").output) == (StepStatus.SUCCEEDED, b"7")


def test_what_a_lookup_found_must_meet_the_contract(tmp_path: Path) -> None:
    files = {
        **skill("recon", "reconcilable", FINDS, contracts="{output: words}"),
        **contract("words", '{"type": "string"}'),
        **agent("main", "return await ctx.skill('recon', 'hello')", "skill:recon"),
        "policies/allow.yaml": MAY,
    }
    made = Bench(tmp_path, files)
    history = History(made.app)
    assert made.run().output == "hello"
    (reason,) = made.on(history.cut(2)).resume().reasons
    assert "what its lookup found does not meet its contract" in reason.reason


def test_a_sleep_goes_on_in_the_next_leg_when_this_one_stops(tmp_path: Path) -> None:
    async def act(name: str, payload: Any, ctx: Any) -> Any:
        await asyncio.sleep(8)
        return payload

    WORLD.on_act = act
    body = "await ctx.gather(ctx.sleep(5), ctx.skill('idem'))\nreturn 3"
    made = Bench(tmp_path, {**KINDS, **agent("main", body, USES)})

    async def stopped() -> None:
        stop = asyncio.Event()
        await made.app.runs.start(Order("agent:main", None, run_id="r"))
        driving = asyncio.ensure_future(made.app.drive.drive(R, stop))
        await asyncio.sleep(1)
        stop.set()
        await driving

    made.time.run(stopped())
    assert made.state().status is RunStatus.RUNNING
    assert made.onward(made.resume()).output == 3
    assert len(WORLD.calls) == 1


def test_a_skill_says_how_far_it_is_and_reads_what_was_put(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def act(name: str, payload: Any, ctx: Any) -> Any:
        ctx.progress(1, 2, "half")
        return ctx.get_record("count", 5)

    WORLD.on_act = act
    made = Bench(tmp_path, {**KINDS, **agent("main", "return await ctx.skill('look')", USES)})
    with caplog.at_level("INFO", "magsag.act"):
        assert made.run().output == 5
    (line,) = [record for record in caplog.records if record.name == "magsag.act"]
    assert (line.getMessage(), line.__dict__["fields"]) == ("progress", {"done": 1, "total": 2, "text": "half"})


class Elsewhere:
    """A place that has every act happen where it would have, and knows of each."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []

    async def act(self, call: Any, here: Callable[[], Awaitable[object]]) -> object:
        self.calls.append((call.step, call.is_lookup))
        return await here()


def test_where_others_act_a_missing_secret_fails_only_whoever_asks_for_it(tmp_path: Path) -> None:
    WORLD.on_act = lambda name, payload, ctx: payload if name == "look" else ctx.secret("TOKEN")
    secrets = {"secrets": "{TOKEN: env:UNIT_TEST_NO_SUCH_TOKEN}"}
    body = "await ctx.skill('look', 1)\nreturn await ctx.skill('idem')"
    files = {**skill("look", "read", **secrets), **skill("idem", "idempotent", **secrets)}
    made = Bench(tmp_path, {**files, **agent("main", body, "skill:look, skill:idem"), "policies/allow.yaml": MAY})
    made.app._given_place = place = Elsewhere()
    result = made.run()
    assert place.calls == [("look#1", False), ("idem#1", False)]
    assert result.error is not None
    assert (result.error.type, result.error.step) == (ErrorType.UNAVAILABLE, "idem#1")
    assert "secret TOKEN (env:UNIT_TEST_NO_SUCH_TOKEN) was not there" in result.error.message


class Fails:
    """A sandbox in which no program ends well."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def program(self, *_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "type", "said"),
    [
        (FileNotFoundError(2, "No such file"), ErrorType.RAISED, "cannot start 'stamp': No such file"),
        (ValueError("embedded null byte"), ErrorType.RAISED, "cannot start 'stamp': embedded null byte"),
        (Invalid("there is no bwrap here"), ErrorType.RAISED, "stamp is not started: there is no bwrap here"),
        (NoAnswer("its end was not told"), ErrorType.TIMEOUT, "how stamp ended is not known: its end was not told"),
    ],
)
def test_a_program_that_did_not_begin_has_failed_and_one_whose_end_nobody_knows_may_have_acted(
    error: Exception, type: ErrorType, said: str
) -> None:
    sandbox = cast(Sandbox, Fails(error))
    with pytest.raises(StepFailed) as failed:
        asyncio.run(shell({"run": ["stamp"]}, Confines(Isolation.PROCESS), sandbox, ()))
    assert (failed.value.type, failed.value.message) == (type, said)
