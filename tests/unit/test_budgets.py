"""Budgets at the gate: what is held back, what stays charged, what is refused, in virtual time."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from magsag import Retryable
from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.budget import Bound, BudgetRow, Cap
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, Refused, StoreBroken
from magsag.domain.facts import RunStatus, StepFailed, StepStarted, StepStatus
from magsag.domain.ids import RunId
from magsag.domain.manifests.budget import ModelPrice, smallest
from magsag.domain.manifests.people import Person
from magsag.domain.manifests.throttling import ProviderLimits
from magsag.policy.budget import binding, is_warned
from magsag.policy.people import People
from magsag.ports.ledger import Declined, Store, TicketQuery, Write, Written
from magsag.services.driving.runs import Order
from magsag.services.people.approvals import Decision
from magsag.services.people.budgets import BudgetBook
from magsag.testing import FrozenClock
from tests.unit.test_approvals import PEOPLE
from tests.unit.world import KINDS, WORLD, Bench, agent, skill

RUNS = (RunId("r"), *(RunId(f"r.g1.{n}/sub#1") for n in range(8)))
PAID = {
    **KINDS,
    **skill("paid", "read", cost="{usd: 0.05, tokens: 100}"),
    **skill("mail", "idempotent", cost="{usd: 0.5}"),
}
ALLOW = """\
kind: policy
schema: 1
rules:
  - {id: may, on: ["skill:mail", "skill:once", "skill:idem", "skill:recon"], verdict: allow}
"""


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


def bench(folder: Path, body: str, budget: str | None, store: Store | None = None, **more: Any) -> Bench:
    uses = ", ".join(f"skill:{name}" for name in sorted(set(re.findall(r'skill\("(\w+)"', body))))
    uses = "agent:sub" if "ctx.delegate" in body else uses
    manifest = {} if budget is None else {"budget": budget}
    files = {**PAID, **agent("main", body, uses, **manifest)}
    files["policies/allow.yaml"] = ALLOW
    return Bench(folder, {**files, **more.pop("files", {})}, store, **more)


def left(store: Store) -> dict[str, tuple[int, int]]:
    """By budget what is held back and spent."""
    return {row.id: (row.reserved, row.spent) for row in store.budgets(list(RUNS))}


def test_a_run_without_a_budget_writes_what_it_wrote_before(tmp_path: Path) -> None:
    work = bench(tmp_path, 'await ctx.skill("look", 1); return await ctx.skill("paid", 1)', None)
    assert work.run().output == 1
    assert work.kinds() == ["RunStarted", "StepDone", "StepDone", "RunEnded"]
    assert left(work.store) == {}
    assert work.step("paid#1").spent == {"usd": 50_000_000, "tokens": 100}
    assert work.step("look#1").spent is None


def test_what_a_step_may_cost_is_held_back_with_its_intent_and_settled_with_its_outcome(tmp_path: Path) -> None:
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{usd: 0.1, calls: 5}")
    seen: list[dict[str, tuple[int, int]]] = []

    def act(name: str, payload: Any, ctx: Any) -> Any:
        seen.append(left(work.store))
        ctx.spent(usd=0.01)
        return payload

    WORLD.on_act = act
    assert work.run().output == 1
    assert seen == [{"run/r/calls": (1, 0), "run/r/usd": (50_000_000, 0)}]
    assert left(work.store) == {"run/r/calls": (0, 1), "run/r/usd": (0, 10_000_000)}
    assert work.kinds() == ["RunStarted", "StepStarted", "StepSucceeded", "RunEnded"]
    assert work.step("paid#1").spent == {"usd": 10_000_000, "tokens": 100, "calls": 1}


def test_what_does_not_fit_fails_the_step_and_says_which_budget(tmp_path: Path) -> None:
    body = """
        for n in range(3):
            await ctx.skill("paid", n)
    """
    work = bench(tmp_path, body, "{usd: 0.12}")
    result = work.run()
    assert (result.status, len(WORLD.calls)) == (RunStatus.FAILED, 2)
    assert result.error is not None
    assert result.error.type == "budget_exhausted"
    assert "run/r/usd has $0.02 of $0.12 left" in result.error.message
    about = {"budget": "run/r/usd", "unit": "usd", "cap": 0.12, "left": 0.02, "asked": 0.05}
    assert result.error.details == about
    assert left(work.store) == {"run/r/usd": (0, 100_000_000)}


def test_an_act_that_says_nothing_of_its_cost_does_not_start_under_a_budget_of_money(tmp_path: Path) -> None:
    work = bench(tmp_path, 'await ctx.skill("pure", 1); return await ctx.call(len, "ab")', "{usd: 1}")
    result = work.run()
    assert result.error is not None
    assert (result.error.type, result.error.step) == ("budget_exhausted", "len#1")
    assert "declare its `cost` in its skill" in result.error.message
    assert [name for name, _ in WORLD.calls] == ["pure"]


def test_an_act_that_says_more_than_it_declares_fails_and_is_charged_what_it_declares(tmp_path: Path) -> None:
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{usd: 1}")
    WORLD.on_act = lambda name, payload, ctx: ctx.spent(usd=0.06)
    result = work.run()
    assert result.error is not None
    assert "declares at most $0.05" in result.error.message
    assert left(work.store) == {"run/r/usd": (0, 50_000_000)}


def test_an_act_that_said_a_part_before_it_said_too_much_is_charged_what_it_declares(tmp_path: Path) -> None:
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{usd: 1, tokens: 500}")

    def act(name: str, payload: Any, ctx: Any) -> None:
        ctx.spent(usd=0.01)
        ctx.spent(usd=5, tokens=30)

    WORLD.on_act = act
    work.run()
    assert left(work.store) == {"run/r/tokens": (0, 30), "run/r/usd": (0, 50_000_000)}


def test_an_act_whose_time_is_over_is_charged_what_it_declares(tmp_path: Path) -> None:
    files = skill("paid", "read", cost="{usd: 0.05}", timeout="1s")
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{usd: 1}", files=files)

    async def act(ctx: Any) -> None:
        ctx.spent(usd=0.01)
        await asyncio.sleep(100)

    WORLD.on_act = lambda name, payload, ctx: act(ctx)
    result = work.run()
    assert result.error is not None
    assert result.error.type == "timeout"
    assert left(work.store) == {"run/r/usd": (0, 50_000_000)}


def test_what_an_attempt_says_that_was_left_behind_is_no_part_of_the_next(tmp_path: Path) -> None:
    files = skill("paid", "read", cost="{usd: 0.05}", retry="{attempts: 2, backoff: 1s, on: [raised]}")
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{usd: 1}", files=files)
    begun: list[Any] = []

    def act(name: str, payload: Any, ctx: Any) -> Any:
        begun.append(ctx)
        if len(begun) == 1:
            raise ValueError("the first")
        begun[0].spent(usd=0.04)
        ctx.spent(usd=0.02)
        return payload

    WORLD.on_act = act
    assert work.run().output == 1
    assert left(work.store) == {"run/r/usd": (0, 70_000_000)}


@pytest.mark.parametrize("unit", ["usd", "tokens", "calls", "seconds"])
def test_a_question_to_people_and_the_start_of_a_run_cost_nothing(tmp_path: Path, unit: str) -> None:
    policy = "kind: policy\nschema: 1\nrules:\n  - {id: start, on: ['agent:main'], verdict: allow}\n"
    body = 'return await ctx.approve("Go?", {})'
    work = bench(tmp_path, body, f"{{{unit}: 0}}", files={"policies/start.yaml": policy, "people.yaml": PEOPLE})
    assert work.run().status is RunStatus.PARKED
    (ticket,) = work.app.approvals.list(TicketQuery(waiting=True))
    work.app.approvals.decide(ticket.id, Decision(Acting("maria", Proof.OS_USER), Answer.APPROVE))
    assert work.resume().status is RunStatus.SUCCEEDED
    assert left(work.store) == {}


def test_a_child_warns_by_its_own_threshold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sub = agent("sub", 'return await ctx.skill("paid", payload)', "skill:paid", budget="{usd: 0.1, warn_at: 0.5}")
    bench(tmp_path, 'await ctx.delegate("sub", 1)', "{usd: 1, warn_at: 0.9}", files=sub).run()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "magsag.budget"]
    assert "budget run/r.sub#1/usd: $0.05 of $0.10 is taken" in said


def test_refused_siblings_do_not_take_others_down(tmp_path: Path) -> None:
    body = """
        calls = [ctx.skill("paid", n) for n in range(5)]
        both = await ctx.gather(*calls, on_error="collect")
        return {"results": both.results, "errors": both.errors}
    """
    work = bench(tmp_path, body, "{usd: 0.15}")
    output = work.run().output
    assert (output["results"], len(output["errors"])) == ([0, 1, 2], 2)
    assert {error["type"] for error in output["errors"]} == {"budget_exhausted"}
    assert left(work.store) == {"run/r/usd": (0, 150_000_000)}


def test_eight_delegates_side_by_side_never_spend_more_than_their_parent_has(tmp_path: Path) -> None:
    body = """
        both = await ctx.gather(*(ctx.delegate("sub", n) for n in range(8)), on_error="collect")
        return {"results": both.results, "errors": both.errors}
    """
    sub = agent("sub", 'return await ctx.skill("paid", payload)', "skill:paid", budget="{tokens: 400}")
    work = bench(tmp_path, body, "{tokens: 500}", files=sub)
    output = work.run().output
    assert (len(output["results"]), len(output["errors"])) == (5, 3)
    assert left(work.store)["run/r/tokens"] == (0, 500)
    assert all(spent <= 400 for id, (_, spent) in left(work.store).items() if id != "run/r/tokens")


@pytest.mark.parametrize(
    ("kind", "type", "charged"), [("raised", "budget_exhausted", 0.1), ("unavailable", "unavailable", 0)]
)
def test_a_failed_act_is_charged_unless_it_says_that_nothing_happened(
    tmp_path: Path, kind: str, type: str, charged: float
) -> None:
    files = skill("paid", "read", cost="{usd: 0.05}", retry="{attempts: 3, backoff: 1s, on: [unavailable, raised]}")
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{usd: 0.1}", files=files)

    def act(name: str, payload: Any, ctx: Any) -> Any:
        raise Retryable(kind, "not now")

    WORLD.on_act = act
    result = work.run()
    assert result.error is not None
    assert result.error.type == type
    assert left(work.store).get("run/r/usd", (0, 0)) == (0, round(charged * 1e9))


@pytest.mark.parametrize(("kind", "status"), [("look", RunStatus.SUCCEEDED), ("idem", RunStatus.SUCCEEDED)])
def test_an_attempt_that_a_crash_lost_stays_charged_and_is_held_back_again(
    tmp_path: Path, kind: str, status: RunStatus
) -> None:
    effect = {"look": "read", "idem": "idempotent"}[kind]
    files = skill(kind, effect, cost="{usd: 0.05}")
    work = bench(tmp_path, f'return await ctx.skill("{kind}", 1)', "{usd: 0.1}", Dying(), files=files)
    broken_off(work)
    assert left(work.store) == {"run/r/usd": (50_000_000, 0)}
    assert work.resume().status is status
    assert left(work.store) == {"run/r/usd": (0, 100_000_000)}
    step = work.step(f"{kind}#1")
    assert (step.spent, step.assumed, step.reserved) == ({"usd": 100_000_000}, True, None)


def test_a_lost_attempt_that_may_have_acted_is_not_closed_by_an_empty_budget(tmp_path: Path) -> None:
    files = skill("idem", "idempotent", cost="{usd: 0.05}")
    work = bench(tmp_path, 'return await ctx.skill("idem", 1)', "{usd: 0.05}", Dying(), files=files)
    broken_off(work)
    result = work.resume()
    assert (result.status, work.step("idem#1").status) == (RunStatus.PARKED, StepStatus.IN_DOUBT)
    assert left(work.store) == {"run/r/usd": (0, 50_000_000)}


@pytest.mark.parametrize(("first", "status"), [("unavailable", RunStatus.FAILED), ("raised", RunStatus.PARKED)])
def test_an_attempt_that_did_not_act_leaves_no_doubt_behind_when_no_other_fits(
    tmp_path: Path, first: str, status: RunStatus
) -> None:
    retry = "{attempts: 2, backoff: 1s, on: [unavailable, raised]}"
    files = skill("idem", "idempotent", cost="{usd: 0.05}", retry=retry)
    work = bench(tmp_path, 'return await ctx.skill("idem", 1)', "{calls: 1, usd: 1}", files=files)

    def act(name: str, payload: Any, ctx: Any) -> Any:
        raise Retryable(first, "not now")

    WORLD.on_act = act
    result = work.run()
    assert (result.status, len(WORLD.calls)) == (status, 1)


def test_what_a_crash_cut_off_may_have_acted_though_the_attempt_after_it_did_not(tmp_path: Path) -> None:
    files = skill("idem", "idempotent", cost="{usd: 0.05}", retry="{attempts: 5, on: [unavailable]}")
    work = bench(tmp_path, 'return await ctx.skill("idem", 1)', "{calls: 2}", Dying(), files=files)
    broken_off(work)
    WORLD.on_act = unavailable
    assert work.resume().status is RunStatus.PARKED
    assert work.step("idem#1").status is StepStatus.IN_DOUBT


def test_what_was_approved_in_an_earlier_leg_has_not_acted_there(tmp_path: Path) -> None:
    files = {
        **skill("idem", "idempotent", retry="{attempts: 2, on: [unavailable]}"),
        "policies/ask.yaml": 'kind: policy\nschema: 1\nrules: [{id: ask, on: ["skill:idem"], verdict: ask}]\n',
        "people.yaml": "kind: people\nschema: 1\npeople: [{id: ann, proof: os_user}]\n",
    }
    work = bench(tmp_path, 'return await ctx.skill("idem", 1)', "{calls: 1}", files=files)
    assert work.run().status is RunStatus.PARKED
    (ticket,) = work.store.tickets(TicketQuery())
    work.app.approvals.decide(ticket.id, Decision(Acting("ann", Proof.OS_USER), Answer.APPROVE))
    WORLD.on_act = unavailable
    result = work.resume()
    assert result.error is not None
    assert (result.error.type, len(WORLD.calls)) == ("budget_exhausted", 1)


def unavailable(name: str, payload: Any, ctx: Any) -> Any:
    raise Retryable("unavailable", "not now")


def test_a_doubt_is_charged_at_its_worst_case(tmp_path: Path) -> None:
    files = skill("once", "unrepeatable", cost="{usd: 0.05}")
    work = bench(tmp_path, 'return await ctx.skill("once", 1)', "{usd: 0.1}", Dying(), files=files)
    broken_off(work)
    assert work.resume().status is RunStatus.PARKED
    assert left(work.store) == {"run/r/usd": (0, 50_000_000)}
    assert (work.step("once#1").spent, work.step("once#1").assumed) == ({"usd": 50_000_000}, True)


def test_what_is_cancelled_while_it_acts_is_charged_and_holds_nothing_back(tmp_path: Path) -> None:
    body = """
        await ctx.race(ctx.skill("paid", "slow"), ctx.skill("pure", "fast"))
    """
    work = bench(tmp_path, body, "{usd: 1}")

    async def act(payload: Any) -> Any:
        await asyncio.sleep(100 if payload == "slow" else 1)
        return payload

    WORLD.on_act = lambda name, payload, ctx: act(payload)
    assert work.run().status is RunStatus.SUCCEEDED
    assert left(work.store) == {"run/r/usd": (0, 50_000_000)}


def test_caps_that_people_set_bind_whoever_runs(tmp_path: Path) -> None:
    store = MemoryStore()
    store.set_cap(Cap(1, "organisation", "calls", 2, 0, "ann", Proof.OS_USER, "", ""))
    body = """
        for n in range(3):
            await ctx.skill("look", n)
    """
    work = bench(tmp_path, body, None, store)
    result = work.run()
    assert result.error is not None
    assert "organisation/calls has 0 calls of 2 calls left" in result.error.message
    assert left(store) == {"organisation/calls": (0, 2)}


def test_a_claim_sets_caps_where_the_project_says_so_and_undoes_no_proved_one(tmp_path: Path) -> None:
    store, clock, untold = MemoryStore(), FrozenClock(), Bench(tmp_path, KINDS).app.untold
    who = {"chen": Proof.CLAIM, "maria": Proof.OS_USER}
    people = People({id: Person(id=id, proof=proof) for id, proof in who.items()})
    book = BudgetBook(store, lambda: people, clock, untold, claims_count=True)
    chen, maria = Acting("chen", Proof.CLAIM), Acting("maria", Proof.OS_USER)
    assert book.set("organisation", "usd", "5", chen).n == 1
    with pytest.raises(Refused, match="not by a flag or a variable"):
        BudgetBook(store, lambda: people, clock, untold).set("organisation", "usd", "none", chen)
    assert book.set("organisation", "usd", "4", maria).n == 2
    with pytest.raises(Refused, match="maria set the cap of organisation usd"):
        book.set("organisation", "usd", "none", chen)
    assert [cap.cap for cap in book.history()] == [5 * 10**9, 4 * 10**9]


def test_all_runs_of_an_agent_share_its_day(tmp_path: Path) -> None:
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{per_day: {usd: 0.05}}")
    assert work.run().output == 1
    (id,) = left(work.store)
    assert id.startswith("agent/main/")
    second = work.time.run(work.app.runs.run(Order("agent:main", 1, run_id="s")))
    assert second.error is not None
    assert second.error.type == "budget_exhausted"


def test_past_days_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{per_day: {usd: 0.05}}")
    assert work.run().output == 1
    assert len(work.app.budgets.show()) == 1
    work.time.passed += 2 * 86_400
    assert work.app.budgets.show() == []
    assert len(work.app.budgets.show(past=True)) == 1


def test_seconds_are_held_back_as_the_timeout_and_charged_as_they_were(tmp_path: Path) -> None:
    files = skill("look", "read", timeout="10s")
    work = bench(tmp_path, 'return await ctx.skill("look", 1)', "{seconds: 10}", files=files)

    async def act(payload: Any) -> Any:
        await asyncio.sleep(2)
        return payload

    WORLD.on_act = lambda name, payload, ctx: act(payload)
    assert work.run().output == 1
    assert left(work.store) == {"run/r/seconds": (0, 2_000_000)}


def test_a_dry_run_spends_nothing(tmp_path: Path) -> None:
    work = bench(tmp_path, 'await ctx.skill("mail", 1)', "{usd: 0.1}", mode="dry_run")
    assert work.run().status is RunStatus.SUCCEEDED
    assert left(work.store) == {}


def test_a_detached_child_takes_from_the_budgets_above_it(tmp_path: Path) -> None:
    body = 'return await ctx.delegate("sub", payload, detached=True)'
    files = {**agent("sub", 'return await ctx.skill("paid", payload)', "skill:paid")}
    work = bench(tmp_path, body, "{usd: 0.08}", files=files)
    assert work.run(1).output == 1
    assert left(work.store) == {"run/r/usd": (0, 50_000_000)}
    child = work.store.row(RunId("r.sub#1"))
    assert child is not None
    assert child.root == child.run


def test_a_replay_spends_nothing_and_a_fork_pays_only_for_what_it_does_itself(tmp_path: Path) -> None:
    body = """
        await ctx.skill("paid", 1)
        return await ctx.skill("paid", 2)
    """
    work = bench(tmp_path, body, "{usd: 0.1}")
    assert work.run().output == 2
    before = left(work.store)
    work.time.run(work.app.replay.replay(RunId("r")))
    assert left(work.store) == before
    forked = work.app.forks.fork(RunId("r"), "paid#2", id="s")
    assert work.time.run(work.app.runs.resume(forked.run)).output == 2
    mine = {row.id: row.spent for row in work.store.budgets([forked.run])}
    assert mine == {"run/s/usd": 50_000_000}
    assert work.store.check() == []


def test_a_run_that_was_imported_goes_on_with_what_it_has_left(tmp_path: Path) -> None:
    body = """
        await ctx.skill("paid", 1)
        await ctx.wait_for("go")
        return await ctx.skill("paid", 2)
    """
    work = bench(tmp_path, body, "{usd: 0.06}")
    assert work.run().status is RunStatus.PARKED
    there = work.on(MemoryStore())
    there.app.parcels.take_in(work.app.parcels.export(RunId("r")).encode(), "r.json")
    assert left(there.store) == {"run/r/usd": (0, 50_000_000)}
    there.app.events.signal(RunId("r"), "go", None, "ann")
    result = there.resume()
    assert result.error is not None
    assert result.error.type == "budget_exhausted"


def test_an_open_run_stays_where_its_detached_children_have_spent_its_budget(tmp_path: Path) -> None:
    body = """
        await ctx.delegate("sub", payload, detached=True)
        await ctx.wait_for("go")
        return await ctx.delegate("sub", payload)
    """
    files = {**agent("sub", 'return await ctx.skill("paid", payload)', "skill:paid")}
    work = bench(tmp_path, body, "{usd: 0.08}", files=files)
    assert work.run(1).status is RunStatus.PARKED
    with pytest.raises(Invalid, match="detached child runs have taken a part of its budget run/r/usd"):
        work.app.parcels.export(RunId("r"))
    work.app.events.signal(RunId("r"), "go", None, "ann")
    assert work.resume().status is RunStatus.FAILED
    assert work.app.parcels.export(RunId("r"))


def test_a_budget_that_somebody_changed_is_found(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db")
    work = bench(tmp_path, 'return await ctx.skill("paid", 1)', "{usd: 0.1}", store)
    assert work.run().output == 1
    assert store.check() == []
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("update budgets set spent = 0")
        connection.commit()
    (fault,) = store.check()
    assert (fault.where, "it was changed" in fault.what) == ("budget run/r/usd", True)
    work.close()


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("{}", "limits something"),
        ("{usd: -1}", "out of range"),
        ("{usd: '9e999999'}", "out of range"),
        ("{usd: 0.0000000001}", "too fine"),
    ],
)
def test_a_budget_that_cannot_be_read_is_a_finding(tmp_path: Path, budget: str, said: str) -> None:
    found = bench(tmp_path, "return 1", budget, sound=False).app.catalog.findings
    assert any(said in str(finding) for finding in found)


def test_an_act_that_could_never_start_under_a_budget_is_a_finding(tmp_path: Path) -> None:
    body = 'await ctx.skill("look", 1)'
    (found,) = bench(tmp_path, body, "{usd: 1}", sound=False).app.catalog.findings
    assert "skill:look@1.0.0 declares no `cost`" in str(found)
    assert bench(tmp_path / "calls", body, "{calls: 1}").app.catalog.findings == []


def asking(folder: Path, request: str, budget: str, **settings: Any) -> Bench:
    body = f'return await ctx.model("fast", {request})'
    folder.mkdir(exist_ok=True)
    (folder / "replies.yaml").write_text("replies:\n  - {text: fine, usage: {input_tokens: 10, output_tokens: 20}}\n")
    files = agent("main", body, "model:fast", budget=budget)
    return Bench(folder, files, models={"fast": "scripted:replies.yaml"}, **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"prices": {"fsat": ModelPrice.model_validate({"input": 1, "output": 1})}},
            r"names no alias 'fsat' \(there: fast\)",
        ),
        ({"providers": {"nobody": ProviderLimits()}}, r"names no provider 'nobody' \(there: scripted\)"),
    ],
    ids=["prices", "providers"],
)
def test_what_is_said_of_a_model_that_nobody_bound_starts_no_run(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        asking(tmp_path, '"hello"', "{calls: 9}", **settings).run()


def test_a_model_is_bounded_by_its_request_and_charged_by_its_usage(tmp_path: Path) -> None:
    request = '{"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}'
    price = ModelPrice.model_validate({"input": 0.5, "output": 2})
    work = asking(tmp_path, request, "{usd: 0.01, tokens: 1000}", prices={"fast": price})
    assert work.run().output["text"] == "fine"
    assert left(work.store) == {"run/r/tokens": (0, 30), "run/r/usd": (0, 45_000)}
    started, succeeded = work.facts()[1:3]
    assert started.reserved["run/r/tokens"] > 100  # type: ignore[union-attr,index]
    assert succeeded.prices == price.price().version  # type: ignore[union-attr]


def test_a_published_price_stands_by_its_version_on_the_intent_and_on_what_failed(tmp_path: Path) -> None:
    request = '{"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}'
    work = asking(tmp_path, request, "{usd: 0.01}", prices={"fast": "openai/gpt-4o-mini"})
    assert work.run().output["text"] == "fine"
    assert left(work.store) == {"run/r/usd": (0, 13_500)}
    assert [fact.prices.rpartition(" ")[0] for fact in work.facts()[1:3]] == [  # type: ignore[union-attr]
        "genai-prices 0.2.3 openai/gpt-4o-mini"
    ] * 2
    late = asking(tmp_path / "late", request, "{usd: 0.01}", prices={"fast": "openai/gpt-4o-mini"})
    (tmp_path / "late" / "replies.yaml").write_text("replies:\n  - {fault: timeout}\n")
    late.run()
    failed = next(fact for fact in late.facts() if isinstance(fact, StepFailed))
    assert failed.spent is not None
    assert failed.spent["usd"] > 60_000
    assert (failed.prices or "").startswith("genai-prices 0.2.3")


@pytest.mark.parametrize(
    ("budget", "prices", "told"),
    [
        ("{per_day: {usd: 1}}", {}, ["fast has no price, and a budget of agent:main@1.0.0 counts usd"]),
        ("{usd: 1}", {"fast": "openai/gpt-4o-mini"}, []),
        ("{calls: 1}", {}, []),
    ],
    ids=["no price", "a price", "no money"],
)
def test_doctor_tells_of_an_agent_that_could_never_ask_its_model(
    tmp_path: Path, budget: str, prices: dict[str, str], told: list[str]
) -> None:
    lines = asking(tmp_path, '"hello"', budget, prices=prices).app.health.lines()
    assert [line.text.partition(": ")[0] for line in lines if line.name == "price" and line.state == "warn"] == told


def test_a_published_price_that_is_not_there_starts_no_run(tmp_path: Path) -> None:
    work = asking(tmp_path, '"hello"', "{usd: 1}", prices={"fast": "openai/gpt-4o-mni"})
    with pytest.raises(Invalid, match="no model 'gpt-4o-mni' of openai"):
        work.run()
    assert work.store.row(RunId("r")) is None


@pytest.mark.parametrize(
    ("asked", "budget"),
    [
        ('"hello"', "{tokens: 1000}"),
        ('{"messages": [], "max_tokens": 5}', "{usd: 1}"),
        ('{"messages": [], "max_tokens": 5, "n": 9}', "{tokens: 1000}"),
    ],
    ids=["no max_tokens", "no price", "several answers"],
)
def test_a_model_without_a_bound_is_not_asked_under_a_budget(tmp_path: Path, asked: str, budget: str) -> None:
    result = asking(tmp_path, asked, budget).run()
    assert result.error is not None
    assert (result.error.type, ": give `max_tokens`" in result.error.message) == ("budget_exhausted", True)


def test_a_model_that_may_answer_more_than_any_cap_holds_is_refused(tmp_path: Path) -> None:
    work = asking(tmp_path, f'{{"messages": [], "max_tokens": {2**63}}}', "{tokens: 1000}")
    result = work.run()
    assert result.error is not None
    assert (result.error.type, "that a budget can hold" in result.error.message) == ("budget_exhausted", True)


def test_a_long_request_counts_with_its_whole_length(tmp_path: Path) -> None:
    request = '{"messages": [{"role": "user", "content": "x" * 70_000}], "max_tokens": 100}'
    work = asking(tmp_path, request, "{tokens: 71000}")
    assert work.run().output["text"] == "fine"
    started = next(fact for fact in work.facts() if isinstance(fact, StepStarted))
    assert started.reserved is not None
    assert 70_100 < started.reserved["run/r/tokens"] < 71_000


def test_a_model_that_took_more_than_it_could_is_charged_what_was_held_back_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = asking(tmp_path, '{"max_tokens": 1}', "{tokens: 1000}")
    work.run()
    held = len(b'{"max_tokens":1}') + 1
    (said,) = [record.getMessage() for record in caplog.records if record.name == "magsag.budget"]
    assert f"model:fast took more than it could at most: 30 tokens instead of {held} tokens" in said
    assert left(work.store) == {"run/r/tokens": (0, held)}
    assert work.step("fast#1").spent == {"tokens": 30}


FLOW = """\
kind: flow
schema: 1
slug: ask
version: 1.0.0
steps:
  - {id: free, run: ["true"], effect: pure}
  - {id: stamp, run: ["true"], effect: read%s}
  - {id: fetch, uses: skill:http-request, with: {method: GET, url: "http://localhost:1/"}%s}
"""
SPENDER = "kind: agent\nschema: 1\nslug: main\nversion: 1.0.0\nrole: main\nflow: flow:ask\nbudget: {usd: 1}\n"


def test_programs_and_requests_in_flows_say_what_they_cost_themselves(tmp_path: Path) -> None:
    files = {"agents/main/main/agent.yaml": SPENDER, "flows/ask.yaml": FLOW % ("", "")}
    found = Bench(tmp_path, files, sound=False).app.catalog.findings
    unbounded = [finding.what.partition(" declares")[0] for finding in found if "declares no `cost`" in finding.what]
    assert unbounded == ["step stamp of flow:ask@1.0.0", "step fetch of flow:ask@1.0.0"]
    files = {**files, "flows/ask.yaml": FLOW % (", cost: {usd: 0.01}", ", cost: {usd: 0.02}")}
    work = Bench(tmp_path / "priced", files)
    work.run()
    assert {id: step.spent for id, step in work.state().steps.items()} == {
        "free": None,
        "stamp": {"usd": 10_000_000},
        "fetch": {"usd": 20_000_000},
    }


class Dying(MemoryStore):
    """The first outcome of an act never arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.is_dead = False

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        if not self.is_dead and any(fact.kind == "StepSucceeded" for item in writes for fact in item.facts):
            self.is_dead = True
            raise StoreBroken("the process dies here")
        return super().write(writes, level)


def broken_off(work: Bench) -> None:
    """The process dies when its act is over, and nobody hears how it ended."""
    with pytest.raises(StoreBroken):
        work.run()
    WORLD.reset()
    work.time.passed += 3600


@pytest.mark.parametrize(
    ("unit", "given", "said"),
    [("usd", "abc", "write one such as 5"), ("usd", "-3", "write 0 or more"), ("calls", "1.5", "write a whole number")],
)
def test_an_amount_that_is_none_is_told_what_to_write(unit: str, given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        smallest(unit, given)


@pytest.mark.parametrize(
    ("cap", "used", "is_near"), [(100, 79, False), (100, 80, True), (0, 0, True), (-1, 10**9, False)]
)
def test_a_budget_is_warned_from_its_threshold_on_and_one_without_a_cap_never(
    cap: int, used: int, is_near: bool
) -> None:
    assert is_warned(BudgetRow("day/calls", "day", "calls", None, cap, used // 2, used - used // 2)) is is_near


def test_of_two_limits_with_one_name_the_first_gives_cap_and_threshold() -> None:
    mine, other = (Bound("agent-day", "main", "calls", cap, warn_at) for cap, warn_at in ((5, 0.5), (9, 0.9)))
    (budget,) = (bound := binding([mine, other], (), 0)).budgets
    assert (budget.cap, bound.warn_at) == (5, {budget.id: 0.5})
