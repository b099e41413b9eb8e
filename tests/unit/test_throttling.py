"""Breaker, rate and concurrency at the gate, in virtual time: what is refused, what waits, and what is on record."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, Invalid, Retryable, StepFailed, StoreBroken
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.domain.ids import RunId
from magsag.domain.manifests.throttling import BreakerRule, ProviderLimits
from magsag.domain.settings import Features
from magsag.policy.throttle import Limits, settle
from magsag.ports.clock import Clock
from magsag.ports.ledger import Declined, TicketQuery, Write, Written
from magsag.ports.throttles import ThrottleRow
from magsag.services.driving.runs import Order
from magsag.services.people.approvals import Decision
from magsag.services.steps.throttles import ThrottleStates, change, throttle_of
from tests.unit.world import ALLOW, WORLD, Bench, agent, skill

BREAKER = "{failures: 5, of: 10, open: 30s}"
CALLS = """\
    told = []
    for wait in payload:
        await ctx.sleep(wait)
        try:
            await ctx.skill("skill:SLUG", {})
            told.append("ok")
        except Exception as error:
            told.append(error.type)
    return told
"""
TOGETHER = """\
    async def one(n):
        try:
            await ctx.skill("skill:look", {})
            return "ok"
        except Exception as error:
            return error.type
    return await ctx.map(one, list(range(payload)))
"""


class Clocked(MemoryStore):
    """A store whose clock is that of the test."""

    clock: Clock
    asked = 0

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        self.asked += 1
        return self.clock.now(), super().throttle(name)[1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*parts: dict[str, str], **settings: Any) -> Bench:
        store = Clocked()
        files = {name: text for part in (ALLOW, *parts) for name, text in part.items()}
        made.append(Bench(tmp_path / f"p{len(made)}", files, store, **settings))
        store.clock = made[-1].time.clock
        return made[-1]

    WORLD.reset()
    yield make
    for one in made:
        one.close()


def calling(slug: str, effect: str = "read", **limits: str) -> tuple[dict[str, str], dict[str, str]]:
    """A skill with these limits, and an agent that calls it after each of the waits that it is given."""
    program = agent("main", CALLS.replace("SLUG", slug), uses=f"skill:{slug}")
    return skill(slug, effect, **limits), program


def fails(error: Exception) -> None:
    def act(*_: Any) -> None:
        raise error

    WORLD.on_act = act


def taken(bench: Bench, name: str) -> None:
    """Somebody else has taken the last call of its rate: the next one is an hour or less away."""
    now, row = bench.store.throttle(name)
    full_at = now + 60_000_000
    version = 1 if row is None else row.version + 1
    assert bench.store.put_throttle(ThrottleRow(name, version, b'{"full_at":%d,"at":%d}' % (full_at, now)))


def moves(bench: Bench) -> list[BreakerState]:
    return [fact.state for fact in bench.facts() if isinstance(fact, BreakerMoved)]


@pytest.mark.parametrize(("slug", "effect"), [("look", "read"), ("idem", "idempotent"), ("once", "unrepeatable")])
def test_five_failures_and_the_sixth_is_refused_without_contact(
    bench: Callable[..., Bench], slug: str, effect: str
) -> None:
    made = bench(*calling(slug, effect, breaker=BREAKER))
    fails(ValueError("broken"))
    result = made.run([0] * 7)
    assert result.output == ["raised"] * 5 + ["unavailable"] * 2
    assert len(WORLD.calls) == 5
    error = made.step(f"{slug}#6")
    assert error.error_type is ErrorType.UNAVAILABLE
    assert b"its breaker is open since 20" in error.output
    assert b'"throttle":"skill:' in error.output
    assert moves(made) == [BreakerState.OPEN]


class SetBack(MemoryStore):
    """A store whose clock the test moves."""

    at = 1_800_000_000_000_000

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        return self.at, super().throttle(name)[1]


def test_a_breaker_that_opened_before_the_clock_was_set_back_is_open_for_its_time_from_then_on() -> None:
    store, rule = SetBack(), BreakerRule.model_validate({"failures": 1, "open": "30s"})
    change(store, "skill:a", lambda throttle, now: settle(throttle, Limits(rule), "c", 0, True, now))
    store.at -= 3_600_000_000
    waits = []
    for passed in (0, 29, 1):
        store.at += passed * 1_000_000
        change(store, "skill:a", lambda throttle, _: throttle)  # as a call does that is refused
        (view,) = ThrottleStates(store).all()
        assert view.half_open is not None
        waits.append((view.state, (view.half_open - store.at) / 1e6))
    assert waits == [(BreakerState.OPEN, 30), (BreakerState.OPEN, 1), (BreakerState.HALF_OPEN, 0)]


def test_after_the_cool_down_one_call_tries_and_closes_it(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", breaker=BREAKER))

    def act(*_: Any) -> str:
        if len(WORLD.calls) <= 6:
            raise ValueError("broken")
        return "fine"

    WORLD.on_act = act
    result = made.through([0] * 6 + [31, 0, 31, 0, 0])
    assert result.output == ["raised"] * 5 + ["unavailable", "raised", "unavailable"] + ["ok"] * 3
    state = BreakerState
    assert moves(made) == [state.OPEN, state.HALF_OPEN, state.OPEN, state.HALF_OPEN, state.CLOSED]


def test_another_process_finds_it_open(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", breaker=BREAKER))
    fails(ValueError("broken"))
    made.run([0] * 5)
    other = made.process()
    told = made.time.run(other.runs.run(Order("agent:main", [0], run_id="r2")))
    assert told.output == ["unavailable"]
    assert len(WORLD.calls) == 5


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (StepFailed("timeout", "too long"), True),
        (StepFailed("unavailable", "away"), True),
        (Retryable("unavailable", "away"), True),
        (Retryable("rate_limit", "slower"), False),
        (StepFailed("denied", "not yours"), False),
        (StepFailed("input_contract", "wrong"), False),
    ],
)
def test_only_what_says_that_it_does_not_work_counts(
    bench: Callable[..., Bench], error: Exception, counts: bool
) -> None:
    made = bench(*calling("look", breaker="{failures: 1}"))
    fails(error)
    made.run([0, 0])
    assert len(WORLD.calls) == (1 if counts else 2)


def test_a_slow_call_counts_though_its_result_is_used(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", breaker="{failures: 2, slow: 2s}"))

    async def act(*_: Any) -> str:
        await asyncio.sleep(3)
        return "late"

    WORLD.on_act = act
    assert made.run([0, 0, 0]).output == ["ok", "ok", "unavailable"]


def test_an_open_breaker_is_not_waited_for(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", breaker="{failures: 2, open: 1h}", retry="{attempts: 9, backoff: 1s}"))
    fails(Retryable("unavailable", "away"))
    began = made.time.passed
    assert made.run([0]).output == ["unavailable"]
    assert len(WORLD.calls) == 2
    assert b"2 attempts of this step had failed before" in made.step("look#1").output
    assert made.time.passed - began < 5


def test_a_rate_refuses_what_comes_too_early_and_says_when(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", rate="{calls: 2, per: 20s}"))
    assert made.through([0, 0, 0, 10, 0]).output == ["ok", "ok", "rate_limit", "ok", "rate_limit"]
    assert b"the next call may go in 10.000 s" in made.step("look#3").output
    assert b'"retry_after":10.0' in made.step("look#3").output


def test_a_retry_on_rate_limit_waits_that_long(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("idem", "idempotent", rate="{calls: 1, per: 60s}", retry="{attempts: 2, backoff: 1ms}"))
    began = made.time.passed
    assert made.through([0, 0]).output == ["ok", "ok"]
    assert made.time.passed - began == pytest.approx(60)
    assert len(WORLD.calls) == 2
    assert made.step("idem#2").attempt == 1


def test_a_long_wait_for_a_rate_parks_the_run_and_counts_over_legs(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", rate="{calls: 1, per: 60s}", retry="{attempts: 3, backoff: 1ms}"))
    parked = made.run([0, 0])
    (reason,) = parked.reasons
    assert (reason.on, reason.step, reason.waits) == (ParkedOn.TIME, "look#2", 1)
    assert reason.due == made.time.clock.now() + 60_000_000
    row = made.store.row(RunId("r"))
    assert row is not None
    assert (row.status, row.due) == (RunStatus.PARKED, reason.due)
    made.time.passed += 30
    assert made.resume().reasons[0].waits == 1  # woken too early: it has not asked again, so it has not waited again
    for _ in range(2):  # somebody else is always quicker
        made.time.passed += 60
        taken(made, "skill:look")
        made.resume()
    assert made.resume().output == ["ok", "rate_limit"]
    assert len(WORLD.calls) == 1


def test_a_short_wait_stays_in_the_process(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", rate="{calls: 1, per: 9s}", retry="{attempts: 2, backoff: 1ms}"))
    assert made.run([0, 0]).output == ["ok", "ok"]
    assert "RunParked" not in made.kinds()


def test_a_run_that_is_not_durable_waits_in_the_process(bench: Callable[..., Bench]) -> None:
    limits = {"rate": "{calls: 1, per: 15s}", "retry": "{attempts: 2}"}
    program = agent("main", TOGETHER, uses="skill:look")
    made = bench(skill("look", "read", **limits), program, features=Features(durable=False))
    assert made.run(2).output == ["ok", "ok"]


def test_an_approved_step_that_waits_for_its_rate_keeps_its_approval(bench: Callable[..., Bench]) -> None:
    people = {"people.yaml": "kind: people\nschema: 1\npeople:\n  - {id: ann, proof: os_user}\n"}
    limits = {"rate": "{calls: 1, per: 1h}", "retry": "{attempts: 2}"}
    made = bench(*calling("asks", "unrepeatable", **limits), people, actor="tester")
    taken(made, "skill:asks")
    assert made.run([0]).reasons[0].on is ParkedOn.APPROVAL
    (ticket,) = made.store.tickets(TicketQuery())
    made.app.approvals.decide(ticket.id, Decision(Acting("ann", Proof.OS_USER), Answer.APPROVE))
    waits = made.resume()
    assert (waits.reasons[0].on, made.step("asks#1").status) == (ParkedOn.TIME, StepStatus.HELD)
    assert made.onward(waits).output == ["ok"]
    assert made.step("asks#1").approval == ticket.id
    assert len(WORLD.calls) == 1
    assert made.store.check() == []


def test_a_step_that_is_given_up_while_it_waits_is_cancelled(bench: Callable[..., Bench]) -> None:
    body = """\
        await ctx.skill("look", {})
        try:
            await ctx.timeout(5, ctx.skill("look", {}))
        except Exception as error:
            return error.type
    """
    limited = skill("look", "read", rate="{calls: 1, per: 1h}", retry="{attempts: 3}")
    made = bench(limited, agent("main", body, uses="skill:look"))
    assert made.through().output == "timeout"
    assert len(WORLD.calls) == 1
    assert made.step("t1/look#1").status is StepStatus.CANCELLED
    assert made.resume().output == "timeout"


class Unheard(Clocked):
    """The answer to the first intent never arrives, though it is on disk."""

    is_lost = False

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        answers = super().write(writes, level)
        if not self.is_lost and any(fact.kind == "StepStarted" for item in writes for fact in item.facts):
            self.is_lost = True
            raise StoreBroken("the line is cut")
        return answers


@pytest.mark.parametrize("budget", [{}, {"budget": "{calls: 9}"}])
def test_an_intent_whose_commit_nobody_heard_of_keeps_its_call(tmp_path: Path, budget: dict[str, str]) -> None:
    program = agent("main", CALLS.replace("SLUG", "idem"), uses="skill:idem", **budget)
    files = {**ALLOW, **skill("idem", "idempotent", rate="{calls: 1, per: 1h}"), **program}
    WORLD.reset()
    made = Bench(tmp_path, files, store := Unheard())
    store.clock = made.time.clock
    with pytest.raises(StoreBroken):
        made.run([0, 0])
    made.time.passed += 60
    assert made.resume().output == ["ok", "rate_limit"]
    assert len(WORLD.calls) == 1
    made.close()


def test_a_concurrency_holds_for_all_branches(bench: Callable[..., Bench]) -> None:
    most = under_way = 0

    async def act(*_: Any) -> None:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(1)
        under_way -= 1

    WORLD.on_act = act
    limited = skill("look", "read", concurrency="2", retry="{attempts: 20, backoff: 1s, max_backoff: 1s}")
    made = bench(limited, agent("main", TOGETHER, uses="skill:look"))
    assert made.run(6).output == ["ok"] * 6
    assert most == 2


def test_a_concurrency_without_retry_refuses(bench: Callable[..., Bench]) -> None:
    made = bench(skill("look", "read", concurrency="1"), agent("main", TOGETHER, uses="skill:look"))

    async def act(*_: Any) -> None:
        await asyncio.sleep(1)

    WORLD.on_act = act
    assert sorted(made.run(3).output) == ["ok", "rate_limit", "rate_limit"]


def test_a_breaker_of_an_agent_keeps_others_from_delegating_to_it(bench: Callable[..., Bench]) -> None:
    sub = agent("sub", 'raise ValueError("broken")', breaker="{failures: 2, open: 30s}")
    main = agent(
        "main", CALLS.replace('ctx.skill("skill:SLUG", {})', 'ctx.delegate("agent:sub", {})'), uses="agent:sub"
    )
    made = bench(sub, main)
    assert made.run([0, 0, 0]).output == ["raised", "raised", "unavailable"]
    assert moves(made) == [BreakerState.OPEN]


@pytest.mark.parametrize("detached", [False, True])
def test_how_a_child_run_ends_in_a_later_leg_is_counted_once(bench: Callable[..., Bench], detached: bool) -> None:
    sub = agent("sub", 'await ctx.sleep(5)\nraise ValueError("broken")', breaker="{failures: 2, open: 1h}")
    call = f'ctx.delegate("agent:sub", {{}}, detached={detached})'
    made = bench(sub, agent("main", CALLS.replace('ctx.skill("skill:SLUG", {})', call), uses="agent:sub"))
    result = made.run([0, 0, 0])
    while result.status is RunStatus.PARKED:
        made.time.passed += 6
        for run in made.store.due(made.time.clock.now(), 10):
            if run != "r":
                made.time.run(made.process().runs.resume(run))
        result = made.resume()
    assert result.output == ["raised", "raised", "unavailable"]
    assert moves(made) == [BreakerState.OPEN]


def test_a_refused_step_that_was_approved_leaves_a_sound_ledger(bench: Callable[..., Bench]) -> None:
    people = {"people.yaml": "kind: people\nschema: 1\npeople:\n  - {id: ann, proof: os_user}\n"}
    made = bench(*calling("asks", "unrepeatable", rate="{calls: 1, per: 1h}"), people, actor="tester")
    made.store.put_throttle(ThrottleRow("skill:asks", 1, b'{"full_at":9000000000000000}'))
    assert made.run([0]).status is RunStatus.PARKED
    (ticket,) = made.store.tickets(TicketQuery())
    made.app.approvals.decide(ticket.id, Decision(Acting("ann", Proof.OS_USER), Answer.APPROVE))
    assert made.resume().output == ["rate_limit"]
    assert WORLD.calls == []
    assert made.store.check() == []


def test_a_dry_run_takes_nothing(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("idem", "idempotent", rate="{calls: 1, per: 1h}"), mode="dry_run")
    assert made.run([0, 0]).output == ["ok", "ok"]
    assert made.store.throttles() == []


def test_a_denied_act_takes_nothing(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", rate="{calls: 1, per: 1h}"), agent("main", CALLS.replace("SLUG", "look")))
    assert made.run([0]).output == ["denied"]
    assert made.store.throttles() == []


def test_what_its_budget_refuses_has_taken_nothing(bench: Callable[..., Bench]) -> None:
    rate, cost = "{calls: 2, per: 1h}", "{usd: 0.5}"
    limited = skill("look", "read", rate=rate, concurrency="1", breaker="{failures: 1}", cost=cost)
    made = bench(limited, agent("main", CALLS.replace("SLUG", "look"), uses="skill:look", budget="{usd: 0.1}"))
    assert made.run([0, 0, 0]).output == ["budget_exhausted"] * 3
    assert WORLD.calls == []
    (row,) = made.store.throttles()
    assert throttle_of(row).full_at <= made.time.clock.now()
    assert throttle_of(row).busy == ()


def test_what_has_no_limits_asks_no_store(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look"))
    assert made.run([0]).output == ["ok"]
    assert isinstance(made.store, Clocked)
    assert made.store.asked == 0


def test_what_works_writes_nothing_for_its_breaker(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", breaker=BREAKER))
    assert made.run([0, 0]).output == ["ok", "ok"]
    assert made.store.throttles() == []


def test_a_damaged_throttle_lets_nothing_through(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", breaker=BREAKER))
    made.store.put_throttle(ThrottleRow("skill:look", 1, b"[]"))
    with pytest.raises(StoreBroken, match="throttle skill:look is damaged"):
        made.run([0])
    assert WORLD.calls == []
    ThrottleStates(made.store).reset("skill:look", "ann")
    assert made.resume().output == ["ok"]
    with pytest.raises(StoreBroken, match="agent close-breaker skill:look"):
        throttle_of(ThrottleRow("skill:look", 1, b'{"breaker": 1}'))


def test_a_resumed_run_counts_nothing_again(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", rate="{calls: 10, per: 1h}", breaker=BREAKER))
    fails(ValueError("broken"))
    made.run([0, 0, 0])
    before = made.store.throttles()
    made.resume()
    assert made.store.throttles() == before
    assert len(WORLD.calls) == 3


def test_a_reset_closes_it(bench: Callable[..., Bench]) -> None:
    made = bench(*calling("look", breaker="{failures: 1}"))
    fails(ValueError("broken"))
    made.run([0])
    states = ThrottleStates(made.store)
    stood = states.view("skill:look")
    assert stood is not None
    assert stood.state is BreakerState.OPEN
    states.reset("skill:look", "ann")
    now = states.view("skill:look")
    assert now is not None
    assert (now.state, now.since, now.failures, now.closed_by) == (BreakerState.CLOSED, None, 0, "ann")
    with pytest.raises(Invalid, match="there are: skill:look"):
        states.to_close("skill:unknown")


def test_a_breaker_of_a_provider_holds_for_all_aliases_that_are_bound_to_it(bench: Callable[..., Bench]) -> None:
    body = """\
        told = []
        for alias in ("smart", "fast", "smart"):
            try:
                told.append(await ctx.model(alias, "hello"))
            except Exception as error:
                told.append(error.type)
        return told
    """
    made = bench(
        agent("main", body, uses="model:smart, model:fast"),
        models={"smart": "scripted:none.yaml", "fast": "scripted:none.yaml"},
        providers={"scripted": ProviderLimits.model_validate({"breaker": {"failures": 1, "open": "1h"}})},
    )
    (made.folder / "none.yaml").write_text("replies:\n  - {match: other, text: no}\n", encoding="utf-8")
    assert made.run().output == ["unavailable"] * 3
    assert [b"is not tried" in made.step(id).output for id in ("smart#1", "fast#1", "smart#2")] == [False, True, True]
    view = made.app.agents.view("agent:main")
    assert [(one.name, one.state and one.state.state) for one in view.limited] == [
        ("provider:scripted", BreakerState.OPEN)
    ]


@pytest.mark.parametrize("effect", ["idempotent", "read"])
@pytest.mark.parametrize("limit", ["breaker", "rate"])
def test_what_its_limits_refuse_after_an_attempt_that_may_have_acted_is_for_a_person(
    bench: Callable[..., Bench], effect: str, limit: str
) -> None:
    limits = {"breaker": "{failures: 1, open: 1h}", "rate": "{calls: 1, per: 1h}"}
    made = bench(*calling("idem", effect, retry="{attempts: 2, on: [timeout]}", **{limit: limits[limit]}))
    fails(Retryable("timeout", "no answer"))
    result = made.run([0])
    assert len(WORLD.calls) == 1
    if effect == "read":
        assert result.output == ["unavailable" if limit == "breaker" else "rate_limit"]
    else:
        assert (result.status, result.reasons[0].on) == (RunStatus.PARKED, ParkedOn.DOUBT)
        assert "an earlier attempt may have acted, and no other follows: skill:idem" in result.reasons[0].reason
